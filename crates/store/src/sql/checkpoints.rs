//! Which authority writes a checkpoint, and when it is worth one.

use portcullis_contract::position::Revision;

use super::{Connection, Dialect, Row};
use crate::{
    domain::time::span,
    store::{CheckpointDue, StoreError},
};

/// Claims the checkpoint at `revision` when enough has changed since the last one, and nobody else has claimed one
/// lately. An authority that dies with its claim is followed by another after the interval.
pub(super) async fn claim(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    revision: Revision,
    due: &CheckpointDue,
) -> Result<bool, StoreError> {
    if !is_due(connection, dialect, revision, due).await? {
        return Ok(false);
    }
    // A claim from the future was made by a clock that has been corrected since.
    let sql = format!(
        "UPDATE installation SET checkpoint_claimed_us = {now} \
         WHERE checkpoint_claimed_us <= {now} - $1 OR checkpoint_claimed_us > {now} RETURNING id",
        now = dialect.now,
    );
    let rows = connection.query(&sql, &[span(due.interval).into()]).await?;
    Ok(!rows.is_empty())
}

async fn is_due(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    revision: Revision,
    due: &CheckpointDue,
) -> Result<bool, StoreError> {
    let last = kept(connection).await?.first().copied().unwrap_or_default();
    let batches = revision.0.saturating_sub(last.0);
    if batches == 0 || batches >= due.batches_min {
        return Ok(batches > 0);
    }
    let sql = format!(
        "SELECT COALESCE(SUM(length(delta)), 0), COALESCE({now} - MIN(stamped_us), 0) \
         FROM log_batches WHERE revision > $1 AND revision <= $2",
        now = dialect.now,
    );
    let rows = connection
        .query(&sql, &[last.0.into(), revision.0.into()])
        .await?;
    let row = rows
        .first()
        .ok_or_else(|| StoreError::Internal("no sum".into()))?;
    Ok(row.unsigned(0)? >= due.bytes_min || row.int(1)? >= span(due.age_max))
}

/// Through where deltas may be trimmed: what the older of the two kept checkpoints holds, so that either of them can be
/// started from.
pub(super) async fn trimmable(connection: &mut dyn Connection) -> Result<Revision, StoreError> {
    Ok(kept(connection).await?.get(1).copied().unwrap_or_default())
}

async fn kept(connection: &mut dyn Connection) -> Result<Vec<Revision>, StoreError> {
    let sql = "SELECT revision FROM checkpoints ORDER BY revision DESC LIMIT 2";
    let rows = connection.query(sql, &[]).await?;
    let revision = |row: &Row| Ok(Revision(row.unsigned(0)?));
    rows.iter().map(revision).collect()
}
