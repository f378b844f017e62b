//! The rows of exports: claims, places and dead letters.

use std::time::Duration;

use portcullis_contract::position::Revision;
use portcullis_domain::{AuditEvent, AuditPosition, ExportPlace, ExportStatus, time::span};

use super::{
    super::{
        columns::{ONLY, columns},
        connection::Dialect,
        db::Db,
        row::Row,
        value::Value,
    },
    list,
    row::select_columns,
};
use crate::{DEAD_LETTERS_COUNTED_MAX, ExportClaim, StoreError};

columns! {
    /// A claim that was made.
    ClaimColumns { fence, place, marks }
}

columns! {
    /// How an export stands.
    StatusColumns { is_free, stopped_us, behind_revisions, behind_us, dead_letters }
}

/// True of a row whose lease, of `$lease` microseconds, has ended. A lease from the future was given while the clock was
/// ahead. It must not hold off others until then.
fn is_over(now: &str, lease: &str) -> String {
    format!(
        "audit_exports.stopped_us IS NULL AND (audit_exports.leased_until_us <= {now} \
             OR audit_exports.leased_until_us > {now} + {lease})"
    )
}

pub(in crate::sql) async fn status(
    db: &mut Db,
    export: &str,
    lease: Duration,
) -> Result<Option<ExportStatus>, StoreError> {
    let sql = format!(
        "SELECT {} FROM audit_exports WHERE name = $1",
        select_status(&db.dialect)
    );
    let rows = db.query(&sql, &[export.into(), lease.into()]).await?;
    rows.first().map(read_status).transpose()
}

/// The columns of an export's status. `$1` is its name, and `$2` the lease.
fn select_status(dialect: &Dialect) -> String {
    let now = dialect.now;
    let is_over = is_over(now, "$2");
    // The first batch behind the place, and not the oldest of all: the log begins again far above after a recovery.
    let behind_us = format!(
        "COALESCE((SELECT {now} - b.stamped_us FROM log_batches b WHERE b.revision > audit_exports.revision \
             ORDER BY b.revision LIMIT 1), 0)"
    );
    let dead_letters = format!(
        "(SELECT count(*) FROM (SELECT 1 AS one FROM audit_dead_letters d WHERE d.export = $1 \
             LIMIT {DEAD_LETTERS_COUNTED_MAX}) AS counted)"
    );
    let columns = StatusColumns {
        is_free: &*format!("CASE WHEN {is_over} THEN 1 ELSE 0 END"),
        stopped_us: "audit_exports.stopped_us",
        behind_revisions: "(SELECT h.revision FROM log_head h) - audit_exports.revision",
        behind_us: &behind_us,
        dead_letters: &dead_letters,
    };
    columns.select()
}

fn read_status(row: &Row) -> Result<ExportStatus, StoreError> {
    let columns = StatusColumns::AT;
    Ok(ExportStatus {
        is_free: row.is_true(columns.is_free)?,
        stopped: row.optional_time(columns.stopped_us)?,
        // The head is behind the place after a failover that lost batches, and the clock may have been set back.
        behind_revisions: row.int(columns.behind_revisions)?.try_into().unwrap_or(0),
        behind_us: row.int(columns.behind_us)?.try_into().unwrap_or(0),
        dead_letters: row.unsigned(columns.dead_letters)?,
    })
}

/// The revision of the place of an export.
pub(in crate::sql) async fn revision(
    db: &mut Db,
    export: &str,
) -> Result<Option<Revision>, StoreError> {
    let sql = "SELECT revision FROM audit_exports WHERE name = $1";
    let rows = db.query(sql, &[export.into()]).await?;
    rows.first().map(|row| row.revision(ONLY)).transpose()
}

pub(in crate::sql) async fn claim(
    db: &mut Db,
    export: &str,
    authority: &[u8; 16],
    start: &ExportPlace,
    lease: Duration,
) -> Result<Option<ExportClaim>, StoreError> {
    let sql = format!(
        "INSERT INTO audit_exports (name, authority_id, revision, place, marks, fence, leased_until_us) \
         VALUES ($1, $2, $3, $4, $5, 1, {now} + $6) \
         ON CONFLICT (name) DO UPDATE SET fence = audit_exports.fence + 1, authority_id = excluded.authority_id, \
             leased_until_us = excluded.leased_until_us \
         WHERE {is_over} RETURNING {columns}",
        now = db.dialect.now,
        is_over = is_over(db.dialect.now, "$6"),
        columns = ClaimColumns::names(),
    );
    let values: [Value; 6] = [
        export.into(),
        authority[..].into(),
        start.position().revision.into(),
        start.position().to_bytes()[..].into(),
        start.marks_to_bytes().into(),
        lease.into(),
    ];
    let rows = db.query(&sql, &values).await?;
    rows.first().map(read_claim).transpose()
}

