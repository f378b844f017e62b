//! The time since the last turn, as the installation's row has it.

use std::time::Duration;

use super::{Connection, Dialect};
use crate::{
    domain::{Counting, Micros, SinceTurn, time::span},
    store::StoreError,
};

/// Reads what is known since the last turn, and keeps whoever else would turn out until this transaction ends.
pub(super) async fn lock_since_turn(
    connection: &mut dyn Connection,
    now: Micros,
) -> Result<SinceTurn, StoreError> {
    let sql = "UPDATE installation SET clock_latest_us = \
         CASE WHEN clock_latest_us > $1 THEN clock_latest_us ELSE $1 END \
         RETURNING last_turn_us, clock_latest_us, turn_counted_us";
    let rows = connection.query(sql, &[now.0.into()]).await?;
    let row = rows
        .first()
        .ok_or_else(|| StoreError::Internal("no installation".into()))?;
    Ok(SinceTurn {
        turned: Micros(row.int(0)?),
        latest: Micros(row.int(1)?),
        counted_us: row.int(2)?,
    })
}

/// Begins to count anew. The number moves on, so that time from before the turn cannot be added after it.
pub(super) async fn turn(
    connection: &mut dyn Connection,
    turned: Micros,
) -> Result<(), StoreError> {
    let sql = "UPDATE installation SET last_turn_us = $1, turn_counted_us = 0, turn_count = turn_count + 1";
    connection.query(sql, &[turned.0.into()]).await?;
    Ok(())
}

pub(super) async fn counting(connection: &mut dyn Connection) -> Result<Counting, StoreError> {
    let sql = "SELECT turn_count, turn_counter FROM installation";
    let rows = connection.query(sql, &[]).await?;
    let row = rows
        .first()
        .ok_or_else(|| StoreError::Internal("no installation".into()))?;
    let by = match row.optional_blob(1)? {
        Some(bytes) => Some(bytes.try_into().map_err(|_| {
            StoreError::Internal("the id of an authority has another length".into())
        })?),
        None => None,
    };
    Ok(Counting {
        by,
        number: row.int(0)?,
    })
}

/// One statement, so that of two counts after one number only one happens.
pub(super) async fn count(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    authority: &[u8; 16],
    number: i64,
    passed: Duration,
) -> Result<bool, StoreError> {
    let sql = format!(
        "UPDATE installation SET turn_counter = $1, turn_count = turn_count + 1, \
         turn_counted_us = turn_counted_us + $3, clock_latest_us = \
         CASE WHEN clock_latest_us > {now} THEN clock_latest_us ELSE {now} END \
         WHERE turn_count = $2 RETURNING id",
        now = dialect.now,
    );
    let params = [authority[..].into(), number.into(), span(passed).into()];
    Ok(!connection.query(&sql, &params).await?.is_empty())
}
