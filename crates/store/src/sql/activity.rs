//! The use of sessions that gates report. No index has these columns.

use super::{columns::columns, connection::Dialect, db::Db, json::json, row::Row, value::Value};
use crate::StoreError;
use portcullis_domain::{
    LastUse, MovedSession, SessionActivity, findings::OLD_SESSION_AGE, time::span,
};

columns! {
    /// A session that is used from elsewhere: as it was, and the new use.
    MovedColumns {
        tenant_id,
        session_id,
        user_id,
        created_us,
        ip,
        place,
        network_beside,
        active_us,
        active_ip,
        seen_us,
        seen_ip,
    }
}

/// Records a report in one statement, whatever the number of sessions: they are one parameter, an array in JSON.
///
/// Returns the sessions that moved. Two reports that meet may both return the same one.
pub(super) async fn record(
    db: &mut Db,
    activities: &[SessionActivity],
) -> Result<Vec<MovedSession>, StoreError> {
    // Sessions are looked up by key, and locked, in the order of the array, so that two reports and
    // the appender cannot wait for each other in a circle.
    let params = [
        Value::from(encode(activities)),
        span(OLD_SESSION_AGE).into(),
    ];
    let rows = if db.dialect.changes_within {
        let sql = change_and_moved(&db.dialect);
        db.query(&sql, &params).await?
    } else {
        record_in_two(db, &params).await?
    };
    rows.iter().map(read).collect()
}

fn change_and_moved(dialect: &Dialect) -> String {
    // MATERIALIZED: both the change and the query read the report, and it must be parsed only once.
    format!(
        "WITH v AS MATERIALIZED ({reported}), done AS ({change}) {moved}",
        reported = dialect.activity_rows,
        // `moved` reads the rows as they were, because both parts of a statement have one snapshot.
        change = change(dialect, "v"),
        moved = moved(dialect, "v"),
    )
}

/// SQLite takes two statements, because it cannot change rows within a statement that reads.
async fn record_in_two(db: &mut Db, params: &[Value; 2]) -> Result<Vec<Row>, StoreError> {
    let reported = format!("({}) AS v", db.dialect.activity_rows);
    // Before the change: a session moved when its row still has the old use.
    let moved = moved(&db.dialect, &reported);
    let rows = db.query(&moved, params).await?;
    let change = change(&db.dialect, &reported);
    db.query(&change, &params[..1]).await?;
    Ok(rows)
}

/// The statement that adds the requests, and takes over a use that is newer than the row's.
fn change(dialect: &Dialect, reported: &str) -> String {
    let seen = format!("({} - v.age_us)", dialect.now);
    // Reports of two gates come in any order, so only a newer use replaces the last one.
    let newer = format!("sessions.active_us < {} - v.age_us", dialect.now);
    format!(
        "UPDATE sessions SET actions = sessions.actions + v.requests, \
             active_us = CASE WHEN {newer} THEN {seen} ELSE sessions.active_us END, \
             active_ip = CASE WHEN {newer} AND v.ip <> '' THEN v.ip ELSE sessions.active_ip END, \
             active_page = CASE WHEN v.page = '' THEN sessions.active_page WHEN NOT {KEEPS_PAGE} THEN '' \
                 WHEN {newer} THEN v.page ELSE sessions.active_page END \
         FROM {reported} WHERE sessions.tenant_id = v.tenant_id AND sessions.session_id = v.session_id"
    )
}

/// The statement that finds the sessions that are used from a new address, or are now older than `$2`.
fn moved(dialect: &Dialect, reported: &str) -> String {
    // The outer join is a fence: it begins at the report, whatever the planner expects of the
    // sessions. A session that is not there cannot have moved, because its columns are null.
    let seen = format!("{} - v.age_us", dialect.now);
    let columns = MovedColumns {
        tenant_id: "s.tenant_id",
        session_id: "s.session_id",
        user_id: "s.user_id",
        created_us: "s.created_us",
        ip: "s.ip",
        place: "s.place",
        network_beside: "s.network_beside",
        active_us: "s.active_us",
        active_ip: "s.active_ip",
        seen_us: &seen,
        seen_ip: "v.ip",
    };
    format!(
        "SELECT {columns} \
         FROM {reported} LEFT JOIN sessions s ON s.tenant_id = v.tenant_id AND s.session_id = v.session_id \
         WHERE CASE WHEN s.active_us >= {seen} THEN 0 \
             WHEN v.ip <> '' AND v.ip <> CASE WHEN s.active_ip = '' THEN s.ip ELSE s.active_ip END THEN 1 \
             WHEN s.active_us <= s.created_us + $2 AND {seen} > s.created_us + $2 THEN 1 ELSE 0 END = 1",
        columns = columns.select(),
    )
}

fn read(row: &Row) -> Result<MovedSession, StoreError> {
    let columns = MovedColumns::AT;
    let before = LastUse {
        at: row.time(columns.active_us)?,
        ip: row.text(columns.active_ip)?,
    };
    let mut after = LastUse {
        at: row.time(columns.seen_us)?,
        ip: row.text(columns.seen_ip)?,
    };
    // A report without an address says nothing about where the session is used.
    if after.ip.is_empty() {
        after.ip.clone_from(&before.ip);
    }
    Ok(MovedSession {
        tenant_id: row.tenant_id(columns.tenant_id)?,
        id: row.session_id(columns.session_id)?,
        user_id: row.user_id(columns.user_id)?,
        created: row.time(columns.created_us)?,
        opened_in: row.json(columns.place)?,
        opened_from: row.text(columns.ip)?,
        opened_beside: row.text(columns.network_beside)?,
        after,
        before,
    })
}

/// True if the tenant's policy keeps the last page.
const KEEPS_PAGE: &str =
    "EXISTS (SELECT 1 FROM policies p WHERE p.tenant_id = sessions.tenant_id AND p.keep_last_page)";

/// The report as [`Dialect::activity_rows`] reads it.
fn encode(activities: &[SessionActivity]) -> String {
    let mut rows = Vec::with_capacity(activities.len());
    for activity in activities {
        let id = format!(
            "{:032x}",
            u128::from_be_bytes(activity.session_id.to_bytes())
        );
        rows.push((
            activity.tenant_id.as_str(),
            id,
            activity.requests,
            span(activity.age),
            &activity.ip,
            &activity.page,
        ));
    }
    json(&rows)
}
