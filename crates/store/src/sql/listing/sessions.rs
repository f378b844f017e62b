//! Lists of sessions.

use portcullis_contract::id::{SessionId, UserId};

use super::{
    super::{
        columns::ONLY,
        connection::Dialect,
        cursor,
        cutoffs::CUT_EVENT,
        db::Db,
        row::Row,
        sessions::{EndColumns, SessionColumns, read_with_end, select_time},
        value::Value,
    },
    conditions::{
        BY_USER, FENCE, NAMED_USERS_MAX, NEWEST, Params, active, name_conditions, now, of_user,
        sessions_of_users, uncut,
    },
    users::find_named,
};
use crate::StoreError;
use portcullis_domain::{
    Cause, Micros, Page, PageCursor, Session, SessionFilter, SessionOrder, SessionState,
    listing::{NameFilter, Network, Period},
    time::span,
};

/// The most sessions that are gathered by network. The sessions of a larger network are met often enough on the way
/// through the tenant.
const GATHERED_MAX: i64 = 1_000;

/// The greatest distance between the clocks of authorities, which session ids are made by, and the clock of the database,
/// in microseconds. With a greater one, lists by time may miss sessions.
const CLOCK_DISTANCE_MAX_US: i64 = 60 * 60 * 1_000_000;

/// The source of a list. All other conditions only leave sessions out.
enum Source {
    /// The sessions of the tenant, newest first.
    Tenant,
    /// The sessions of the tenant, user by user.
    ByUser,
    /// The sessions of a user, newest first.
    User(UserId),
    /// The sessions of an address, newest first.
    Address([u8; 16]),
    /// The sessions of a country, newest first.
    Country(String),
    /// The sessions on a type of device, newest first.
    DeviceType(i64),
    /// The sessions of a few users, to be sorted.
    Named(Vec<String>),
    /// The few sessions of a network, to be sorted.
    Network(Network),
}

/// Lists one page of sessions, from just after the cursor on.
pub(in crate::sql) async fn list(
    db: &mut Db,
    filter: &SessionFilter,
    order: SessionOrder,
    after: Option<&PageCursor>,
    limit: u32,
) -> Result<Page<Session>, StoreError> {
    // The sessions of one user all have the same user id.
    let order = if filter.user_id.is_some() && order == SessionOrder::User {
        SessionOrder::Start
    } else {
        order
    };
    let Some(source) = choose_source(db, filter, order).await? else {
        return Ok(Page {
            items: Vec::new(),
            next: None,
            now: Micros::default(),
        });
    };
    let statement = ListStatement::new(&db.dialect, filter, source, order, after)?;
    let (sql, values) = statement.finish(i64::from(limit) + 1);
    let rows = db.query(&sql, &values).await?;
    read_page(&rows, order, limit)
}

fn read_page(rows: &[Row], order: SessionOrder, limit: u32) -> Result<Page<Session>, StoreError> {
    let mut items = Vec::with_capacity(rows.len());
    let mut now = Micros::default();
    for row in rows.iter().take(limit as usize) {
        let (session, time) = read_with_end(row)?;
        items.push(session);
        now = time;
    }
    // One row more than the page says that there is another page.
    let has_next = rows.len() > items.len();
    let next = match items.last() {
        Some(last) if has_next => Some(cursor_after(last, order)),
        _ => None,
    };
    Ok(Page { items, next, now })
}

/// The source that reads the fewest rows. None when no session can match.
async fn choose_source(
    db: &mut Db,
    filter: &SessionFilter,
    order: SessionOrder,
) -> Result<Option<Source>, StoreError> {
    if let Some(user) = &filter.user_id {
        return Ok(Some(Source::User(user.clone())));
    }
    if filter.names.is_set() {
        let users = find_named(db, &filter.tenant_id, &filter.names).await?;
        if users.is_empty() {
            return Ok(None);
        }
        if users.len() <= NAMED_USERS_MAX {
            return Ok(Some(Source::Named(users)));
        }
    }
    if let Some(network) = filter.network
        && let Some(source) = choose_network(db, filter, network, order).await?
    {
        return Ok(Some(source));
    }
    Ok(Some(choose_by_columns(filter, order)))
}