fn read_claim(row: &Row) -> Result<ExportClaim, StoreError> {
    let columns = ClaimColumns::AT;
    let place = ExportPlace::from_bytes(row.array(columns.place)?, row.blob(columns.marks)?);
    Ok(ExportClaim {
        fence: row.unsigned(columns.fence)?,
        place: place.ok_or_else(|| {
            StoreError::Internal("the place of an export has an unexpected value".into())
        })?,
    })
}

pub(in crate::sql) async fn renew(
    db: &mut Db,
    export: &str,
    fence: u64,
    lease: Duration,
) -> Result<bool, StoreError> {
    let sql = format!(
        // The fence and not the authority decides. An authority that was paused past its lease
        // still believes in its claim, but the next claim has a greater fence.
        "UPDATE audit_exports SET leased_until_us = {} + $3 \
         WHERE name = $1 AND fence = $2 AND stopped_us IS NULL RETURNING fence",
        db.dialect.now
    );
    let values = [export.into(), fence.into(), span(lease).into()];
    Ok(!db.query(&sql, &values).await?.is_empty())
}

pub(in crate::sql) async fn advance(
    db: &mut Db,
    export: &str,
    fence: u64,
    place: &ExportPlace,
) -> Result<bool, StoreError> {
    let sql = "UPDATE audit_exports SET revision = $3, place = $4, marks = $5 \
         WHERE name = $1 AND fence = $2 AND stopped_us IS NULL RETURNING fence";
    let values: [Value; 5] = [
        export.into(),
        fence.into(),
        place.position().revision.into(),
        place.position().to_bytes()[..].into(),
        place.marks_to_bytes().into(),
    ];
    Ok(!db.query(sql, &values).await?.is_empty())
}

pub(in crate::sql) async fn release(
    db: &mut Db,
    export: &str,
    fence: u64,
) -> Result<(), StoreError> {
    let sql = "UPDATE audit_exports SET leased_until_us = 0 WHERE name = $1 AND fence = $2";
    db.query(sql, &[export.into(), fence.into()]).await?;
    Ok(())
}

pub(in crate::sql) async fn stop(db: &mut Db, export: &str, fence: u64) -> Result<(), StoreError> {
    let sql = format!(
        "UPDATE audit_exports SET stopped_us = {}, leased_until_us = 0 WHERE name = $1 AND fence = $2",
        db.dialect.now
    );
    db.query(&sql, &[export.into(), fence.into()]).await?;
    Ok(())
}

pub(in crate::sql) async fn bury(
    db: &mut Db,
    export: &str,
    fence: u64,
    event: AuditPosition,
    problem: &str,
) -> Result<bool, StoreError> {
    let sql = format!(
        // Selected from the export's row under the fence, so that an authority that lost its claim
        // buries nothing. A letter that fails once more is not due until an operator says so.
        "INSERT INTO audit_dead_letters (export, event_id, ordinal, died_us, problem, due) \
         SELECT name, $3, $4, {}, $5, 0 FROM audit_exports WHERE name = $1 AND fence = $2 \
         ON CONFLICT (export, event_id, ordinal) DO UPDATE SET died_us = excluded.died_us, \
             problem = excluded.problem, due = 0 \
         RETURNING due",
        db.dialect.now
    );
    let values: [Value; 5] = [
        export.into(),
        fence.into(),
        event.event.into(),
        i64::from(event.ordinal).into(),
        problem.into(),
    ];
    Ok(!db.query(&sql, &values).await?.is_empty())
}

pub(in crate::sql) async fn due_dead_letters(
    db: &mut Db,
    export: &str,
    limit: u32,
) -> Result<Vec<AuditEvent>, StoreError> {
    // By the primary key of each event: the trail has no index of revision alone that would be shorter.
    let sql = format!(
        "SELECT {} FROM audit_events WHERE (event_id, ordinal) IN \
         (SELECT event_id, ordinal FROM audit_dead_letters WHERE export = $1 AND due <> 0 \
              ORDER BY event_id, ordinal LIMIT $2) \
         ORDER BY revision, event_id, ordinal",
        select_columns(),
    );
    let values = [export.into(), i64::from(limit).into()];
    let rows = db.query(&sql, &values).await?;
    rows.iter().map(list::read).collect()
}

pub(in crate::sql) async fn remove_dead_letter(
    db: &mut Db,
    export: &str,
    event: AuditPosition,
) -> Result<(), StoreError> {
    let sql = "DELETE FROM audit_dead_letters WHERE export = $1 AND event_id = $2 AND ordinal = $3";
    let values = [
        export.into(),
        event.event.into(),
        i64::from(event.ordinal).into(),
    ];
    db.query(sql, &values).await?;
    Ok(())
}
