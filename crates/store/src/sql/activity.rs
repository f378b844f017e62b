//! What gates saw of sessions, as rows. No index has these columns.

use portcullis_contract::id::SessionId;

use super::{Connection, Dialect, Row, Value, sessions};
use crate::{
    domain::{
        LastUse, Micros, MovedSession, SessionActivity, findings::OLD_SESSION_AGE, time::span,
    },
    store::StoreError,
};

/// One statement, whatever the number of sessions: they are in one parameter, an array in JSON. Each is looked up by its
/// key, and locked, in the order of the array, so that two gates' reports and an appender do not meet crosswise. (SQLite
/// takes two: it does not change rows within a statement that reads.)
///
/// Returns the sessions that moved, as a report that meets another one may say twice.
pub(super) async fn record(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    activities: &[SessionActivity],
) -> Result<Vec<MovedSession>, StoreError> {
    let params = [
        Value::from(encode(activities)),
        Value::from(span(OLD_SESSION_AGE)),
    ];
    let (reported, rows) = (
        format!("v AS MATERIALIZED ({})", dialect.activity_rows),
        dialect.activity_rows,
    );
    if dialect.changes_within {
        let (change, moved) = (change(dialect, "v"), moved(dialect, "v"));
        let sql = format!("WITH {reported}, done AS ({change}) {moved}");
        return connection
            .query(&sql, &params)
            .await?
            .iter()
            .map(read)
            .collect();
    }
    let moved = connection
        .query(&moved(dialect, &format!("({rows}) AS v")), &params)
        .await?;
    connection
        .query(&change(dialect, &format!("({rows}) AS v")), &params[..1])
        .await?;
    moved.iter().map(read).collect()
}

fn change(dialect: &Dialect, reported: &str) -> String {
    format!(
        "UPDATE sessions SET actions = sessions.actions + v.requests, \
             active_us = CASE WHEN {newer} THEN {seen} ELSE sessions.active_us END, \
             active_ip = CASE WHEN {newer} AND v.ip <> '' THEN v.ip ELSE sessions.active_ip END, \
             active_page = CASE WHEN v.page = '' THEN sessions.active_page WHEN NOT {KEPT} THEN '' \
                 WHEN {newer} THEN v.page ELSE sessions.active_page END \
         FROM {reported} WHERE sessions.tenant_id = v.tenant_id AND sessions.session_id = v.session_id",
        seen = format_args!("({} - v.age_us)", dialect.now),
        newer = format_args!("sessions.active_us < {} - v.age_us", dialect.now),
    )
}

/// The sessions that are newly somewhere else, or newly older than `$2`. The outer join begins at the report, whatever the
/// planner thinks of the sessions; only who is there can have moved.
fn moved(dialect: &Dialect, reported: &str) -> String {
    let seen = format!("{} - v.age_us", dialect.now);
    format!(
        "SELECT s.tenant_id, s.session_id, s.user_id, s.created_us, s.place, s.active_us, s.active_ip, {seen}, v.ip \
         FROM {reported} LEFT JOIN sessions s ON s.tenant_id = v.tenant_id AND s.session_id = v.session_id \
         WHERE CASE WHEN s.active_us >= {seen} THEN 0 \
             WHEN v.ip <> '' AND v.ip <> CASE WHEN s.active_ip = '' THEN s.ip ELSE s.active_ip END THEN 1 \
             WHEN s.active_us <= s.created_us + $2 AND {seen} > s.created_us + $2 THEN 1 ELSE 0 END = 1"
    )
}

fn read(row: &Row) -> Result<MovedSession, StoreError> {
    let ip = row.text(8)?;
    let before = LastUse {
        at: Micros(row.int(5)?),
        ip: row.text(6)?,
    };
    Ok(MovedSession {
        tenant_id: sessions::tenant_id(row.text(0)?)?,
        id: SessionId::from_bytes(row.array(1)?),
        user_id: sessions::user_id(row.text(2)?)?,
        created: Micros(row.int(3)?),
        opened_in: sessions::read_json(&row.text(4)?)?,
        after: LastUse {
            at: Micros(row.int(7)?),
            ip: if ip.is_empty() { before.ip.clone() } else { ip },
        },
        before,
    })
}

/// Whether the tenant's policy keeps the last page.
const KEPT: &str =
    "EXISTS (SELECT 1 FROM policies p WHERE p.tenant_id = sessions.tenant_id AND p.keep_last_page)";

/// As [`Dialect::activity_rows`] reads it.
fn encode(activities: &[SessionActivity]) -> String {
    let rows = activities.iter().map(|activity| {
        let SessionActivity {
            tenant_id,
            session_id,
            requests,
            age,
            ip,
            page,
        } = activity;
        let id = format!("{:032x}", u128::from_be_bytes(session_id.to_bytes()));
        (tenant_id.as_str(), id, requests, span(*age), ip, page)
    });
    serde_json::to_string(&rows.collect::<Vec<_>>()).expect("text and numbers serialize")
}