fn choose_by_columns(filter: &SessionFilter, order: SessionOrder) -> Source {
    match (&filter.country, filter.device_type, order) {
        (_, _, SessionOrder::User) => Source::ByUser,
        (Some(country), ..) => Source::Country(country.clone()),
        (None, Some(device_type), _) => Source::DeviceType(device_type),
        (None, None, _) => Source::Tenant,
    }
}

/// The network as a source, if that reads fewer rows than the tenant.
async fn choose_network(
    db: &mut Db,
    filter: &SessionFilter,
    network: Network,
    order: SessionOrder,
) -> Result<Option<Source>, StoreError> {
    let (first, last) = network.range();
    if first == last && order == SessionOrder::Start {
        return Ok(Some(Source::Address(first)));
    }
    if has_few_sessions(db, filter, network).await? {
        return Ok(Some(Source::Network(network)));
    }
    Ok(None)
}

/// Returns true if a network has so few sessions that gathering them costs less than going through the tenant.
async fn has_few_sessions(
    db: &mut Db,
    filter: &SessionFilter,
    network: Network,
) -> Result<bool, StoreError> {
    let sql = "SELECT count(*) FROM (SELECT 1 FROM sessions s \
         WHERE s.tenant_id = $1 AND s.network >= $2 AND s.network <= $3 \
         ORDER BY s.network, s.session_id LIMIT $4) c";
    let (first, last) = network.range();
    let values: [Value; 4] = [
        (&filter.tenant_id).into(),
        first[..].into(),
        last[..].into(),
        // One more than the bound tells "as many" from "more", and the count stops there however
        // large the network is.
        (GATHERED_MAX + 1).into(),
    ];
    let rows = db.query(sql, &values).await?;
    match rows.first() {
        Some(row) => Ok(row.int(ONLY)? <= GATHERED_MAX),
        None => Ok(false),
    }
}

/// The position of a list after this session.
fn cursor_after(session: &Session, order: SessionOrder) -> PageCursor {
    // All columns of the order, the id last: so the position is unique, and no session is on two
    // pages or on none.
    let id = Value::from(session.id);
    match order {
        SessionOrder::Start => cursor::write(&[id]),
        SessionOrder::User => cursor::write(&[(&session.user_id).into(), id]),
        SessionOrder::LastActive(first) => {
            let rank = i64::from(first == Some(session.id));
            cursor::write(&[rank.into(), session.activity.last.into(), id])
        }
    }
}

/// The statement of a list while it is composed.
struct ListStatement {
    params: Params,
    now: String,
    /// The parameter of the tenant's id.
    tenant: String,
    /// The `WITH` clause of the source.
    with: String,
    /// The tables that sessions are taken from.
    from: String,
    /// Conditions on rows of `sessions`.
    of: Vec<String>,
    /// The order in which rows are taken, or the fence behind which the engine may choose.
    taken: String,
    /// Conditions on sessions together with their ends.
    and: Vec<String>,
    order: String,
}

/// The rows of a source.
struct Taken {
    condition: String,
    /// The order of an index.
    order: &'static str,
    /// True if the list has the order of the index. Then no more rows are taken than are listed.
    is_list_order: bool,
}

impl Taken {
    fn in_list_order(condition: String, order: &'static str) -> Self {
        Self {
            condition,
            order,
            is_list_order: true,
        }
    }

    fn to_be_sorted(condition: String, order: &'static str) -> Self {
        Self {
            condition,
            order,
            is_list_order: false,
        }
    }
}

impl ListStatement {
    fn new(
        dialect: &Dialect,
        filter: &SessionFilter,
        source: Source,
        order: SessionOrder,
        after: Option<&PageCursor>,
    ) -> Result<Self, StoreError> {
        let mut params = Params::default();
        let tenant = params.bind(&filter.tenant_id);
        let mut list = Self {
            params,
            now: now(dialect),
            tenant,
            with: String::new(),
            from: "sessions s".into(),
            of: Vec::new(),
            taken: String::new(),
            and: Vec::new(),
            order: String::new(),
        };
        list.restrict_state(dialect, filter);
        list.restrict_end(filter);
        list.restrict_columns(filter, &source);
        list.restrict_times(filter, &source);
        list.begin(dialect, filter, order, source, after)?;
        Ok(list)
    }

