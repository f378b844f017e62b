//! Removal of sessions that ended long ago, a few rows at a time.

use std::time::Duration;

use super::{
    super::{
        columns::columns,
        connection::Dialect,
        cursor,
        cutoffs::{CUT_EVENT, IS_CUT},
        db::Db,
        row::Row,
        sessions::SessionKeyColumns,
        value::Value,
        values::ValueRows,
    },
    conditions::now,
};
use crate::{Left, Removed, StoreError};
use portcullis_domain::{PageCursor, time::span};

columns! {
    /// Whether a session ended longer ago than sessions are kept, the time since its end (negative: until then), the head
    /// that its sign-in read, and the revision of the event that ended it.
    AgeColumns after SessionKeyColumns { is_old, age_us, opened_revision, end_revision }
}

/// Checks the `limit` sessions after the cursor, in the order of the primary key, and removes those that ended longer
/// ago than `retention`.
pub(in crate::sql) async fn remove_ended(
    db: &mut Db,
    after: Option<&PageCursor>,
    retention: Duration,
    limit: u32,
) -> Result<Removed, StoreError> {
    // The two statements need no transaction, because a session that has ended cannot come back.
    let rows = read_page(db, after, retention, limit).await?;

    let old = read_old(&rows)?;
    let removed = old.len() as u64;
    delete(db, old).await?;
    Ok(Removed {
        rows: removed,
        next: cursor_after(&rows, limit)?,
        left: read_left(&rows)?,
        oldest: read_oldest(&rows)?,
    })
}

async fn read_page(
    db: &mut Db,
    after: Option<&PageCursor>,
    retention: Duration,
    limit: u32,
) -> Result<Vec<Row>, StoreError> {
    let [tenant, id] = cursor::read(after, ["".into(), [0; 16][..].into()])?;
    let values = [tenant, id, i64::from(limit).into(), span(retention).into()];
    Ok(db.query(&select_checked(&db.dialect), &values).await?)
}

fn cursor_after(rows: &[Row], limit: u32) -> Result<Option<PageCursor>, StoreError> {
    match rows.last() {
        // A full page may not be the last one.
        Some(last) if rows.len() == limit as usize => {
            let last = key(last)?;
            Ok(Some(cursor::write(&[last.tenant_id, last.session_id])))
        }
        _ => Ok(None),
    }
}

/// The time since the end of the session that ended first, of those that stay.
fn read_oldest(rows: &[Row]) -> Result<Option<Duration>, StoreError> {
    let columns = AgeColumns::AT;
    let mut oldest = None;
    for row in rows {
        if !row.is_true(columns.is_old)? {
            // One that has not ended has no age.
            let age = u64::try_from(row.int(columns.age_us)?).ok();
            oldest = oldest.max(age.map(Duration::from_micros));
        }
    }
    Ok(oldest)
}

/// The oldest revisions that the remaining sessions refer to.
fn read_left(rows: &[Row]) -> Result<Left, StoreError> {
    let columns = AgeColumns::AT;
    let mut left = Left::default();
    for row in rows {
        // An old session goes in this step, so what it refers to need not stay for it.
        if row.is_true(columns.is_old)? {
            continue;
        }
        left.add_opened(row.revision(columns.opened_revision)?);
        if row.optional_int(columns.end_revision)?.is_some() {
            left.add_end(row.revision(columns.end_revision)?);
        }
    }
    Ok(left)
}

fn read_old(rows: &[Row]) -> Result<Vec<SessionKeyColumns<Value>>, StoreError> {
    let mut old = Vec::new();
    for row in rows {
        if row.is_true(AgeColumns::AT.is_old)? {
            old.push(key(row)?);
        }
    }
    Ok(old)
}

async fn delete(db: &mut Db, keys: Vec<SessionKeyColumns<Value>>) -> Result<(), StoreError> {
    if keys.is_empty() {
        return Ok(());
    }
    let keys = ValueRows::new(keys);
    let sql = format!(
        "DELETE FROM sessions WHERE (tenant_id, session_id) IN {}",
        keys.list()
    );
    db.query(&sql, keys.params()).await?;
    Ok(())
}

/// [`select_with_end`](super::super::sessions::select_with_end) says why the ordinal comes from within.
fn select_checked(dialect: &Dialect) -> String {
    let now = now(dialect);
    let is_old =
        format!("CASE WHEN COALESCE(e.at_us, s.expires_us) <= {now} - $4 THEN 1 ELSE 0 END");
    let age_us = format!("{now} - COALESCE(e.at_us, s.expires_us)");
    let age = AgeColumns {
        is_old: &*is_old,
        age_us: &age_us,
        opened_revision: "s.opened_revision",
        end_revision: "e.revision",
    };
    format!(
        "SELECT {key}, {age} \
         FROM (SELECT s.tenant_id, s.session_id, s.expires_us, s.opened_revision, 0 AS ordinal, \
                 COALESCE(s.end_event, CASE WHEN {IS_CUT} THEN {CUT_EVENT} END) AS ended_by \
             FROM sessions s WHERE (s.tenant_id, s.session_id) > ($1, $2) \
             ORDER BY s.tenant_id, s.session_id LIMIT $3) s \
         LEFT JOIN audit_events e ON e.event_id = s.ended_by AND e.ordinal = s.ordinal AND e.at_us < s.expires_us \
         ORDER BY s.tenant_id, s.session_id",
        key = SessionKeyColumns::of("s"),
        age = age.select(),
    )
}

fn key(row: &Row) -> Result<SessionKeyColumns<Value>, StoreError> {
    let columns = SessionKeyColumns::AT;
    Ok(SessionKeyColumns {
        tenant_id: row.value(columns.tenant_id)?.clone(),
        session_id: row.value(columns.session_id)?.clone(),
    })
}
