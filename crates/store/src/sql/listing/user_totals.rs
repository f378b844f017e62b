//! Lists of users by totals of their active sessions: their number, the last activity, and the addresses in use.
//!
//! No index is in these orders: a sign-in, a sign-out and each report of use would rewrite it. So a page reads every active
//! session of the tenant, in the lane of searches and within its time.

use super::{
    super::{
        connection::{Dialect, Statement},
        users::UserColumns,
    },
    conditions::{Params, active, name_conditions, now},
    user_order::{Sort, SummaryColumns, signed_in_conditions},
};
use crate::StoreError;
use portcullis_domain::{
    PageCursor, UserFilter, UserOrder, listing::ACTIVE_NOW_WINDOW, time::span,
};

/// Whether a list needs the totals of all users.
pub(super) fn are_needed(filter: &UserFilter, order: UserOrder) -> bool {
    let by_totals = matches!(order, UserOrder::Sessions | UserOrder::LastActive);
    by_totals || filter.active_addresses_min.is_some()
}

/// The statement of one page, from just after the cursor on. It selects one user more than the page has.
pub(super) fn list(
    dialect: &Dialect,
    filter: &UserFilter,
    order: UserOrder,
    after: Option<&PageCursor>,
    limit: u32,
) -> Result<Statement, StoreError> {
    let sort = Sort::of(order);
    let mut params = Params::default();
    let tenant = params.bind(&filter.tenant_id);
    let totals = totals(&mut params, dialect, &tenant);
    let from = if filter.signed_out {
        format!("users u LEFT JOIN ({totals}) t ON t.user_id = u.user_id")
    } else {
        format!("({totals}) t JOIN users u ON u.user_id = t.user_id")
    };

    let mut conditions = vec![format!("u.tenant_id = {tenant}")];
    conditions.push(sort.beginning(&mut params, after)?);
    conditions.extend(filter_conditions(&mut params, filter));
    let rows_max = params.bind(i64::from(limit) + 1);
    let sql = format!(
        "SELECT {user}, {summary} FROM {from} WHERE {conditions} \
         ORDER BY {order} LIMIT {rows_max}",
        user = UserColumns::of("u"),
        summary = select_summary(dialect, &sort),
        conditions = conditions.join(" AND "),
        order = sort.order_by(),
    );
    Ok(Statement::new(sql, params.0))
}

/// The totals of each user of the tenant who has active sessions.
fn totals(params: &mut Params, dialect: &Dialect, tenant: &str) -> String {
    let window = params.bind(span(ACTIVE_NOW_WINDOW));
    format!(
        "SELECT s.user_id, count(*) AS sessions, max(s.active_us) AS last_active_us, \
             count(DISTINCT CASE WHEN s.active_us >= {now} - {window} \
                 THEN COALESCE(NULLIF(s.active_ip, ''), NULLIF(s.ip, '')) END) AS addresses \
         FROM sessions s WHERE s.tenant_id = {tenant} AND {active} GROUP BY s.user_id",
        now = now(dialect),
        active = active(dialect, tenant),
    )
}

fn filter_conditions(params: &mut Params, filter: &UserFilter) -> Vec<String> {
    let mut conditions = name_conditions(params, &filter.names);
    conditions.extend(signed_in_conditions(params, filter));
    if let Some(addresses) = filter.active_addresses_min {
        let addresses = params.bind(i64::from(addresses));
        conditions.push(format!("t.addresses >= {addresses}"));
    }
    conditions
}

fn select_summary(dialect: &Dialect, sort: &Sort) -> String {
    let summary = SummaryColumns {
        sessions: "COALESCE(t.sessions, 0)".to_owned(),
        signed_in_us: "u.signed_in_us".to_owned(),
        last_active_us: "t.last_active_us".to_owned(),
        active_addresses: "COALESCE(t.addresses, 0)".to_owned(),
        sort_key: sort.expression.to_owned(),
        now_us: now(dialect),
    };
    summary.select()
}