    /// Adds the condition of the state.
    fn restrict_state(&mut self, dialect: &Dialect, filter: &SessionFilter) {
        // The conditions on the event allow null (`COALESCE`). Otherwise PostgreSQL makes the outer
        // join an inner one, begins with the events of a rare cause, and reads the whole trail to
        // find them.
        let by_user = Cause::BY_USER.map(|cause| cause.code().to_string());
        let by_user = by_user.join(", ");
        match filter.state {
            None => {}
            Some(SessionState::Active) => self.of.push(active(dialect, &self.tenant)),
            Some(SessionState::Expired) => {
                let now = &self.now;
                self.and
                    .push(format!("e.event_id IS NULL AND s.expires_us <= {now}"));
            }
            Some(SessionState::SignedOut) => self
                .and
                .push(format!("COALESCE(e.cause, 0) IN ({by_user})")),
            Some(SessionState::Revoked) => self
                .and
                .push(format!("COALESCE(e.cause, 0) NOT IN (0, {by_user})")),
        }
    }

    fn restrict_end(&mut self, filter: &SessionFilter) {
        let is_ended = matches!(
            filter.state,
            Some(SessionState::SignedOut | SessionState::Revoked)
        );
        if is_ended || filter.end_cause.is_some() {
            // Few sessions were ended. Without this condition the trail is looked up for all the others.
            let uncut = uncut(&self.tenant);
            self.of
                .push(format!("(s.end_event IS NOT NULL OR NOT ({uncut}))"));
        }
        if let Some(cause) = filter.end_cause {
            let cause = self.params.bind(cause.code());
            self.and.push(format!("COALESCE(e.cause, 0) = {cause}"));
        }
        if filter.state != Some(SessionState::Active) {
            let retention = self.params.bind(span(filter.retention));
            let now = &self.now;
            self.and.push(format!(
                "COALESCE(e.at_us, s.expires_us) > {now} - {retention}"
            ));
        }
    }

    /// Adds the conditions on columns that are not the source.
    fn restrict_columns(&mut self, filter: &SessionFilter, source: &Source) {
        // They are written so that no index can serve them: an index that the planner prefers by
        // mistake would change the order, and with it the cost.
        if filter.names.is_set() && !matches!(source, Source::Named(_)) {
            self.restrict_names(&filter.names);
        }
        if let Some(network) = filter.network
            && !matches!(source, Source::Address(_) | Source::Network(_))
        {
            let condition = self.within(network);
            self.restrict_without_index(&condition);
        }
        if let Some(country) = &filter.country
            && !matches!(source, Source::Country(_))
        {
            let country = self.params.bind(country.as_str());
            self.restrict_without_index(&format!("s.country = {country}"));
        }
        if let Some(device_type) = filter.device_type
            && !matches!(source, Source::DeviceType(_))
        {
            let device_type = self.params.bind(device_type);
            self.restrict_without_index(&format!("s.device_type = {device_type}"));
        }
    }

    fn restrict_names(&mut self, names: &NameFilter) {
        let matching = name_conditions(&mut self.params, names).join(" AND ");
        self.of.push(format!(
            "(SELECT 1 FROM users u WHERE u.tenant_id = s.tenant_id AND u.user_id = s.user_id AND {matching}) \
             IS NOT NULL"
        ));
    }

    /// The condition that a session was opened from a network.
    fn within(&mut self, network: Network) -> String {
        let (first, last) = network.range();
        let first = self.params.bind(&first[..]);
        let last = self.params.bind(&last[..]);
        format!("s.network >= {first} AND s.network <= {last}")
    }

    fn restrict_without_index(&mut self, condition: &str) {
        self.of
            .push(format!("CASE WHEN {condition} THEN 1 ELSE 0 END = 1"));
    }

