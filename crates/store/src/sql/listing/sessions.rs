//! Lists of sessions.

use portcullis_contract::id::{SessionId, UserId};

use super::{
    super::{
        Connection, Dialect, Value, cursor,
        sessions::{COLUMNS, CUT_EVENT, read_with_end},
    },
    BY_USER, FENCE, NAMED_USERS_MAX, NEWEST, Params, active, names, now, of_user, of_users, uncut,
    users::named,
};
use crate::{
    domain::{
        Cause, Micros, Page, PageCursor, Session, SessionFilter, SessionOrder, SessionState,
        listing::{Network, Period},
        time::span,
    },
    store::StoreError,
};

/// The most sessions that are gathered by network. Those of a larger one are met often enough on the way through the
/// tenant.
const GATHERED_MAX: i64 = 1_000;

/// How far the clocks of authorities, which session ids are made by, may be from the database's. Beyond that, lists by
/// time may miss sessions.
const CLOCK_DISTANCE_MAX_US: i64 = 60 * 60 * 1_000_000;

/// Where a list begins: what it takes its sessions from. All other conditions only leave sessions out.
enum Lead {
    /// The tenant's, newest first.
    Tenant,
    /// The tenant's, user by user.
    ByUser,
    /// A user's, newest first.
    User(UserId),
    /// An address's, newest first.
    Address([u8; 16]),
    /// A country's, newest first.
    Country(String),
    /// Those on a type of device, newest first.
    DeviceType(i64),
    /// A few users', to be sorted.
    Named(Vec<String>),
    /// A network's few, to be sorted.
    Network(Network),
}

/// One page, from just after the cursor on.
pub(in super::super) async fn list(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    filter: &SessionFilter,
    order: SessionOrder,
    after: Option<&PageCursor>,
    limit: u32,
) -> Result<Page<Session>, StoreError> {
    // Of one user there is one user id.
    let order = if filter.user_id.is_some() && order == SessionOrder::User {
        SessionOrder::Start
    } else {
        order
    };
    let Some(lead) = lead(connection, filter, order).await? else {
        return Ok(Page {
            items: Vec::new(),
            next: None,
            now: Micros::default(),
        });
    };
    let mut list = List::new(dialect, filter);
    list.restrict(filter, &lead);
    list.begin(dialect, filter, order, lead, after)?;
    let sql = list.sql(i64::from(limit) + 1);
    let mut rows = connection.query(&sql, &list.params.0).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let found = rows
        .iter()
        .map(read_with_end)
        .collect::<Result<Vec<_>, _>>()?;
    let next = found
        .last()
        .filter(|_| more)
        .map(|(last, _)| end_of(last, order));
    let now = found.first().map_or(Micros::default(), |(_, now)| *now);
    Ok(Page {
        items: found.into_iter().map(|(session, _)| session).collect(),
        next,
        now,
    })
}

/// The lead that reads the fewest rows; none when nothing can match.
async fn lead(
    connection: &mut dyn Connection,
    filter: &SessionFilter,
    order: SessionOrder,
) -> Result<Option<Lead>, StoreError> {
    if let Some(user) = &filter.user_id {
        return Ok(Some(Lead::User(user.clone())));
    }
    if filter.names.is_set() {
        let users = named(connection, &filter.tenant_id, &filter.names).await?;
        if users.len() <= NAMED_USERS_MAX {
            return Ok((!users.is_empty()).then_some(Lead::Named(users)));
        }
    }
    if let Some(network) = filter.network {
        let (first, last) = network.range();
        if first == last && order == SessionOrder::Start {
            return Ok(Some(Lead::Address(first)));
        }
        if are_few(connection, filter, network).await? {
            return Ok(Some(Lead::Network(network)));
        }
    }
    Ok(Some(match (&filter.country, filter.device_type, order) {
        (_, _, SessionOrder::User) => Lead::ByUser,
        (Some(country), ..) => Lead::Country(country.clone()),
        (None, Some(device_type), _) => Lead::DeviceType(device_type),
        (None, None, _) => Lead::Tenant,
    }))
}

