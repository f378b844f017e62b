//! The rows that authorities write for each other.

use std::time::Duration;

use super::{columns::columns, db::Db, row::Row};
use crate::{AuthorityShare, PeerRow, StoreError, peers::PEERS_MAX};

columns! {
    /// The row of another authority.
    PeerColumns { authority_id, name, version, wanted, beat }
}

columns! {
    /// A roster.
    RosterColumns { version, roster }
}

columns! {
    /// The statuses of streams, and the time since they were written.
    StatusColumns { statuses, age_us }
}

/// Writes the row of an authority, unless it has a roster of a later version.
pub(super) async fn share(
    db: &mut Db,
    authority: &[u8; 16],
    share: AuthorityShare,
) -> Result<(), StoreError> {
    // A write that hung and is executed late must not take a validator out of the roster.
    let sql = "INSERT INTO authority_shares (authority_id, name, version, roster_version, roster, wanted, statuses, \
                   statuses_us, log_version, gates_log_version) \
               VALUES ($1, $2, 1, $3, $4, $5, $6, 0, $7, $8) \
               ON CONFLICT (authority_id) DO UPDATE SET version = authority_shares.version + 1, \
                   name = excluded.name, roster_version = excluded.roster_version, roster = excluded.roster, \
                   wanted = excluded.wanted, log_version = excluded.log_version, \
                   gates_log_version = excluded.gates_log_version \
               WHERE authority_shares.roster_version <= excluded.roster_version";
    let values = [
        authority[..].into(),
        share.name.into(),
        share.roster_version.into(),
        share.roster.into(),
        share.wanted.into(),
        Vec::<u8>::new().into(),
        i64::from(share.log_version).into(),
        i64::from(share.gates_log_version).into(),
    ];
    db.query(sql, &values).await?;
    Ok(())
}

pub(super) async fn share_statuses(
    db: &mut Db,
    authority: &[u8; 16],
    statuses: Vec<u8>,
) -> Result<(), StoreError> {
    let sql = format!(
        "UPDATE authority_shares SET statuses = $2, statuses_us = {} WHERE authority_id = $1",
        db.dialect.now
    );
    db.query(&sql, &[authority[..].into(), statuses.into()])
        .await?;
    Ok(())
}

/// The rows of all authorities but one.
pub(super) async fn others(db: &mut Db, authority: &[u8; 16]) -> Result<Vec<PeerRow>, StoreError> {
    let peer = PeerColumns {
        authority_id: "s.authority_id",
        name: "s.name",
        version: "s.version",
        wanted: "s.wanted",
        beat: "b.beat",
    };
    let sql = format!(
        "SELECT {} FROM authority_shares s LEFT JOIN authority_beat b ON b.authority_id = s.authority_id \
         WHERE s.authority_id <> $1 LIMIT {}",
        peer.select(),
        PEERS_MAX + 1,
    );
    let rows = db.query(&sql, &[authority[..].into()]).await?;
    // A part of them would look like all: a receipt must not be complete without the others.
    if rows.len() > PEERS_MAX as usize {
        return Err(StoreError::Overloaded("rows of authorities".into()));
    }
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<PeerRow, StoreError> {
    let columns = PeerColumns::AT;
    let beat = row.optional_int(columns.beat)?;
    Ok(PeerRow {
        authority: row.array(columns.authority_id)?,
        name: row.text(columns.name)?,
        version: row.unsigned(columns.version)?,
        wanted: row.revision(columns.wanted)?,
        beat: beat.map(i64::cast_unsigned),
    })
}

pub(super) async fn roster(
    db: &mut Db,
    peer: &[u8; 16],
) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
    let sql = format!(
        "SELECT {} FROM authority_shares WHERE authority_id = $1",
        RosterColumns::names()
    );
    let rows = db.query(&sql, &[peer[..].into()]).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let columns = RosterColumns::AT;
    let roster = row.blob(columns.roster)?.to_vec();
    Ok(Some((row.unsigned(columns.version)?, roster)))
}

pub(super) async fn statuses(
    db: &mut Db,
    peer: &[u8; 16],
) -> Result<Option<(Vec<u8>, Duration)>, StoreError> {
    let age = format!("{} - statuses_us", db.dialect.now);
    let columns = StatusColumns {
        statuses: "statuses",
        age_us: &age,
    };
    let sql = format!(
        "SELECT {} FROM authority_shares WHERE authority_id = $1",
        columns.select()
    );
    let rows = db.query(&sql, &[peer[..].into()]).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let columns = StatusColumns::AT;
    // The database's clock may have been set back since.
    let age = u64::try_from(row.int(columns.age_us)?).unwrap_or_default();
    let statuses = row.blob(columns.statuses)?.to_vec();
    Ok(Some((statuses, Duration::from_micros(age))))
}

pub(super) async fn remove(db: &mut Db, peer: &[u8; 16], version: u64) -> Result<(), StoreError> {
    // An authority that was taken for dead and writes again has a later version, and keeps its row.
    let sql = "DELETE FROM authority_shares WHERE authority_id = $1 AND version = $2";
    db.query(sql, &[peer[..].into(), version.into()]).await?;
    Ok(())
}

/// The version of an authority's roster, within another statement. `$1` is its id.
pub(super) const ROSTER_VERSION: &str =
    "(SELECT roster_version FROM authority_shares WHERE authority_id = $1)";
