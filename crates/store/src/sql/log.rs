//! The log as rows: its head, beats, batches, trimming.

use std::time::Duration;

use portcullis_contract::{
    position::{Chain, Digest, Incarnation, Position, Revision, sha256},
    seeded::{self, Mistake},
    view::Frame,
};
use prost::bytes::Bytes;

use super::{
    columns::{ONLY, columns},
    connection::{Dialect, Statement},
    db::Db,
    peers::ROSTER_VERSION,
    row::{Row, only_row},
    value::Value,
};
use crate::{Beat, LogBatch, StoreError};
use portcullis_domain::{Micros, time::span};

columns! {
    /// The head of the log.
    HeadColumns { incarnation, revision, chain }
}

columns! {
    /// The chain at an earlier revision.
    EarlierChain after HeadColumns { earlier_chain }
}

columns! {
    /// The time at which the head was read.
    HeadTime after HeadColumns { now_us }
}

columns! {
    /// The roster of the authority that beats. Null: there is none.
    BeatRoster after HeadTime { roster_version }
}

columns! {
    /// The floor of the database's clock.
    BeatFloor after BeatRoster { clock_floor_us }
}

columns! {
    /// A batch as gates receive it, with the chain behind it.
    BatchColumns { revision, delta, audit_digest, chain }
}

columns! {
    /// The history that a batch is of.
    BatchHistory after BatchColumns { incarnation }
}

/// The chain at revision `$1`, or null. Where old batches are gone, the beginning of the trail has the chain of the last.
const EARLIER_CHAIN: &str = "COALESCE((SELECT b.chain FROM log_batches b WHERE b.revision = $1), \
     (SELECT a.chain FROM audit_begin a WHERE a.revision = $1))";

/// The row of `authority_beat` that the check of writes uses. No authority has this id.
pub(super) const WRITE_CHECK: [u8; 16] = [0; 16];

/// The age of the last beat from which an authority is taken for gone.
const BEAT_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) async fn head(db: &mut Db) -> Result<Position, StoreError> {
    let sql = format!("SELECT {} FROM log_head", HeadColumns::names());
    position(&db.query(&sql, &[]).await?)
}

/// Reads the head and an earlier chain in one statement, so that both are of one history.
pub(super) async fn head_and_chain(
    db: &mut Db,
    revision: Revision,
) -> Result<(Position, Option<Chain>), StoreError> {
    let earlier = EarlierChain {
        earlier_chain: EARLIER_CHAIN,
    };
    let sql = format!(
        "SELECT {}, {} FROM log_head",
        HeadColumns::names(),
        earlier.select()
    );
    let rows = db.query(&sql, &[revision.into()]).await?;
    let head = position(&rows)?;
    // Revision 0 is the beginning of every history. It has no batch, and its chain is known.
    if revision == Revision(0) {
        return Ok((head, Some(Chain::default())));
    }
    let row = only_row(&rows, "log_head")?;
    let chain = row.optional_array(EarlierChain::AT.earlier_chain)?;
    Ok((head, chain.map(Chain)))
}

/// Writes a small row of its own, durably.
pub(super) async fn check_writes(db: &mut Db) -> Result<(), StoreError> {
    let sql = write_beat(&db.dialect);
    db.query(&sql, &[WRITE_CHECK[..].into()]).await?;
    Ok(())
}

/// Writes the row of this authority, and reads the head.
pub(super) async fn beat(db: &mut Db, authority: &[u8; 16]) -> Result<Beat, StoreError> {
    let writes = db.dialect.beat_writes && !seeded::has(Mistake::HeadFromStandby);
    let sql = match writes {
        true => beat_statement(&db.dialect),
        false => read_statement(&db.dialect),
    };
    read_beat(&db.query(&sql, &[authority[..].into()]).await?)
}

fn read_beat(rows: &[Row]) -> Result<Beat, StoreError> {
    let row = only_row(rows, "log_head")?;
    let roster = row.optional_int(BeatRoster::AT.roster_version)?;
    Ok(Beat {
        head: position(rows)?,
        time: row.time(HeadTime::AT.now_us)?,
        roster: roster.unwrap_or_default().cast_unsigned(),
        clock_floor: row.time(BeatFloor::AT.clock_floor_us)?,
    })
}

