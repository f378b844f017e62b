//! What gates saw of sessions, as rows. No index has these columns.

use super::{Connection, Dialect, Value};
use crate::{
    domain::{SessionActivity, time::span},
    store::StoreError,
};

/// One statement, whatever the number of sessions: they are in one parameter, an array in JSON. Each is looked up by its
/// key, and locked, in the order of the array, so that two gates' reports and an appender do not meet crosswise.
pub(super) async fn record(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    activities: &[SessionActivity],
) -> Result<(), StoreError> {
    let sql = format!(
        "UPDATE sessions SET actions = sessions.actions + v.requests, \
             active_us = CASE WHEN {newer} THEN {seen} ELSE sessions.active_us END, \
             active_ip = CASE WHEN {newer} AND v.ip <> '' THEN v.ip ELSE sessions.active_ip END, \
             active_page = CASE WHEN v.page = '' THEN sessions.active_page WHEN NOT {KEPT} THEN '' \
                 WHEN {newer} THEN v.page ELSE sessions.active_page END \
         FROM ({rows}) AS v \
         WHERE sessions.tenant_id = v.tenant_id AND sessions.session_id = v.session_id",
        seen = format_args!("({} - v.age_us)", dialect.now),
        newer = format_args!("sessions.active_us < {} - v.age_us", dialect.now),
        rows = dialect.activity_rows,
    );
    connection.query(&sql, &[Value::from(encode(activities))]).await?;
    Ok(())
}

/// Whether the tenant's policy keeps the last page.
const KEPT: &str = "EXISTS (SELECT 1 FROM policies p WHERE p.tenant_id = sessions.tenant_id AND p.keep_last_page)";

/// As [`Dialect::activity_rows`] reads it.
fn encode(activities: &[SessionActivity]) -> String {
    let rows = activities.iter().map(|activity| {
        let SessionActivity { tenant_id, session_id, requests, age, ip, page } = activity;
        let id = format!("{:032x}", u128::from_be_bytes(session_id.to_bytes()));
        (tenant_id.as_str(), id, requests, span(*age), ip, page)
    });
    serde_json::to_string(&rows.collect::<Vec<_>>()).expect("text and numbers serialize")
}
