//! Rows as no rpc shows or sets them (yet).

use portcullis_authority::{
    domain::{Policy, Session},
    store::sql::{Lane, Row, Value},
};

use crate::place::Place;

/// What is kept of a session's use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// When it was last active, in microseconds since 1970.
    pub active_us: i64,
    /// Requests.
    pub actions: i64,
    /// The last address.
    pub ip: String,
    /// The last page.
    pub page: String,
    /// When the sweep looks at it.
    pub due_us: Option<i64>,
}

/// Runs a statement.
///
/// # Panics
/// When it fails.
pub async fn query(place: &Place, sql: &str, values: &[Value]) -> Vec<Row> {
    let mut connection = place.engine().await.connection(Lane::Write).await.expect("a connection");
    connection.query(sql, values).await.expect("the statement runs")
}

/// What is kept of a session's use.
///
/// # Panics
/// When the session is not there.
pub async fn usage(place: &Place, session: &Session) -> Use {
    let sql = "SELECT active_us, actions, active_ip, active_page, due_us FROM sessions \
         WHERE tenant_id = $1 AND session_id = $2";
    let rows = query(place, sql, &key(session)).await;
    let row = rows.first().expect("the session is there");
    Use {
        active_us: row.int(0).expect("a time"),
        actions: row.int(1).expect("a count"),
        ip: row.text(2).expect("text"),
        page: row.text(3).expect("text"),
        due_us: row.optional_int(4).expect("a time"),
    }
}

/// Moves the times of a session `seconds` into the past: its opening, its last use, and when the sweep looks at it.
pub async fn age(place: &Place, session: &Session, seconds: i64) {
    let sql = "UPDATE sessions SET created_us = created_us - $3, active_us = active_us - $3, due_us = due_us - $3 \
         WHERE tenant_id = $1 AND session_id = $2";
    let [tenant, id] = key(session);
    query(place, sql, &[tenant, id, (seconds * 1_000_000).into()]).await;
}

/// Has the sweep look at a session at once.
pub async fn make_due(place: &Place, session: &Session) {
    query(place, "UPDATE sessions SET due_us = 1 WHERE tenant_id = $1 AND session_id = $2", &key(session)).await;
}

/// Sets a tenant's policy, as an update does: all of its sessions are to be looked at.
pub async fn set_policy(place: &Place, tenant: &str, policy: &Policy) {
    let sql = "INSERT INTO policies (tenant_id, policy, version, sweep_from) VALUES ($1, $2, 1, $3) \
         ON CONFLICT (tenant_id) DO UPDATE SET policy = $2, version = policies.version + 1, sweep_from = $3";
    query(place, sql, &[tenant.into(), policy.encode().into(), Vec::new().into()]).await;
}

fn key(session: &Session) -> [Value; 2] {
    [session.tenant_id.as_str().into(), session.id.to_bytes()[..].into()]
}
