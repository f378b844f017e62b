//! Lists of users.

use portcullis_contract::id::TenantId;

use super::{
    super::{
        columns::ONLY,
        connection::{Dialect, Statement},
        cursor,
        db::Db,
        row::Row,
        users::{UserColumns, read},
    },
    conditions::{BY_USER, FENCE, NAMED_USERS_MAX, OF_USERS, Params, active, name_conditions, now},
    user_order::{Sort, SummaryColumns, signed_in_conditions},
    user_totals,
};
use crate::StoreError;
use portcullis_domain::{
    Micros, Page, PageCursor, UserFilter, UserOrder, UserSummary,
    listing::{NameFilter, USER_SESSIONS_COUNTED_MAX},
};

/// The ids of the users of a tenant with these names, in the order of sign-in names; at most one more than
/// [`NAMED_USERS_MAX`].
pub(super) async fn find_named(
    db: &mut Db,
    tenant: &TenantId,
    filter: &NameFilter,
) -> Result<Vec<String>, StoreError> {
    // The index `users_by_name` has all names.
    let mut params = Params::default();
    let tenant = params.bind(tenant);
    let matching = name_conditions(&mut params, filter).join(" AND ");
    let sql = format!(
        "SELECT u.user_id FROM users u WHERE u.tenant_id = {tenant} AND {OF_USERS} AND {matching} ORDER BY u.name_key, u.user_id \
         LIMIT {}",
        NAMED_USERS_MAX + 1
    );
    let rows = db.query(&sql, &params.0).await?;
    rows.iter().map(|row| row.text(ONLY)).collect()
}

/// Lists one page of users, from just after the cursor on.
pub(in crate::sql) async fn list(
    db: &mut Db,
    filter: &UserFilter,
    order: UserOrder,
    after: Option<&PageCursor>,
    limit: u32,
) -> Result<Page<UserSummary>, StoreError> {
    let statement = if user_totals::are_needed(filter, order) {
        user_totals::list(&db.dialect, filter, order, after, limit)?
    } else {
        let few = find_few(db, filter).await?;
        let mut list = ListStatement::new(&db.dialect, filter, order);
        list.restrict_page(after)?;
        list.restrict(filter);
        list.finish(filter, few.as_deref(), i64::from(limit) + 1)
    };
    let rows = db.run(&statement).await?;
    read_page(&rows, limit)
}

/// The ids of the users that a search by name finds, if they are few.
async fn find_few(db: &mut Db, filter: &UserFilter) -> Result<Option<Vec<String>>, StoreError> {
    if !filter.names.is_set() {
        return Ok(None);
    }
    let users = find_named(db, &filter.tenant_id, &filter.names).await?;
    // If more match, the order of the list meets them soon enough on its way through an index.
    // To sort them all would cost more than one page is worth.
    Ok(Some(users).filter(|users| users.len() <= NAMED_USERS_MAX))
}

fn read_page(rows: &[Row], limit: u32) -> Result<Page<UserSummary>, StoreError> {
    // One row more than the page says that there is another page.
    let has_next = rows.len() > limit as usize;
    let rows = &rows[..rows.len().min(limit as usize)];
    let next = match rows.last() {
        Some(last) if has_next => Some(cursor_after(last)?),
        _ => None,
    };
    let now = match rows.first() {
        Some(row) => row.time(SummaryColumns::AT.now_us)?,
        None => Micros::default(),
    };
    let items = rows.iter().map(read_summary).collect::<Result<_, _>>()?;
    Ok(Page { items, next, now })
}

/// The position of a list after this row.
fn cursor_after(row: &Row) -> Result<PageCursor, StoreError> {
    let sort_key = row.value(SummaryColumns::AT.sort_key)?.clone();
    let user = row.value(UserColumns::AT.user_id)?.clone();
    Ok(cursor::write(&[sort_key, user]))
}

/// The statement of a list while it is composed.
struct ListStatement<'a> {
    dialect: &'a Dialect,
    params: Params,
    /// The parameter of the tenant's id.
    tenant: String,
    sort: Sort,
    conditions: Vec<String>,
}