/// Whether so few sessions are of this network that gathering them beats going through the tenant.
async fn are_few(
    connection: &mut dyn Connection,
    filter: &SessionFilter,
    network: Network,
) -> Result<bool, StoreError> {
    let sql = "SELECT count(*) FROM (SELECT 1 FROM sessions s \
         WHERE s.tenant_id = $1 AND s.network >= $2 AND s.network <= $3 \
         ORDER BY s.network, s.session_id LIMIT $4) c";
    let (first, last) = network.range();
    let values = [
        filter.tenant_id.as_str().into(),
        first[..].into(),
        last[..].into(),
        (GATHERED_MAX + 1).into(),
    ];
    let rows = connection.query(sql, &values).await?;
    Ok(rows
        .first()
        .is_some_and(|row| row.int(0).is_ok_and(|count| count <= GATHERED_MAX)))
}

/// Where a list stands after this session.
fn end_of(session: &Session, order: SessionOrder) -> PageCursor {
    let id = Value::from(&session.id.to_bytes()[..]);
    match order {
        SessionOrder::Start => cursor::write(&[id]),
        SessionOrder::User => cursor::write(&[session.user_id.as_str().into(), id]),
        SessionOrder::LastActive(first) => cursor::write(&[
            i64::from(first == Some(session.id)).into(),
            session.activity.last.0.into(),
            id,
        ]),
    }
}

/// The statement of a list in the making.
struct List {
    params: Params,
    now: String,
    tenant: String,
    /// What rows of `sessions` are taken from.
    from: String,
    /// What rows of `sessions` must match.
    of: Vec<String>,
    /// The order in which they are taken, or the fence behind which the engine may choose.
    taken: String,
    /// What sessions with their end must match.
    and: Vec<String>,
    order: String,
}

impl List {
    fn new(dialect: &Dialect, filter: &SessionFilter) -> Self {
        let mut params = Params::default();
        let tenant = params.bind(filter.tenant_id.as_str());
        let (of, and) = (Vec::new(), Vec::new());
        let mut list = Self {
            params,
            now: now(dialect),
            tenant,
            from: "sessions s".into(),
            of,
            taken: String::new(),
            and,
            order: String::new(),
        };
        list.restrict_state(dialect, filter);
        list
    }

    /// What is asked of the event may be null, for PostgreSQL would else begin with the events of a rare cause, and read
    /// the whole trail to find them.
    fn restrict_state(&mut self, dialect: &Dialect, filter: &SessionFilter) {
        let now = self.now.clone();
        let by_user = Cause::BY_USER
            .map(|cause| cause.code().to_string())
            .join(", ");
        match filter.state {
            None => {}
            Some(SessionState::Active) => self.of.push(active(dialect, &self.tenant)),
            Some(SessionState::Expired) => {
                self.and
                    .push(format!("e.event_id IS NULL AND s.expires_us <= {now}"));
            }
            Some(SessionState::SignedOut) => self
                .and
                .push(format!("COALESCE(e.cause, 0) IN ({by_user})")),
            Some(SessionState::Revoked) => {
                self.and
                    .push(format!("COALESCE(e.cause, 0) NOT IN (0, {by_user})"));
            }
        }
        let ended =
            [Some(SessionState::SignedOut), Some(SessionState::Revoked)].contains(&filter.state);
        if ended || filter.end_cause.is_some() {
            // Few have: the trail is not asked about the others.
            self.of.push(format!(
                "(s.end_event IS NOT NULL OR NOT ({}))",
                uncut(&self.tenant)
            ));
        }
        if let Some(cause) = filter.end_cause {
            let cause = self.params.bind(cause.code());
            self.and.push(format!("COALESCE(e.cause, 0) = {cause}"));
        }
        if filter.state != Some(SessionState::Active) {
            let retention = self.params.bind(span(filter.retention));
            self.and.push(format!(
                "COALESCE(e.at_us, s.expires_us) > {now} - {retention}"
            ));
        }
    }

