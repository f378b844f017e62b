//! Removing sessions that ended long ago, a few rows at a time.

use std::time::Duration;

use super::{
    super::{
        Connection, Dialect, Row, Value,
        connection::ValueRows,
        cursor,
        sessions::{CUT_EVENT, IS_CUT},
    },
    now,
};
use crate::{
    domain::{PageCursor, time::span},
    store::{Removed, StoreError},
};

/// Looks at the `limit` sessions after the cursor, in the order of the primary key, and removes those that ended longer
/// than `retention` ago. What was once ended stays so: nothing is lost between the two statements.
pub(in super::super) async fn remove_ended(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    after: Option<&PageCursor>,
    retention: Duration,
    limit: u32,
) -> Result<Removed, StoreError> {
    let [tenant, id] = cursor::read(after, ["".into(), [0; 16][..].into()])?;
    let sql = format!(
        "SELECT s.tenant_id, s.session_id, CASE WHEN COALESCE(e.at_us, s.expires_us) <= {now} - $4 THEN 1 ELSE 0 END \
         FROM (SELECT s.tenant_id, s.session_id, s.expires_us, 0 AS ordinal, \
                 COALESCE(s.end_event, CASE WHEN {IS_CUT} THEN {CUT_EVENT} END) AS ended_by \
             FROM sessions s WHERE (s.tenant_id, s.session_id) > ($1, $2) \
             ORDER BY s.tenant_id, s.session_id LIMIT $3) s \
         LEFT JOIN audit_events e ON e.event_id = s.ended_by AND e.ordinal = s.ordinal AND e.at_us < s.expires_us \
         ORDER BY s.tenant_id, s.session_id",
        now = now(dialect)
    );
    let values = [tenant, id, i64::from(limit).into(), span(retention).into()];
    let rows = connection.query(&sql, &values).await?;
    let key = |row: &Row| Ok::<_, StoreError>([Value::from(row.text(0)?), row.blob(1)?.into()]);
    let next = rows
        .last()
        .filter(|_| rows.len() == limit as usize)
        .map(key)
        .transpose()?;
    let mut over = Vec::new();
    for row in &rows {
        if row.int(2)? != 0 {
            over.push(key(row)?);
        }
    }
    let sessions = over.len() as u64;
    if sessions > 0 {
        let keys = ValueRows::new(over);
        let delete = format!(
            "DELETE FROM sessions WHERE (tenant_id, session_id) IN (VALUES {})",
            keys.text
        );
        connection.query(&delete, &keys.params).await?;
    }
    Ok(Removed {
        sessions,
        next: next.map(|last| cursor::write(&last)),
    })
}