    /// Adds the conditions of times.
    fn restrict_times(&mut self, filter: &SessionFilter, source: &Source) {
        // Session ids grow with time, so the index of the source is not read beyond the oldest
        // session that can match.
        self.restrict_period("s.created_us", filter.started);
        self.restrict_period("s.active_us", filter.active);
        if let Some(from) = filter.started.from
            && !matches!(source, Source::ByUser)
        {
            let oldest = id_at(from.0.saturating_sub(CLOCK_DISTANCE_MAX_US));
            let oldest = self.params.bind(&oldest[..]);
            self.of.push(format!("s.session_id >= {oldest}"));
        }
    }

    fn restrict_period(&mut self, column: &str, period: Period) {
        for (time, comparison) in [(period.from, ">="), (period.until, "<")] {
            if let Some(time) = time {
                let time = self.params.bind(time);
                self.of.push(format!("{column} {comparison} {time}"));
            }
        }
    }

    /// Adds the beginning of the page in the order of the list, and the source.
    fn begin(
        &mut self,
        dialect: &Dialect,
        filter: &SessionFilter,
        order: SessionOrder,
        source: Source,
        after: Option<&PageCursor>,
    ) -> Result<(), StoreError> {
        let newest = Value::from(&newest_id(filter)[..]);
        match order {
            SessionOrder::Start => {
                let [before] = cursor::read(after, [newest])?;
                self.take_from(dialect, source, before, "s.session_id DESC".into());
            }
            SessionOrder::User => {
                let order = self.begin_by_user(after)?;
                self.take_from(dialect, source, newest, order);
            }
            SessionOrder::LastActive(first) => {
                let order = self.begin_by_activity(first, after)?;
                self.take_from(dialect, source, newest, order);
            }
        }
        Ok(())
    }

    fn begin_by_user(&mut self, after: Option<&PageCursor>) -> Result<String, StoreError> {
        let first = ["".into(), NEWEST[..].into()];
        let [user, before] = self.bind_all(cursor::read(after, first)?);
        self.of.push(format!(
            "s.user_id >= {user} AND (s.user_id > {user} OR s.session_id < {before})"
        ));
        Ok("s.user_id, s.session_id DESC".into())
    }

    fn begin_by_activity(
        &mut self,
        first: Option<SessionId>,
        after: Option<&PageCursor>,
    ) -> Result<String, StoreError> {
        // One session may come first, whenever it was used: that of the caller.
        let first = first.map_or([0; 16], SessionId::to_bytes);
        let first = self.params.bind(&first[..]);
        let rank = format!("CASE WHEN s.session_id = {first} THEN 1 ELSE 0 END");
        // Above the first row: the ranks are 0 and 1.
        let begin = [2_i64.into(), 0_i64.into(), NEWEST[..].into()];
        let [last_rank, time, before] = self.bind_all(cursor::read(after, begin)?);
        self.and.push(format!(
            "({rank}, s.active_us, s.session_id) < ({last_rank}, {time}, {before})"
        ));
        Ok(format!("{rank} DESC, s.active_us DESC, s.session_id DESC"))
    }

    fn bind_all<const N: usize>(&mut self, values: [Value; N]) -> [String; N] {
        values.map(|value| self.params.bind(value))
    }

    /// Takes the sessions of the source that are older than `before`, and lists them in `order`.
    fn take_from(&mut self, dialect: &Dialect, source: Source, before: Value, order: String) {
        let before = self.params.bind(before);
        // The ids are bound before the conditions that follow: parameters are numbered in the order
        // of their binding.
        if let Source::Named(users) = &source {
            self.with = self.params.with_user_ids(users);
            self.from = sessions_of_users(dialect);
        }
        let is_by_activity = order.contains("active_us");
        let taken = self.taken_rows(source, &before, is_by_activity);

        let tenant = &self.tenant;
        let condition = &taken.condition;
        self.of
            .insert(0, format!("s.tenant_id = {tenant} AND {condition}"));
        let in_order = if taken.order.is_empty() {
            String::new()
        } else {
            format!("ORDER BY {}", taken.order)
        };
        if taken.is_list_order {
            self.taken = in_order;
            self.order = taken.order.into();
        } else {
            self.taken = format!("{in_order} {FENCE}");
            self.order = order;
        }
    }

