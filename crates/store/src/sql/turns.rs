//! The time since the last turn, which the row of the installation keeps.

use std::time::Duration;

use super::{
    columns::{ONLY, columns},
    db::Db,
    row::only_row,
};
use crate::StoreError;
use portcullis_domain::{Counting, Micros, SinceTurn, time::span};

columns! {
    /// The time since the last turn.
    SinceTurnColumns { last_turn_us, clock_latest_us, turn_counted_us, clock_floor_us }
}

columns! {
    /// The authority that counts the time, and how often one has counted.
    CountingColumns { turn_count, turn_counter }
}

/// Reads the time since the last turn. Until this transaction ends, no other one can turn.
pub(super) async fn lock_since_turn(db: &mut Db, now: Micros) -> Result<SinceTurn, StoreError> {
    // The latest time only grows: a clock that was set back must not bring the next turn closer.
    let sql = format!(
        "UPDATE installation SET clock_latest_us = \
         CASE WHEN clock_latest_us > $1 THEN clock_latest_us ELSE $1 END \
         RETURNING {}",
        SinceTurnColumns::names()
    );
    let rows = db.query(&sql, &[now.into()]).await?;
    let row = only_row(&rows, "installation")?;
    let columns = SinceTurnColumns::AT;
    Ok(SinceTurn {
        turned: row.time(columns.last_turn_us)?,
        latest: row.time(columns.clock_latest_us)?,
        counted_us: row.int(columns.turn_counted_us)?,
        clock_floor: row.time(columns.clock_floor_us)?,
    })
}

/// Records a turn, and starts to count from 0.
pub(super) async fn turn(
    db: &mut Db,
    turned: Micros,
    clock_floor: Micros,
) -> Result<(), StoreError> {
    // The count moves on, so that time from before the turn cannot be added after it.
    let sql = "UPDATE installation SET last_turn_us = $1, turn_counted_us = 0, \
         turn_count = turn_count + 1, clock_floor_us = $2";
    db.query(sql, &[turned.into(), clock_floor.into()]).await?;
    Ok(())
}

/// Reads the floor of the clock. Until this transaction ends, no other one can change it.
pub(super) async fn lock_clock_floor(db: &mut Db) -> Result<Micros, StoreError> {
    let sql = "UPDATE installation SET clock_floor_us = clock_floor_us RETURNING clock_floor_us";
    let rows = db.query(sql, &[]).await?;
    only_row(&rows, "installation")?.time(ONLY)
}

/// Raises the floor of the clock, if it is lower.
pub(super) async fn raise_clock_floor(db: &mut Db, floor: Micros) -> Result<(), StoreError> {
    let sql = "UPDATE installation SET clock_floor_us = $1 WHERE clock_floor_us < $1";
    db.query(sql, &[floor.into()]).await?;
    Ok(())
}

/// Lowers the floor of the clock after a sign-out of everyone, which covers every session that gates have forgotten.
pub(super) async fn lower_clock_floor(db: &mut Db) -> Result<(), StoreError> {
    // A sign-out ends no API keys. So those that gates have forgotten still count.
    let sql = "UPDATE installation SET clock_floor_us = \
         COALESCE((SELECT max(expires_us) FROM api_keys WHERE forgotten_us IS NOT NULL), 0)";
    db.query(sql, &[]).await?;
    Ok(())
}

pub(super) async fn counting(db: &mut Db) -> Result<Counting, StoreError> {
    let sql = format!("SELECT {} FROM installation", CountingColumns::names());
    let rows = db.query(&sql, &[]).await?;
    let row = only_row(&rows, "installation")?;
    let columns = CountingColumns::AT;
    Ok(Counting {
        by: row.optional_array(columns.turn_counter)?,
        number: row.int(columns.turn_count)?,
    })
}

/// Adds time, if no authority has counted or turned since the count was `number`.
pub(super) async fn count(
    db: &mut Db,
    authority: &[u8; 16],
    number: i64,
    passed: Duration,
) -> Result<bool, StoreError> {
    // It is one statement, so that of two counts after one number only one happens.
    let sql = format!(
        "UPDATE installation SET turn_counter = $1, turn_count = turn_count + 1, \
         turn_counted_us = turn_counted_us + $3, clock_latest_us = \
         CASE WHEN clock_latest_us > {now} THEN clock_latest_us ELSE {now} END \
         WHERE turn_count = $2 RETURNING id",
        now = db.dialect.now,
    );
    let values = [authority[..].into(), number.into(), span(passed).into()];
    let counted = db.query(&sql, &values).await?;
    Ok(!counted.is_empty())
}
