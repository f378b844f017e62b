//! Records of the rows that are gone from the trail because of their age: its beginning, batches that lost rows, and
//! erasures.
//!
//! Each has a code that only an authority can make, so that nobody can remove a row and write the record of it.

use std::collections::HashMap;

use portcullis_contract::{
    id::EventId,
    position::{Chain, Digest, Revision},
};

use super::super::{columns::columns, db::Db, row::Row, value::Value};
use crate::StoreError;
use portcullis_domain::{CodedRecord, RemovalPlace, TrailBegin};

columns! {
    /// The beginning of the trail.
    BeginColumns { revision, chain, batches, rows_gone, removals, code }
}

columns! {
    /// A batch that lost rows.
    GapColumns { revision, removed, code }
}

columns! {
    /// An erasure of which something is gone.
    GoneErasureColumns { event_id, has_begun, parts, code }
}

/// The bytes of a row in `audit_gaps`: event id, ordinal, digest.
const GONE_ROW_BYTES: usize = 16 + 8 + 32;

/// The beginning of the trail, as it is stored.
pub(super) struct StoredBegin {
    pub(super) begin: TrailBegin,
    /// Grows with each removal.
    pub(super) removals: i64,
    code: Vec<u8>,
}

impl StoredBegin {
    /// The record to check. None while nothing is gone.
    pub(super) fn record(&self) -> Option<CodedRecord> {
        if self.begin.revision == Revision(0) {
            return None;
        }
        Some(CodedRecord {
            revision: self.begin.revision,
            bytes: begin_bytes(&self.begin),
            code: self.code.clone(),
        })
    }
}

/// Reads the beginning of the trail.
pub(super) async fn read_begin(db: &mut Db) -> Result<StoredBegin, StoreError> {
    let sql = format!("SELECT {} FROM audit_begin", BeginColumns::names());
    let rows = db.query(&sql, &[]).await?;
    let Some(row) = rows.first() else {
        // Somebody has deleted the row. If batches are missing, the verification says which.
        return Ok(StoredBegin {
            begin: TrailBegin::default(),
            removals: 0,
            code: Vec::new(),
        });
    };
    let columns = BeginColumns::AT;
    Ok(StoredBegin {
        begin: TrailBegin {
            revision: row.revision(columns.revision)?,
            // A chain of another length reads as zeros, and its code cannot be right.
            chain: Chain(row.array(columns.chain).unwrap_or_default()),
            batches: row.unsigned(columns.batches)?,
            rows: row.unsigned(columns.rows_gone)?,
        },
        removals: row.int(columns.removals)?,
        code: row.blob(columns.code)?.to_vec(),
    })
}

/// The bytes that the code of the beginning is computed over.
pub(super) fn begin_bytes(begin: &TrailBegin) -> Vec<u8> {
    // Each kind of record begins with its own words. Without them the code of one kind could be
    // used for a record of another with the same bytes.
    let mut bytes = b"portcullis audit begin".to_vec();
    bytes.extend(begin.revision.0.to_be_bytes());
    bytes.extend(begin.chain.0);
    bytes.extend(begin.batches.to_be_bytes());
    bytes.extend(begin.rows.to_be_bytes());
    bytes
}

/// A row that is gone, and the digest that is left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GoneRow {
    /// Event id and ordinal.
    pub(super) key: ([u8; 16], i64),
    pub(super) digest: Digest,
}

/// The rows that a batch lost.
#[derive(Clone, Default)]
pub(super) struct Gap {
    /// In the order of their keys.
    pub(super) rows: Vec<GoneRow>,
    pub(super) record: Option<CodedRecord>,
}

/// Reads the gaps of the batches after `after`, up to `through`.
pub(super) async fn read_gaps(
    db: &mut Db,
    after: Revision,
    through: Revision,
) -> Result<HashMap<Revision, Gap>, StoreError> {
    let sql = format!(
        "SELECT {} FROM audit_gaps WHERE revision > $1 AND revision <= $2",
        GapColumns::names()
    );
    let rows = db.query(&sql, &[after.into(), through.into()]).await?;
    let mut gaps = HashMap::with_capacity(rows.len());
    for row in &rows {
        let revision = row.revision(GapColumns::AT.revision)?;
        gaps.insert(revision, read_gap(row, revision)?);
    }
    Ok(gaps)
}

fn read_gap(row: &Row, revision: Revision) -> Result<Gap, StoreError> {
    let columns = GapColumns::AT;
    let removed = row.blob(columns.removed)?;
    let mut rows = Vec::with_capacity(removed.len() / GONE_ROW_BYTES);
    // What is left over belongs to no row. The code is over all bytes, so a rest that somebody added is noticed.
    for bytes in removed.chunks_exact(GONE_ROW_BYTES) {
        rows.push(read_gone_row(bytes));
    }
    rows.sort_unstable();
    Ok(Gap {
        rows,
        record: Some(CodedRecord {
            revision,
            bytes: gap_bytes(revision, removed),
            code: row.blob(columns.code)?.to_vec(),
        }),
    })
}