/// Removes the row of an authority that has ended, and those of authorities that were not heard of for a day.
pub(super) async fn end_beats(db: &mut Db, authority: &[u8; 16]) -> Result<(), StoreError> {
    let sql = format!(
        "DELETE FROM authority_beat WHERE authority_id = $1 OR beat_us < {now} - $2",
        now = db.dialect.now
    );
    let values: [Value; 2] = [authority[..].into(), span(BEAT_KEPT).into()];
    db.query(&sql, &values).await?;
    Ok(())
}

/// Removes the rows of authorities that were not heard of for a day.
pub(super) async fn remove_old_beats(db: &mut Db) -> Result<(), StoreError> {
    let sql = format!(
        "DELETE FROM authority_beat WHERE beat_us < {} - $1",
        db.dialect.now
    );
    db.query(&sql, &[span(BEAT_KEPT).into()]).await?;
    Ok(())
}

/// The time at which the head is read, in the same statement, so that gates can tell how old the head is.
fn select_time(dialect: &Dialect) -> String {
    let time = HeadTime {
        now_us: dialect.now,
    };
    time.select()
}

/// The roster of the authority, as it stood when the head was read.
fn select_roster() -> String {
    let roster = BeatRoster {
        roster_version: ROSTER_VERSION,
    };
    roster.select()
}

/// The floor of the clock, as it stood when the head was read: a floor that was lowered is seen with the sign-out of
/// everyone that allowed it.
fn select_floor() -> String {
    let floor = BeatFloor {
        clock_floor_us: "(SELECT clock_floor_us FROM installation)",
    };
    floor.select()
}

/// The statement of a beat that only reads, where no other server can be the primary.
fn read_statement(dialect: &Dialect) -> String {
    format!(
        "SELECT {head}, {time}, {roster}, {floor} FROM log_head",
        head = HeadColumns::names(),
        time = select_time(dialect),
        roster = select_roster(),
        floor = select_floor(),
    )
}

fn beat_statement(dialect: &Dialect) -> String {
    // The write and the read are one statement: its snapshot is taken after the call began, and its
    // commit is durable. Only the primary server can do that, so the head is not one of an earlier
    // primary.
    let head = HeadColumns {
        incarnation: "(SELECT incarnation FROM log_head)",
        revision: "(SELECT revision FROM log_head)",
        chain: "(SELECT chain FROM log_head)",
    };
    format!(
        "{write} RETURNING {head}, {time}, {roster}, {floor}",
        write = write_beat(dialect),
        head = head.select(),
        time = select_time(dialect),
        roster = select_roster(),
        floor = select_floor(),
    )
}

fn write_beat(dialect: &Dialect) -> String {
    format!(
        "INSERT INTO authority_beat (authority_id, beat, beat_us) VALUES ($1, 1, {now}) \
         ON CONFLICT (authority_id) DO UPDATE SET beat = authority_beat.beat + 1, beat_us = {now}",
        now = dialect.now,
    )
}

/// Reads [`HeadColumns`].
pub(super) fn position(rows: &[Row]) -> Result<Position, StoreError> {
    let row = only_row(rows, "log_head")?;
    let columns = HeadColumns::AT;
    Ok(Position {
        incarnation: Incarnation(row.array(columns.incarnation)?),
        revision: row.revision(columns.revision)?,
        chain: Chain(row.array(columns.chain)?),
    })
}

/// Draws the number of a batch from a sequence: a mistake that only tests make.
pub(super) async fn draw_number(db: &mut Db) -> Result<Option<i64>, StoreError> {
    // SQLite has one writer, so a number that is drawn there is the next to commit.
    if !db.dialect.beat_writes || !seeded::has(Mistake::SequenceAsCursor) {
        return Ok(None);
    }
    let rows = db.query("SELECT nextval('seeded_revision')", &[]).await?;
    Ok(Some(only_row(&rows, "seeded_revision")?.int(ONLY)?))
}

/// The statements of [`advance_head`] for a number that was drawn before.
pub(super) fn advance_to_number(statements: [Statement; 2], number: i64) -> [Statement; 2] {
    let [mut advance, mut insert] = statements;
    let greatest = format!("revision = GREATEST(revision, {number})");
    let drawn = format!("RETURNING incarnation, {number}::bigint");
    advance.sql = advance.sql.replace("revision = revision + 1", &greatest);
    advance.sql = advance
        .sql
        .replace("RETURNING incarnation, revision", &drawn);
    insert.sql = insert.sql.replace("h.revision", &number.to_string());
    [advance, insert]
}

