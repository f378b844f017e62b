//! Rows as no rpc shows or sets them (yet).

use portcullis_authority::{
    domain::{Policy, Session},
    store::sql::{Column, Lane, Row, Value},
};

use tokio_postgres::NoTls;

use crate::{authority::TestAuthority, place::Place, wait::DEADLINE};

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
    let mut connection = place
        .engine()
        .await
        .connection(Lane::Write)
        .await
        .expect("a connection");
    connection
        .query(sql, values)
        .await
        .expect("the statement runs")
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
        active_us: row.int(Column::nth(0)).expect("a time"),
        actions: row.int(Column::nth(1)).expect("a count"),
        ip: row.text(Column::nth(2)).expect("text"),
        page: row.text(Column::nth(3)).expect("text"),
        due_us: row.optional_int(Column::nth(4)).expect("a time"),
    }
}

/// Has the sweep look at a session at once.
pub async fn make_due(place: &Place, session: &Session) {
    query(
        place,
        "UPDATE sessions SET due_us = 1 WHERE tenant_id = $1 AND session_id = $2",
        &key(session),
    )
    .await;
}

/// Sets a tenant's policy, as an update does: all of its sessions are to be looked at.
pub async fn set_policy(place: &Place, tenant: &str, policy: &Policy) {
    let sql = "INSERT INTO policies (tenant_id, policy, version, changed_us, sweep_from) VALUES ($1, $2, 1, 0, $3) \
         ON CONFLICT (tenant_id) DO UPDATE SET policy = $2, version = policies.version + 1, sweep_from = $3";
    query(
        place,
        sql,
        &[tenant.into(), policy.encode().into(), Vec::new().into()],
    )
    .await;
}

/// Runs a statement in the database of a running authority; the first column of the first row, which has to be text.
///
/// # Panics
/// When it fails.
pub async fn behind(authority: &TestAuthority, sql: &str) -> Option<String> {
    let url = &authority.config.store.url;
    if let Some(directory) = url.strip_prefix("sqlite:") {
        let (file, sql) = (format!("{directory}/portcullis.db"), sql.to_owned());
        // The authority has to go on meanwhile: it may have the lock.
        return tokio::task::spawn_blocking(move || behind_sqlite(&file, &sql))
            .await
            .expect("no panic");
    }
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .expect("the server answers");
    tokio::spawn(connection);
    let rows = client.query(sql, &[]).await.expect("the statement runs");
    rows.first().map(|row| row.get(0))
}

fn behind_sqlite(file: &str, sql: &str) -> Option<String> {
    let file = rusqlite::Connection::open(file).expect("the database opens");
    file.busy_timeout(DEADLINE).expect("a timeout");
    let mut statement = file.prepare(sql).expect("a statement");
    let mut rows = statement.query([]).expect("the statement runs");
    rows.next()
        .expect("the statement runs")
        .map(|row| row.get(0).expect("text"))
}

/// As [`set_policy`], behind a running authority.
pub async fn set_policy_behind(authority: &TestAuthority, tenant: &str, policy: &Policy) {
    let empty = if authority.config.store.url.starts_with("sqlite:") {
        "x''"
    } else {
        "''::bytea"
    };
    let json = policy.encode();
    let sql = format!(
        "INSERT INTO policies (tenant_id, policy, version, changed_us, sweep_from) VALUES ('{tenant}', '{json}', 1, 0, {empty}) \
         ON CONFLICT (tenant_id) DO UPDATE SET policy = '{json}', version = policies.version + 1, sweep_from = {empty}"
    );
    behind(authority, &sql).await;
}

fn key(session: &Session) -> [Value; 2] {
    [
        session.tenant_id.as_str().into(),
        session.id.to_bytes()[..].into(),
    ]
}