fn read_gone_row(bytes: &[u8]) -> GoneRow {
    let (event, rest) = bytes.split_at(16);
    let (ordinal, digest) = rest.split_at(8);
    GoneRow {
        key: (
            event.try_into().expect("16 bytes"),
            i64::from_be_bytes(ordinal.try_into().expect("8 bytes")),
        ),
        digest: digest.try_into().expect("32 bytes"),
    }
}

/// The rows of a gap as they are stored.
pub(super) fn removed_bytes(rows: &[GoneRow]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(rows.len() * GONE_ROW_BYTES);
    for row in rows {
        let (event, ordinal) = row.key;
        bytes.extend(event);
        bytes.extend(ordinal.to_be_bytes());
        bytes.extend(row.digest);
    }
    bytes
}

/// The bytes that the code of a gap is computed over.
pub(super) fn gap_bytes(revision: Revision, removed: &[u8]) -> Vec<u8> {
    let mut bytes = b"portcullis audit gap".to_vec();
    bytes.extend(revision.0.to_be_bytes());
    bytes.extend(removed);
    bytes
}

/// The record of an erasure with events or parts that are gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct GoneErasure {
    /// The event that began it is gone.
    pub(super) has_begun: bool,
    /// The parts that it erased and that are gone.
    pub(super) parts: u64,
    pub(super) record: Option<CodedRecord>,
}

/// Reads the record of an erasure. Without one, nothing of the erasure is gone.
pub(super) async fn read_erasure(db: &mut Db, erasure: EventId) -> Result<GoneErasure, StoreError> {
    let sql = format!(
        "SELECT {} FROM audit_gone_erasures WHERE event_id = $1",
        GoneErasureColumns::names()
    );
    let rows = db.query(&sql, &[erasure.into()]).await?;
    let Some(row) = rows.first() else {
        return Ok(GoneErasure::default());
    };
    let columns = GoneErasureColumns::AT;
    let has_begun = row.is_true(columns.has_begun)?;
    let parts = row.unsigned(columns.parts)?;
    Ok(GoneErasure {
        has_begun,
        parts,
        record: Some(CodedRecord {
            revision: Revision(0),
            bytes: erasure_bytes(erasure, has_begun, parts),
            code: row.blob(columns.code)?.to_vec(),
        }),
    })
}

/// The bytes that the code of an erasure is computed over.
pub(super) fn erasure_bytes(erasure: EventId, has_begun: bool, parts: u64) -> Vec<u8> {
    let mut bytes = b"portcullis audit erasure".to_vec();
    bytes.extend(erasure.to_bytes());
    bytes.push(has_begun.into());
    bytes.extend(parts.to_be_bytes());
    bytes
}

/// Reads the record at a place. None: there is none any more.
pub(in crate::sql) async fn record(
    db: &mut Db,
    place: RemovalPlace,
) -> Result<Option<CodedRecord>, StoreError> {
    match place {
        RemovalPlace::Begin => Ok(read_begin(db).await?.record()),
        RemovalPlace::Gap(revision) => {
            let before = Revision(revision.0.saturating_sub(1));
            let mut gaps = read_gaps(db, before, revision).await?;
            Ok(gaps.remove(&revision).and_then(|gap| gap.record))
        }
        RemovalPlace::Erasure(event) => Ok(read_erasure(db, event).await?.record),
    }
}

/// The values of a row of `audit_gone_erasures`.
pub(super) fn erasure_values(
    erasure: EventId,
    known: &GoneErasure,
    code: Vec<u8>,
) -> GoneErasureColumns<Value> {
    GoneErasureColumns {
        event_id: erasure.into(),
        has_begun: known.has_begun.into(),
        parts: known.parts.into(),
        code: code.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_a_gap_are_read_as_they_were_written() {
        let rows = [1, 2].map(|number| GoneRow {
            key: ([number; 16], i64::from(number)),
            digest: [number + 1; 32],
        });
        let bytes = removed_bytes(&rows);
        let read: Vec<_> = bytes
            .chunks_exact(GONE_ROW_BYTES)
            .map(read_gone_row)
            .collect();
        assert_eq!(read, rows);
    }

    #[test]
    fn no_two_records_have_the_same_bytes() {
        let begin = TrailBegin {
            revision: Revision(1),
            rows: 2,
            ..TrailBegin::default()
        };
        let other = TrailBegin {
            batches: 2,
            rows: 0,
            ..begin
        };
        assert_ne!(begin_bytes(&begin), begin_bytes(&other));
        assert_ne!(gap_bytes(Revision(1), &[2]), gap_bytes(Revision(2), &[1]));
        let event = EventId::from_bytes([3; 16]);
        assert_ne!(
            erasure_bytes(event, true, 1),
            erasure_bytes(event, false, 1)
        );
    }
}
