//! Checkpoints: which are kept, and when an authority has to write one.

use portcullis_contract::position::{Position, Revision};
use prost::bytes::Bytes;

use super::{
    columns::{ONLY, columns},
    db::Db,
    log,
    row::{Row, only_row},
    transaction::transaction,
};
use crate::{CheckpointDue, StoreError};
use portcullis_domain::time::span;

columns! {
    /// An encoded view with its authentication code.
    CheckpointColumns { view, code }
}

columns! {
    /// The batches since the last checkpoint: the bytes of their deltas, and the age of the oldest.
    BacklogColumns { bytes, age_us }
}

/// Claims the checkpoint at `revision` if enough has changed since the last one and no authority has claimed one
/// lately.
pub(super) async fn claim(
    db: &mut Db,
    revision: Revision,
    due: &CheckpointDue,
) -> Result<bool, StoreError> {
    // When an authority dies with its claim, another one follows after the interval.
    if !is_due(db, revision, due).await? {
        return Ok(false);
    }
    // A claim from the future was made while the clock was ahead. It must not hold off checkpoints until then.
    let sql = format!(
        "UPDATE installation SET checkpoint_claimed_us = {now} \
         WHERE checkpoint_claimed_us <= {now} - $1 OR checkpoint_claimed_us > {now} RETURNING id",
        now = db.dialect.now,
    );
    let rows = db.query(&sql, &[span(due.interval).into()]).await?;
    Ok(!rows.is_empty())
}

async fn is_due(db: &mut Db, revision: Revision, due: &CheckpointDue) -> Result<bool, StoreError> {
    let kept = kept(db).await?;
    let last = kept.first().copied().unwrap_or_default();
    let batches = revision.0.saturating_sub(last.0);
    if batches == 0 {
        return Ok(false);
    }
    if batches >= due.batches_min {
        return Ok(true);
    }

    is_backlog_due(db, (last, revision), due).await
}

/// Returns true if the batches of a range are large or old enough for a checkpoint.
async fn is_backlog_due(
    db: &mut Db,
    (after, through): (Revision, Revision),
    due: &CheckpointDue,
) -> Result<bool, StoreError> {
    let age = format!("COALESCE({} - MIN(stamped_us), 0)", db.dialect.now);
    let backlog = BacklogColumns {
        bytes: "COALESCE(SUM(length(delta)), 0)",
        age_us: &age,
    };
    let sql = format!(
        "SELECT {} FROM log_batches WHERE revision > $1 AND revision <= $2",
        backlog.select()
    );
    let rows = db.query(&sql, &[after.into(), through.into()]).await?;
    let row = only_row(&rows, "log_batches")?;
    let columns = BacklogColumns::AT;
    let is_large = row.unsigned(columns.bytes)? >= due.bytes_min;
    let is_old = row.int(columns.age_us)? >= span(due.age_max);
    Ok(is_large || is_old)
}

/// The revision through which deltas may be trimmed: that of the older of the two kept checkpoints, so that an authority
/// can start from either.
pub(super) async fn trimmable(db: &mut Db) -> Result<Revision, StoreError> {
    let kept = kept(db).await?;
    Ok(kept.get(1).copied().unwrap_or_default())
}

/// The revisions of the kept checkpoints, newest first.
async fn kept(db: &mut Db) -> Result<Vec<Revision>, StoreError> {
    let sql = "SELECT revision FROM checkpoints ORDER BY revision DESC LIMIT 2";
    let rows = db.query(sql, &[]).await?;
    rows.iter().map(|row| row.revision(ONLY)).collect()
}

/// Saves the checkpoint of a position in a transaction of its own, if the log has that position.
pub(super) async fn save(
    db: &mut Db,
    at: Position,
    view: &Bytes,
    code: &Bytes,
) -> Result<bool, StoreError> {
    transaction!(db, insert_known(db, at, view, code))
}

async fn insert_known(
    db: &mut Db,
    at: Position,
    view: &Bytes,
    code: &Bytes,
) -> Result<bool, StoreError> {
    // A failover may have lost this position since the view was encoded. An authority that starts
    // from a view of another history would refuse and admit other tokens than the store says.
    let (head, chain) = log::head_and_chain(db, at.revision).await?;
    if head.incarnation != at.incarnation || chain != Some(at.chain) {
        return Ok(false);
    }
    insert(db, at.revision, view, code).await?;
    Ok(true)
}

/// Inserts a checkpoint, and deletes all but it and the one before it.
pub(super) async fn insert(
    db: &mut Db,
    revision: Revision,
    view: &Bytes,
    code: &Bytes,
) -> Result<(), StoreError> {
    let insert = "INSERT INTO checkpoints (revision, view, code) VALUES ($1, $2, $3) \
         ON CONFLICT (revision) DO NOTHING";
    let values = [revision.into(), view[..].into(), code[..].into()];
    db.query(insert, &values).await?;
    // Two are kept, so that an authority can start from the older one if the newer cannot be read.
    let prune = "DELETE FROM checkpoints WHERE revision NOT IN \
         (SELECT revision FROM checkpoints ORDER BY revision DESC LIMIT 2)";
    db.query(prune, &[]).await?;
    Ok(())
}

/// The kept checkpoints with their codes, newest first.
pub(super) async fn all(db: &mut Db) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
    let sql = format!(
        "SELECT {} FROM checkpoints ORDER BY revision DESC",
        CheckpointColumns::names()
    );
    let rows = db.query(&sql, &[]).await?;
    rows.iter().map(read).collect()
}

/// The view of the checkpoint at a revision with its code, if it is kept.
pub(super) async fn at(
    db: &mut Db,
    revision: Revision,
) -> Result<Option<(Bytes, Bytes)>, StoreError> {
    let sql = format!(
        "SELECT {} FROM checkpoints WHERE revision = $1",
        CheckpointColumns::names()
    );
    let rows = db.query(&sql, &[revision.into()]).await?;
    rows.first().map(read).transpose()
}

fn read(row: &Row) -> Result<(Bytes, Bytes), StoreError> {
    let columns = CheckpointColumns::AT;
    let view = Bytes::copy_from_slice(row.blob(columns.view)?);
    let code = Bytes::copy_from_slice(row.blob(columns.code)?);
    Ok((view, code))
}