/// The statements that write a batch: the first advances the head and returns it, the second inserts the batch.
pub(super) fn advance_head(
    dialect: &Dialect,
    stamp: Micros,
    delta: &[u8],
    audit_digest: &Digest,
) -> [Statement; 2] {
    // The head is a row that is updated, not the greatest revision of a table. Its lock orders
    // batches, so that commit order is revision order: a reader that has seen a revision has been
    // shown all before it.
    let delta_digest = sha256(delta);
    // The chain links digests, not bytes: it can be verified when the delta is trimmed.
    let link = [delta_digest, *audit_digest].concat();
    let advance = format!(
        "UPDATE log_head SET revision = revision + 1, chain = {} RETURNING {}",
        dialect.next_chain,
        HeadColumns::names()
    );
    let insert = "INSERT INTO log_batches (revision, delta, audit_digest, chain, stamped_us, delta_digest) \
         SELECT h.revision, $1, $2, h.chain, $3, $4 FROM log_head h";
    let values: [Value; 4] = [
        delta.into(),
        audit_digest[..].into(),
        stamp.into(),
        delta_digest[..].into(),
    ];
    [
        Statement::new(advance, [link.into()]),
        Statement::new(insert, values),
    ]
}

/// The batches after a revision, in order, at most `limit`.
pub(super) async fn tail(
    db: &mut Db,
    after: Revision,
    limit: u32,
) -> Result<Vec<LogBatch>, StoreError> {
    // In the same statement, so that the name is that of the history that has the batches.
    let history = BatchHistory {
        incarnation: "(SELECT incarnation FROM log_head)",
    };
    let sql = format!(
        "SELECT {}, {} FROM log_batches WHERE revision > $1 ORDER BY revision LIMIT $2",
        BatchColumns::names(),
        history.select()
    );
    let rows = db
        .query(&sql, &[after.into(), i64::from(limit).into()])
        .await?;
    rows.iter().map(read_batch).collect()
}

fn read_batch(row: &Row) -> Result<LogBatch, StoreError> {
    let columns = BatchColumns::AT;
    let revision = row.revision(columns.revision)?;
    let delta = row
        .optional_blob(columns.delta)?
        .ok_or(StoreError::Trimmed)?;
    let frame = Frame {
        revision,
        delta: Bytes::copy_from_slice(delta),
        audit_digest: row.array(columns.audit_digest)?,
    };
    let position = Position {
        incarnation: Incarnation(row.array(BatchHistory::AT.incarnation)?),
        revision,
        chain: Chain(row.array(columns.chain)?),
    };
    Ok(LogBatch { frame, position })
}

/// The last revision whose batch is gone because of its age.
pub(super) async fn gone_revision(db: &mut Db) -> Result<Revision, StoreError> {
    let rows = db.query("SELECT revision FROM audit_begin", &[]).await?;
    rows.first()
        .map_or(Ok(Revision(0)), |row| row.revision(ONLY))
}

/// The chain at a revision, if the log has that revision.
pub(super) async fn chain(db: &mut Db, revision: Revision) -> Result<Option<Chain>, StoreError> {
    if revision == Revision(0) {
        return Ok(Some(Chain::default()));
    }
    let sql = format!("SELECT {EARLIER_CHAIN}");
    let rows = db.query(&sql, &[revision.into()]).await?;
    let chain = only_row(&rows, "the chain")?.optional_array(ONLY)?;
    Ok(chain.map(Chain))
}

/// Deletes the deltas of batches up to `through` that are older than `age`, and returns their number.
pub(super) async fn trim(db: &mut Db, through: Revision, age: Duration) -> Result<u64, StoreError> {
    // The age keeps deltas for gates that reconnect, even when a checkpoint covers them.
    let sql = format!(
        "UPDATE log_batches SET delta = NULL \
         WHERE revision <= $1 AND stamped_us <= {now} - $2 AND delta IS NOT NULL RETURNING revision",
        now = db.dialect.now,
    );
    let trimmed = db.query(&sql, &[through.into(), span(age).into()]).await?;
    Ok(trimmed.len() as u64)
}
