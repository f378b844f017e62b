//! Parts of statements that several lists share.

use super::super::{columns::columns, connection::Dialect, value::Value};
use portcullis_domain::listing::NameFilter;

/// The greatest UUID stands for "from the newest".
pub(in crate::sql) const NEWEST: [u8; 16] = [0xff; 16];

/// The most users whose sessions are gathered by name. If more users match, their sessions are common enough to be met
/// on the way through the tenant.
pub(super) const NAMED_USERS_MAX: usize = 1_000;

/// A limit that no list reaches. A subquery with a limit is not merged into the query around it, so the planner chooses
/// its index by itself.
pub(in crate::sql) const FENCE: &str = "LIMIT 1000000000";

/// Holds for every session `s`, and allows the index by user. That index is partial, because lookups by key must not end
/// there: the page of the schema says why.
pub(in crate::sql) const BY_USER: &str = "s.serial > 0";

/// The same as [`BY_USER`], for every user `u` and the indexes by name and by sign-in.
pub(super) const OF_USERS: &str = "u.user_serial > 0";

columns! {
    /// A user to look up.
    UserIdColumns { user_id }
}

/// The parameters of a statement that is composed of parts.
#[derive(Default)]
pub(super) struct Params(pub(super) Vec<Value>);

impl Params {
    /// Adds a parameter, and returns its name.
    pub(super) fn bind(&mut self, value: impl Into<Value>) -> String {
        self.0.push(value.into());
        format!("${}", self.0.len())
    }

    /// The beginning of a statement that takes user ids from `v`.
    pub(super) fn with_user_ids(&mut self, ids: &[String]) -> String {
        // The ids are padded to a power of two by the empty id, which no user has, so that a few
        // prepared statements serve all.
        let padding = ids.len().next_power_of_two() - ids.len();
        let mut tuples = Vec::with_capacity(ids.len() + padding);
        for id in ids {
            tuples.push(format!("({})", self.bind(id.as_str())));
        }
        for _ in 0..padding {
            tuples.push(format!("({})", self.bind("")));
        }
        format!(
            "WITH v ({}) AS (VALUES {}) ",
            UserIdColumns::names(),
            tuples.join(", ")
        )
    }
}

/// The current time as a subquery, which is evaluated once for a statement and not once for each row.
pub(super) fn now(dialect: &Dialect) -> String {
    format!("(SELECT {})", dialect.now)
}

/// The condition that no cutoff covers the session `s` of `tenant`.
pub(super) fn uncut(tenant: &str) -> String {
    // Only cutoffs of users exempt a session. So for the tenant and for everyone, the newest cutoff
    // decides, and it is looked up once for the whole list.
    let of_tenant = format!(
        "c.scope = 2 AND c.scope_serial = (SELECT t.tenant_serial FROM tenants t WHERE t.tenant_id = {tenant})"
    );
    let of_everyone = "c.scope = 3 AND c.scope_serial = 0";
    format!(
        "{not_of_tenant} AND {not_of_everyone} AND (SELECT c.revision FROM cutoffs c WHERE c.scope = 1 \
         AND c.scope_serial = s.user_serial AND c.revision > s.opened_revision AND c.exempt_serial <> s.serial \
         LIMIT 1) IS NULL",
        not_of_tenant = opened_after_newest(&of_tenant),
        not_of_everyone = opened_after_newest(of_everyone),
    )
}

fn opened_after_newest(scope: &str) -> String {
    // COALESCE: a scope that was never cut off covers nothing.
    format!(
        "s.opened_revision >= COALESCE((SELECT c.revision FROM cutoffs c WHERE {scope} \
         ORDER BY c.revision DESC LIMIT 1), 0)"
    )
}

/// The condition that the session `s` of `tenant` is active.
pub(in crate::sql) fn active(dialect: &Dialect, tenant: &str) -> String {
    format!(
        "s.end_event IS NULL AND s.expires_us > {} AND {}",
        now(dialect),
        uncut(tenant)
    )
}

/// The condition and the order of the sessions `s` of one user, newest first, for the index `sessions_by_user`.
pub(super) fn of_user(user: &str, before: &str) -> (String, &'static str) {
    let condition = format!(
        "{BY_USER} AND (s.user_id, s.session_id) < ({user}, {before}) AND s.user_id >= {user}"
    );
    (condition, "s.user_id DESC, s.session_id DESC")
}

/// The source of the sessions `s` of the users `v`: for each user by the index, with [`BY_USER`] and
/// `s.user_id = v.user_id`.
pub(super) fn sessions_of_users(dialect: &Dialect) -> String {
    let by_user = (dialect.by_index)("sessions_by_user");
    format!("v CROSS JOIN sessions s {by_user}")
}

/// The conditions of a filter by name on the user `u`.
pub(super) fn name_conditions(params: &mut Params, names: &NameFilter) -> Vec<String> {
    let columns = [
        ("name_key", &names.user_name),
        ("person_key", &names.person_name),
        ("email_key", &names.email),
    ];
    let mut conditions = Vec::new();
    for (column, parts) in columns {
        for part in parts {
            let pattern = params.bind(contains(part));
            // The keys in the rows are folded, and so is the part: their bytes can be compared.
            conditions.push(format!("u.{column} LIKE {pattern} ESCAPE '\\'"));
        }
    }
    conditions
}

/// The pattern of texts that contain `part`, byte for byte.
fn contains(part: &str) -> String {
    let mut pattern = String::from("%");
    for letter in part.chars() {
        // The part is typed by a caller. Unescaped, `%` alone would match every user of the tenant.
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_searched_for_literally() {
        assert_eq!(contains("ada"), "%ada%");
        assert_eq!(contains(r"100%_\"), r"%100\%\_\\%");
    }
}