    fn taken_rows(&mut self, source: Source, before: &str, is_by_activity: bool) -> Taken {
        let older = format!("s.session_id < {before}");
        match source {
            Source::Tenant => Taken::in_list_order(older, "s.session_id DESC"),
            // The condition of the page says where the users begin.
            Source::ByUser => Taken::in_list_order(BY_USER.into(), "s.user_id, s.session_id DESC"),
            Source::User(user) => {
                let user = self.params.bind(&user);
                let (condition, order) = of_user(&user, before);
                Taken {
                    condition,
                    order,
                    is_list_order: !is_by_activity,
                }
            }
            Source::Address(address) => {
                let condition = self.newest_with("network", &address[..], before);
                Taken::in_list_order(condition, "s.network DESC, s.session_id DESC")
            }
            Source::Country(country) => {
                let condition = self.newest_with("country", country, before);
                let condition = format!("s.country <> '' AND {condition}");
                Taken::in_list_order(condition, "s.country DESC, s.session_id DESC")
            }
            Source::DeviceType(device_type) => {
                let condition = self.newest_with("device_type", device_type, before);
                let condition = format!("s.device_type > 0 AND {condition}");
                Taken::in_list_order(condition, "s.device_type DESC, s.session_id DESC")
            }
            Source::Named(_) => {
                let condition = format!("{BY_USER} AND s.user_id = v.user_id AND {older}");
                Taken::to_be_sorted(condition, "")
            }
            Source::Network(network) => {
                let condition = format!("{} AND {older}", self.within(network));
                Taken::to_be_sorted(condition, "s.network DESC, s.session_id DESC")
            }
        }
    }

    /// The condition of the sessions with a value in a column that are older than `before`.
    fn newest_with(&mut self, column: &str, value: impl Into<Value>, before: &str) -> String {
        // A range and a row comparison: an equality would take the column out of the order.
        let at = self.params.bind(value);
        format!("(s.{column}, s.session_id) < ({at}, {before}) AND s.{column} >= {at}")
    }

    /// The statement and its parameters.
    fn finish(mut self, limit: i64) -> (String, Vec<Value>) {
        // It selects sessions with the audit event that ended each: its own, or that of the first
        // cutoff that covers it. An event after its expiry ended no session. `select_with_end` says
        // why the ordinal comes from within.
        let limit = self.params.bind(limit);
        let and = if self.and.is_empty() {
            "TRUE".into()
        } else {
            self.and.join(" AND ")
        };
        let sql = format!(
            "{with}SELECT {session}, {time}, {end} \
             FROM (SELECT s.*, 0 AS ordinal, \
                 COALESCE(s.end_event, CASE WHEN {uncut} THEN NULL ELSE {CUT_EVENT} END) AS ended_by \
                 FROM {from} WHERE {of} {taken}) s \
             LEFT JOIN audit_events e ON e.event_id = s.ended_by AND e.ordinal = s.ordinal AND e.at_us < s.expires_us \
             WHERE {and} ORDER BY {order} LIMIT {limit}",
            with = self.with,
            session = SessionColumns::of("s"),
            time = select_time(&self.now),
            end = EndColumns::of("e"),
            uncut = uncut(&self.tenant),
            from = self.from,
            of = self.of.join(" AND "),
            taken = self.taken,
            order = self.order,
        );
        (sql, self.params.0)
    }
}

/// An id above that of any session that can match: a session that was opened, or used, before a time has an id of before
/// that time.
fn newest_id(filter: &SessionFilter) -> [u8; 16] {
    let bounds = [filter.started.until, filter.active.until];
    match bounds.into_iter().flatten().min() {
        Some(until) => id_at(until.0.saturating_add(CLOCK_DISTANCE_MAX_US)),
        None => NEWEST,
    }
}

/// The least UUIDv7 of a time in microseconds.
fn id_at(time_us: i64) -> [u8; 16] {
    let mut id = [0; 16];
    let milliseconds = u64::try_from(time_us / 1_000).unwrap_or(0);
    id[..6].copy_from_slice(&milliseconds.to_be_bytes()[2..]);
    id
}