impl<'a> ListStatement<'a> {
    fn new(dialect: &'a Dialect, filter: &UserFilter, order: UserOrder) -> Self {
        let mut params = Params::default();
        let tenant = params.bind(&filter.tenant_id);
        Self {
            dialect,
            params,
            tenant,
            sort: Sort::of(order),
            conditions: Vec::new(),
        }
    }

    /// Adds the beginning of the page.
    fn restrict_page(&mut self, after: Option<&PageCursor>) -> Result<(), StoreError> {
        let beginning = self.sort.beginning(&mut self.params, after)?;
        let tenant = &self.tenant;
        self.conditions.push(format!(
            "u.tenant_id = {tenant} AND {OF_USERS} AND {beginning}"
        ));
        Ok(())
    }

    /// Adds the conditions of the filter, but for the names.
    fn restrict(&mut self, filter: &UserFilter) {
        let signed_in = signed_in_conditions(&mut self.params, filter);
        self.conditions.extend(signed_in);
        if !filter.signed_out {
            // Not EXISTS: PostgreSQL could turn that into a join, and begin at the sessions of the
            // whole tenant.
            let any = self.active_sessions("s.serial", 1);
            self.conditions.push(format!("({any}) IS NOT NULL"));
        }
    }

    /// Selects a column of the newest active sessions of the user `u`.
    fn active_sessions(&self, column: &str, limit: u32) -> String {
        // The user is a range, for the order of the index.
        format!(
            "SELECT {column} FROM sessions s WHERE s.tenant_id = {tenant} AND {BY_USER} AND s.user_id >= u.user_id \
             AND s.user_id <= u.user_id AND {active} ORDER BY s.user_id DESC, s.session_id DESC LIMIT {limit}",
            tenant = self.tenant,
            active = active(self.dialect, &self.tenant),
        )
    }

    /// The statement.
    fn finish(mut self, filter: &UserFilter, few: Option<&[String]>, limit: i64) -> Statement {
        // Few users, which were found by name, are sorted; otherwise users come in the order of an
        // index.
        let mut with = String::new();
        let mut from = String::from("users u");
        if let Some(few) = few {
            with = self.params.with_user_ids(few);
            from = format!(
                "(SELECT u.* FROM v CROSS JOIN users u \
                 WHERE u.tenant_id = {tenant} AND u.user_id = v.user_id {FENCE}) u",
                tenant = self.tenant,
            );
        } else {
            let names = name_conditions(&mut self.params, &filter.names);
            self.conditions.extend(names);
        }
        let limit = self.params.bind(limit);
        let sql = format!(
            "{with}SELECT {user}, {summary} \
             FROM {from} WHERE {conditions} ORDER BY {order} LIMIT {limit}",
            user = UserColumns::of("u"),
            summary = self.select_summary(),
            conditions = self.conditions.join(" AND "),
            order = self.sort.order_by(),
        );
        Statement::new(sql, self.params.0)
    }

    fn select_summary(&self) -> String {
        // Counted up to a limit, because a user may have a million sessions.
        let counted = self.active_sessions("s.active_us", USER_SESSIONS_COUNTED_MAX + 1);
        let summary = SummaryColumns {
            sessions: format!("(SELECT count(*) FROM ({counted}) c)"),
            signed_in_us: "u.signed_in_us".into(),
            last_active_us: format!("(SELECT max(c.active_us) FROM ({counted}) c)"),
            active_addresses: "0".into(),
            sort_key: self.sort.expression.into(),
            now_us: now(self.dialect),
        };
        summary.select()
    }
}

fn read_summary(row: &Row) -> Result<UserSummary, StoreError> {
    let columns = SummaryColumns::AT;
    let signed_in = row.time(columns.signed_in_us)?;
    Ok(UserSummary {
        user: read(row)?,
        sessions: row.count(columns.sessions)?,
        // 0 stands for a user that has never signed in.
        signed_in: Some(signed_in).filter(|at| *at > Micros::default()),
        last_active: row.optional_time(columns.last_active_us)?,
        active_addresses: row.count(columns.active_addresses)?,
    })
}