    /// The conditions that do not lead. As they stand here, none can be looked up in an index, but for the ids of times
    /// in that of the lead.
    fn restrict(&mut self, filter: &SessionFilter, lead: &Lead) {
        if filter.names.is_set() && !matches!(lead, Lead::Named(_)) {
            let matching = names(&mut self.params, &filter.names).join(" AND ");
            self.of.push(format!(
                "(SELECT 1 FROM users u WHERE u.tenant_id = s.tenant_id AND u.user_id = s.user_id AND {matching}) \
                 IS NOT NULL"
            ));
        }
        if let Some(network) = filter
            .network
            .filter(|_| !matches!(lead, Lead::Address(_) | Lead::Network(_)))
        {
            let (first, last) = network.range();
            let (first, last) = (self.params.bind(&first[..]), self.params.bind(&last[..]));
            self.of.push(format!(
                "CASE WHEN s.network >= {first} AND s.network <= {last} THEN 1 ELSE 0 END = 1"
            ));
        }
        if let Some(country) = filter
            .country
            .as_deref()
            .filter(|_| !matches!(lead, Lead::Country(_)))
        {
            let country = self.params.bind(country);
            self.of.push(format!(
                "CASE WHEN s.country = {country} THEN 1 ELSE 0 END = 1"
            ));
        }
        if let Some(device_type) = filter
            .device_type
            .filter(|_| !matches!(lead, Lead::DeviceType(_)))
        {
            let device_type = self.params.bind(device_type);
            self.of.push(format!(
                "CASE WHEN s.device_type = {device_type} THEN 1 ELSE 0 END = 1"
            ));
        }
        self.restrict_period("s.created_us", filter.started);
        self.restrict_period("s.active_us", filter.active);
        if let Some(from) = filter
            .started
            .from
            .filter(|_| !matches!(lead, Lead::ByUser))
        {
            let oldest = self
                .params
                .bind(&id_at(from.0.saturating_sub(CLOCK_DISTANCE_MAX_US))[..]);
            self.of.push(format!("s.session_id >= {oldest}"));
        }
    }

    fn restrict_period(&mut self, column: &str, period: Period) {
        for (time, comparison) in [(period.from, ">="), (period.until, "<")] {
            if let Some(time) = time {
                let time = self.params.bind(time.0);
                self.of.push(format!("{column} {comparison} {time}"));
            }
        }
    }

    /// Where the page begins, in the order of the list.
    fn begin(
        &mut self,
        dialect: &Dialect,
        filter: &SessionFilter,
        order: SessionOrder,
        lead: Lead,
        after: Option<&PageCursor>,
    ) -> Result<(), StoreError> {
        let newest = Value::from(&newest(filter)[..]);
        match order {
            SessionOrder::Start => {
                let [before] = cursor::read(after, [newest])?;
                self.lead(dialect, lead, before, "s.session_id DESC".into());
            }
            SessionOrder::User => {
                let first = ["".into(), NEWEST[..].into()];
                let [user, before] =
                    cursor::read(after, first)?.map(|value| self.params.bind(value));
                self.of.push(format!(
                    "s.user_id >= {user} AND (s.user_id > {user} OR s.session_id < {before})"
                ));
                self.lead(dialect, lead, newest, "s.user_id, s.session_id DESC".into());
            }
            SessionOrder::LastActive(first) => {
                let first = self
                    .params
                    .bind(&first.map_or([0; 16], SessionId::to_bytes)[..]);
                let key = format!("CASE WHEN s.session_id = {first} THEN 1 ELSE 0 END");
                let begin = [2_i64.into(), 0_i64.into(), NEWEST[..].into()];
                let [rank, time, before] =
                    cursor::read(after, begin)?.map(|value| self.params.bind(value));
                self.and.push(format!(
                    "({key}, s.active_us, s.session_id) < ({rank}, {time}, {before})"
                ));
                self.lead(
                    dialect,
                    lead,
                    newest,
                    format!("{key} DESC, s.active_us DESC, s.session_id DESC"),
                );
            }
        }
        Ok(())
    }

