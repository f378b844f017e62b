//! Lists of sessions and users.
//!
//! What a list costs depends on its tenant and on what matches, never on the rest of the database, and not on what the
//! planner believes: plans are made once, often while tables are small. So each list names one index by an order that
//! only that index has; a condition that is to be looked up is a range or a row comparison, for an equality would make
//! its column no part of the order. `postgres_plans` and `sqlite_plans` test it.

mod preview;
mod removal;
mod sessions;
mod surplus;
mod users;

use super::{Dialect, Value};
use crate::domain::listing::NameFilter;

pub(super) use self::{
    preview::{count, preview},
    removal::remove_ended,
    sessions::list as sessions,
    surplus::surplus,
    users::list as users,
};

/// The greatest UUID stands for "from the newest".
const NEWEST: [u8; 16] = [0xff; 16];

/// The most users whose sessions are gathered by name. More are common enough to be met on the way through the tenant.
const NAMED_USERS_MAX: usize = 1_000;

/// A subquery with a limit is not merged into the query around it: it chooses its index by itself.
const FENCE: &str = "LIMIT 1000000000";

/// Of every session `s`. An index that is ordered otherwise than by the key has the key's columns too, and where nothing is
/// known of a table it is as cheap to look a key up in; but that reads all of the tenant's entries. So those indexes are
/// partial, and only who says what they all have can use them.
const BY_USER: &str = "s.serial > 0";

/// As [`BY_USER`], of every user `u`, for the indexes by name and by sign-in.
const OF_USERS: &str = "u.user_serial > 0";

/// The parameters of a statement.
#[derive(Default)]
struct Params(Vec<Value>);

impl Params {
    /// Adds one; its name.
    fn bind(&mut self, value: impl Into<Value>) -> String {
        self.0.push(value.into());
        format!("${}", self.0.len())
    }
}

/// Now, read once a statement and not once a row.
fn now(dialect: &Dialect) -> String {
    format!("(SELECT {})", dialect.now)
}

/// That no cutoff covers the session `s` of `tenant`. Only cutoffs of users exempt a session, so the newest one of the
/// tenant and of everyone says it for all.
fn uncut(tenant: &str) -> String {
    let newest = |scope: &str| {
        format!(
            "s.opened_revision >= COALESCE((SELECT c.revision FROM cutoffs c WHERE {scope} \
             ORDER BY c.revision DESC LIMIT 1), 0)"
        )
    };
    let of_tenant = newest(&format!(
        "c.scope = 2 AND c.scope_serial = (SELECT t.tenant_serial FROM tenants t WHERE t.tenant_id = {tenant})"
    ));
    let of_everyone = newest("c.scope = 3 AND c.scope_serial = 0");
    format!(
        "{of_tenant} AND {of_everyone} AND (SELECT c.revision FROM cutoffs c WHERE c.scope = 1 \
         AND c.scope_serial = s.user_serial AND c.revision > s.opened_revision AND c.exempt_serial <> s.serial \
         LIMIT 1) IS NULL"
    )
}

/// That the session `s` of `tenant` can be used.
fn active(dialect: &Dialect, tenant: &str) -> String {
    format!(
        "s.end_event IS NULL AND s.expires_us > {} AND {}",
        now(dialect),
        uncut(tenant)
    )
}

/// The sessions `s` of one user, newest first: a condition and an order for the index `sessions_by_user`.
fn of_user(user: &str, before: &str) -> (String, &'static str) {
    let of = format!(
        "{BY_USER} AND (s.user_id, s.session_id) < ({user}, {before}) AND s.user_id >= {user}"
    );
    (of, "s.user_id DESC, s.session_id DESC")
}

/// Where the sessions `s` of several users are taken from, for each user by the index: with [`BY_USER`] and
/// `s.user_id = v.column1`.
fn of_users(dialect: &Dialect, params: &mut Params, users: &[String]) -> String {
    let by_user = (dialect.by_index)("sessions_by_user");
    format!(
        "(VALUES {}) AS v CROSS JOIN sessions s {by_user}",
        id_rows(params, users)
    )
}

/// What the user `u` must match.
fn names(params: &mut Params, names: &NameFilter) -> Vec<String> {
    let columns = [
        ("name_key", &names.user_name),
        ("person_key", &names.person_name),
        ("email_key", &names.email),
    ];
    let set = columns
        .into_iter()
        .filter_map(|(column, part)| Some((column, part.as_ref()?)));
    set.map(|(column, part)| {
        format!(
            "u.{column} LIKE {} ESCAPE '\\'",
            params.bind(contains(part))
        )
    })
    .collect()
}

/// The pattern of texts that contain `part`, byte for byte.
fn contains(part: &str) -> String {
    let literal = part.chars().flat_map(|letter| {
        let escape = matches!(letter, '%' | '_' | '\\').then_some('\\');
        escape.into_iter().chain([letter])
    });
    format!("%{}%", literal.collect::<String>())
}

/// The rows of a `VALUES` list of ids, padded by one that nobody has, so that a few prepared statements serve all.
fn id_rows(params: &mut Params, ids: &[String]) -> String {
    let padded = ids.iter().map(String::as_str).chain(std::iter::repeat(""));
    let rows = padded
        .take(ids.len().next_power_of_two())
        .map(|id| format!("({})", params.bind(id)));
    rows.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_searched_for_as_it_stands() {
        assert_eq!(contains("ada"), "%ada%");
        assert_eq!(contains(r"100%_\"), r"%100\%\_\\%");
    }
}
