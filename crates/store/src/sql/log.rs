//! The log as rows: head, beat, tail, checkpoints, trimming.

use std::time::Duration;

use portcullis_contract::{
    position::{Chain, Incarnation, Position, Revision},
    view::Frame,
};
use prost::bytes::Bytes;

use super::{Connection, Dialect, Row, Value, transaction};
use crate::{
    domain::{Micros, time::span},
    store::{Beat, StoreError},
};

pub(super) async fn head(connection: &mut dyn Connection) -> Result<Position, StoreError> {
    let rows = connection
        .query("SELECT incarnation, revision, chain FROM log_head", &[])
        .await?;
    position(&rows)
}

pub(super) async fn head_and_chain(
    connection: &mut dyn Connection,
    revision: Revision,
) -> Result<(Position, Option<Chain>), StoreError> {
    let sql = "SELECT incarnation, revision, chain, (SELECT chain FROM log_batches WHERE revision = $1) FROM log_head";
    let rows = connection.query(sql, &[revision.0.into()]).await?;
    let head = position(&rows)?;
    if revision == Revision(0) {
        return Ok((head, Some(Chain::default())));
    }
    let row = rows.first().map(|row| row.optional_blob(3)).transpose()?;
    let chain = match row.flatten() {
        Some(bytes) => {
            let bytes = bytes.try_into();
            Some(Chain(bytes.map_err(|_| {
                StoreError::Internal("a chain has another length".into())
            })?))
        }
        None => None,
    };
    Ok((head, chain))
}

/// The row is that of no authority: whoever calls this is alone.
/// The row of `authority_beat` that the check of writes uses.
pub(super) const WRITE_CHECK: [u8; 16] = [0; 16];

pub(super) async fn check_writes(
    connection: &mut dyn Connection,
    dialect: &Dialect,
) -> Result<(), StoreError> {
    let sql = format!(
        "INSERT INTO authority_beat VALUES ($1, 1, {now}) \
         ON CONFLICT (authority_id) DO UPDATE SET beat = authority_beat.beat + 1, beat_us = {now}",
        now = dialect.now,
    );
    connection.query(&sql, &[WRITE_CHECK[..].into()]).await?;
    Ok(())
}

/// The write and the read are one statement: its snapshot is taken after the call began, and its commit is durable.
pub(super) async fn beat(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    authority: &[u8; 16],
) -> Result<Beat, StoreError> {
    if !dialect.beat_writes {
        let sql = format!(
            "SELECT incarnation, revision, chain, {now} FROM log_head",
            now = dialect.now
        );
        return answered(&connection.query(&sql, &[]).await?);
    }
    let sql = format!(
        "INSERT INTO authority_beat VALUES ($1, 1, {now}) \
         ON CONFLICT (authority_id) DO UPDATE SET beat = authority_beat.beat + 1, beat_us = {now} \
         RETURNING (SELECT incarnation FROM log_head), (SELECT revision FROM log_head), (SELECT chain FROM log_head), {now}",
        now = dialect.now,
    );
    answered(&connection.query(&sql, &[authority[..].into()]).await?)
}

fn answered(rows: &[Row]) -> Result<Beat, StoreError> {
    let head = position(rows)?;
    Ok(Beat {
        head,
        time: Micros(rows[0].int(3)?),
    })
}

pub(super) fn position(rows: &[Row]) -> Result<Position, StoreError> {
    let row = rows
        .first()
        .ok_or_else(|| StoreError::Internal("the log has no head".into()))?;
    Ok(Position {
        incarnation: Incarnation(row.array(0)?),
        revision: Revision(row.unsigned(1)?),
        chain: Chain(row.array(2)?),
    })
}

pub(super) async fn tail(
    connection: &mut dyn Connection,
    after: Revision,
    limit: u32,
) -> Result<Vec<Frame>, StoreError> {
    let sql = "SELECT revision, delta, audit_digest FROM log_batches WHERE revision > $1 ORDER BY revision LIMIT $2";
    let rows = connection
        .query(sql, &[after.0.into(), i64::from(limit).into()])
        .await?;
    rows.iter().map(frame).collect()
}

fn frame(row: &Row) -> Result<Frame, StoreError> {
    let delta = row.optional_blob(1)?.ok_or(StoreError::Trimmed)?;
    Ok(Frame {
        revision: Revision(row.unsigned(0)?),
        delta: Bytes::copy_from_slice(delta),
        audit_digest: row.array(2)?,
    })
}

pub(super) async fn chain(
    connection: &mut dyn Connection,
    revision: Revision,
) -> Result<Option<Chain>, StoreError> {
    if revision == Revision(0) {
        return Ok(Some(Chain::default()));
    }
    let rows = connection
        .query(
            "SELECT chain FROM log_batches WHERE revision = $1",
            &[revision.0.into()],
        )
        .await?;
    rows.first().map(|row| Ok(Chain(row.array(0)?))).transpose()
}

pub(super) async fn save_checkpoint(
    connection: &mut dyn Connection,
    revision: Revision,
    view: &Bytes,
    code: &Bytes,
) -> Result<(), StoreError> {
    transaction!(
        connection,
        insert_checkpoint(connection, revision, view, code)
    )
}

pub(super) async fn insert_checkpoint(
    connection: &mut dyn Connection,
    revision: Revision,
    view: &Bytes,
    code: &Bytes,
) -> Result<(), StoreError> {
    let insert = "INSERT INTO checkpoints VALUES ($1, $2, $3) ON CONFLICT (revision) DO NOTHING";
    connection
        .query(
            insert,
            &[revision.0.into(), view[..].into(), code[..].into()],
        )
        .await?;
    let prune = "DELETE FROM checkpoints WHERE revision NOT IN \
                 (SELECT revision FROM checkpoints ORDER BY revision DESC LIMIT 2)";
    connection.query(prune, &[]).await?;
    Ok(())
}

pub(super) async fn checkpoints(
    connection: &mut dyn Connection,
) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
    let rows = connection
        .query(
            "SELECT view, code FROM checkpoints ORDER BY revision DESC",
            &[],
        )
        .await?;
    let pair = |row: &Row| {
        Ok((
            Bytes::copy_from_slice(row.blob(0)?),
            Bytes::copy_from_slice(row.blob(1)?),
        ))
    };
    rows.iter().map(pair).collect()
}

pub(super) async fn trim(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    through: Revision,
    age: Duration,
) -> Result<u64, StoreError> {
    let sql = format!(
        "UPDATE log_batches SET delta = NULL \
         WHERE revision <= $1 AND stamped_us <= {now} - $2 AND delta IS NOT NULL RETURNING revision",
        now = dialect.now,
    );
    Ok(connection
        .query(&sql, &[through.0.into(), Value::from(span(age))])
        .await?
        .len() as u64)
}