    /// Takes sessions of `lead` that are older than `before`, and lists them in `order`. Where an index has that order,
    /// they are taken in it, and no more of them than are listed.
    fn lead(&mut self, dialect: &Dialect, lead: Lead, before: Value, order: String) {
        let (before, tenant) = (self.params.bind(before), self.tenant.clone());
        let mut at = |value: Value| self.params.bind(value);
        let older = format!("s.session_id < {before}");
        let (of, taken, ordered) = match lead {
            Lead::Tenant => (older, "s.session_id DESC", true),
            // Where it begins is said by user.
            Lead::ByUser => (BY_USER.into(), "s.user_id, s.session_id DESC", true),
            Lead::User(user) => {
                let (of, taken) = of_user(&at(user.as_str().into()), &before);
                (of, taken, !order.contains("active_us"))
            }
            Lead::Address(address) => {
                let at = at(address[..].into());
                let of =
                    format!("(s.network, s.session_id) < ({at}, {before}) AND s.network >= {at}");
                (of, "s.network DESC, s.session_id DESC", true)
            }
            Lead::Country(country) => {
                let at = at(country.into());
                let of = format!(
                    "s.country <> '' AND (s.country, s.session_id) < ({at}, {before}) AND s.country >= {at}"
                );
                (of, "s.country DESC, s.session_id DESC", true)
            }
            Lead::DeviceType(device_type) => {
                let at = at(device_type.into());
                let of = format!(
                    "s.device_type > 0 AND (s.device_type, s.session_id) < ({at}, {before}) AND s.device_type >= {at}"
                );
                (of, "s.device_type DESC, s.session_id DESC", true)
            }
            Lead::Named(users) => {
                self.from = of_users(dialect, &mut self.params, &users);
                (
                    format!("{BY_USER} AND s.user_id = v.column1 AND {older}"),
                    "",
                    false,
                )
            }
            Lead::Network(network) => {
                let (first, last) = network.range();
                let (first, last) = (at(first[..].into()), at(last[..].into()));
                let of = format!("s.network >= {first} AND s.network <= {last} AND {older}");
                (of, "s.network DESC, s.session_id DESC", false)
            }
        };
        self.of
            .insert(0, format!("s.tenant_id = {tenant} AND {of}"));
        let by = if taken.is_empty() {
            String::new()
        } else {
            format!("ORDER BY {taken}")
        };
        self.taken = if ordered { by } else { format!("{by} {FENCE}") };
        self.order = if ordered { taken.into() } else { order };
    }

    /// Sessions with the audit event that ended them: their own, or that of the first cutoff that covers them. What came
    /// after its expiry ended no session. Why the ordinal comes from within: see [`select`](super::super::sessions::select).
    fn sql(&mut self, limit: i64) -> String {
        let limit = self.params.bind(limit);
        let and = if self.and.is_empty() {
            "TRUE".into()
        } else {
            self.and.join(" AND ")
        };
        format!(
            "SELECT s.{columns}, {now}, e.at_us, e.cause, e.actor, e.reason, e.user_message, e.revision \
             FROM (SELECT s.*, 0 AS ordinal, \
                 COALESCE(s.end_event, CASE WHEN {uncut} THEN NULL ELSE {CUT_EVENT} END) AS ended_by \
                 FROM {from} WHERE {of} {taken}) s \
             LEFT JOIN audit_events e ON e.event_id = s.ended_by AND e.ordinal = s.ordinal AND e.at_us < s.expires_us \
             WHERE {and} ORDER BY {order} LIMIT {limit}",
            columns = COLUMNS.join(", s."),
            now = self.now,
            uncut = uncut(&self.tenant),
            from = self.from,
            of = self.of.join(" AND "),
            taken = self.taken,
            order = self.order,
        )
    }
}

/// Above the id of any session that can match: one that was opened, or active, before a time has an id of before it.
fn newest(filter: &SessionFilter) -> [u8; 16] {
    let until = filter
        .started
        .until
        .into_iter()
        .chain(filter.active.until)
        .min();
    until.map_or(NEWEST, |until| {
        id_at(until.0.saturating_add(CLOCK_DISTANCE_MAX_US))
    })
}

/// The least UUIDv7 of a time in microseconds.
fn id_at(time: i64) -> [u8; 16] {
    let mut id = [0; 16];
    let milliseconds = u64::try_from(time / 1_000).unwrap_or(0);
    id[..6].copy_from_slice(&milliseconds.to_be_bytes()[2..]);
    id
}
