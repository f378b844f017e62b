//! Verification of the trail: every digest is computed again from the rows.

use std::{iter::Peekable, vec};

use portcullis_contract::{
    id::EventId,
    position::{Chain, Digest, Revision, sha256},
};

use super::{
    super::{
        columns::{ONLY, columns},
        db::Db,
        log,
        recover::RECOVERY_STRIDE,
        row::Row,
        value::Value,
    },
    row::{AuditColumns, AuditRow, RevisionColumn, RunningDigest, revision, select_columns},
};
use crate::StoreError;
use portcullis_domain::{AuditFault, AuditVerdict};

columns! {
    /// A batch to verify.
    BatchColumns { revision, delta, delta_digest, audit_digest, chain }
}

/// The most batches of one read. A delta may have 100 kB.
const BATCHES_MAX: u64 = 64;
/// The most rows of one read.
const ROWS_MAX: i64 = 2_048;
/// The number of rows after which a call ends, at the end of their batch.
const CALL_ROWS_MAX: u64 = 200_000;

/// Verifies at most `limit` batches after `after`. Returns none when the log has no revision `after`.
///
/// Batches that are appended meanwhile are not verified. Rows beyond the head of this moment are a fault.
pub(in crate::sql) async fn verify(
    db: &mut Db,
    after: Revision,
    limit: u64,
) -> Result<Option<AuditVerdict>, StoreError> {
    // The head first: a batch that is appended while this runs is beyond it, and is left to the
    // next call.
    let head = log::head(db).await?;
    let Some(chain) = log::chain(db, after).await? else {
        return Ok(None);
    };
    let mut walk = Walk {
        db,
        at: after,
        chain,
        verified: 0,
        rows: 0,
        head: head.revision,
    };
    let mut fault = walk.run(limit).await?;
    if fault.is_none() && walk.at == head.revision {
        fault = walk.check_head(head.chain).await?;
    }
    Ok(Some(AuditVerdict {
        verified: walk.verified,
        through: walk.at,
        head: head.revision,
        fault,
    }))
}

struct Walk<'a> {
    db: &'a mut Db,
    /// The last batch without a fault, and the chain there.
    at: Revision,
    chain: Chain,
    verified: u64,
    rows: u64,
    head: Revision,
}

struct StoredBatch {
    revision: Revision,
    delta: Option<Digest>,
    delta_digest: Option<Digest>,
    audit_digest: Digest,
    chain: Chain,
}

impl Walk<'_> {
    /// Goes on until the head, the limit or a fault.
    async fn run(&mut self, limit: u64) -> Result<Option<AuditFault>, StoreError> {
        while self.at < self.head && self.verified < limit && self.rows < CALL_ROWS_MAX {
            let most = (limit - self.verified).min(BATCHES_MAX);
            let batches = self.read_batches(most).await?;
            let Some(last) = batches.last() else {
                return Ok(Some(fault_of_batch(self.at.next(), "the batch is missing")));
            };
            let mut rows = RowPages::new(self.at, last.revision);
            for batch in &batches {
                if let Some(fault) = self.check(batch, &mut rows).await? {
                    return Ok(Some(fault));
                }
                // Checked after each batch too: one batch may have thousands of rows.
                if self.rows >= CALL_ROWS_MAX {
                    break;
                }
            }
        }
        Ok(None)
    }

    /// Reads the batches right after the last one, or right after the gap that a recovery leaves.
    async fn read_batches(&mut self, limit: u64) -> Result<Vec<StoredBatch>, StoreError> {
        // The range is short, so that a plan that sorts cannot sort the whole log.
        let sql = format!(
            "SELECT {} FROM log_batches WHERE revision > $1 AND revision <= $2 ORDER BY revision",
            BatchColumns::names()
        );
        let after_recovery = self.at.0 + RECOVERY_STRIDE - 1;
        for after in [self.at.0, after_recovery] {
            let through = (after + limit).min(self.head.0);
            let values = [after.into(), through.into()];
            let rows = self.db.query(&sql, &values).await?;
            if !rows.is_empty() {
                return rows.iter().map(read_batch).collect();
            }
        }
        Ok(Vec::new())
    }

    /// Checks a batch against its rows and the chain before it. Without a fault, the walk is at this batch afterwards.
    async fn check(
        &mut self,
        batch: &StoredBatch,
        rows: &mut RowPages,
    ) -> Result<Option<AuditFault>, StoreError> {
        // A recovery skips the revisions that the lost history may have used.
        let after_recovery = Revision(self.at.0 + RECOVERY_STRIDE);
        if ![self.at.next(), after_recovery].contains(&batch.revision) {
            return Ok(Some(fault_of_batch(self.at.next(), "the batch is missing")));
        }
        let mut running = RunningDigest::new();
        while let Some(row) = rows.next_up_to(self.db, batch.revision).await? {
            self.rows += 1;
            if let Some(problem) = problem_of_row(&row, batch.revision, &mut running) {
                return Ok(Some(fault_of_row(&row, problem)));
            }
        }
        if let Some(problem) = problem_of_batch(batch, self.chain, &running.digest()) {
            return Ok(Some(fault_of_batch(batch.revision, problem)));
        }
        self.at = batch.revision;
        self.chain = batch.chain;
        self.verified += 1;
        Ok(None)
    }

    /// Checks the head against the last batch, and that nothing is beyond it.
    async fn check_head(&mut self, chain: Chain) -> Result<Option<AuditFault>, StoreError> {
        if self.chain != chain {
            return Ok(Some(fault_of_batch(
                self.head,
                "the head's chain is not that of its batch",
            )));
        }
        self.find_beyond_head().await
    }

    /// Finds a batch or a row whose revision is beyond the head.
    async fn find_beyond_head(&mut self) -> Result<Option<AuditFault>, StoreError> {
        let batches = "SELECT revision FROM log_batches \
             WHERE revision > (SELECT revision FROM log_head) ORDER BY revision LIMIT 1";
        if let Some(row) = self.db.query(batches, &[]).await?.first() {
            let revision = row.revision(ONLY)?;
            return Ok(Some(fault_of_batch(
                revision,
                "the batch is beyond the head",
            )));
        }
        let rows = format!(
            "SELECT {} FROM audit_events WHERE revision > (SELECT revision FROM log_head) \
             ORDER BY revision, event_id, ordinal LIMIT 1",
            select_columns()
        );
        let rows = self.db.query(&rows, &[]).await?;
        Ok(rows
            .first()
            .map(|row| fault_of_row(row, "the row is beyond the head")))
    }
}

/// Reads a batch.
fn read_batch(row: &Row) -> Result<StoredBatch, StoreError> {
    // A digest of another length reads as zeros, which cannot be right: the check of the batch will
    // say so.
    let columns = BatchColumns::AT;
    let delta_digest = row.optional_blob(columns.delta_digest)?;
    Ok(StoredBatch {
        revision: row.revision(columns.revision)?,
        delta: row.optional_blob(columns.delta)?.map(sha256),
        delta_digest: delta_digest.and_then(|digest| digest.try_into().ok()),
        audit_digest: row.array(columns.audit_digest).unwrap_or_default(),
        chain: Chain(row.array(columns.chain).unwrap_or_default()),
    })
}

fn problem_of_row(row: &Row, batch: Revision, running: &mut RunningDigest) -> Option<&'static str> {
    if revision(row).ok() != Some(batch) {
        return Some("the row is of no batch");
    }
    let Ok(read) = AuditRow::read(row) else {
        return Some("the row was changed: it cannot be read");
    };
    let digest = running.add(&read);
    // A row without a digest of its own is covered by the digest of the batch.
    match row.optional_blob(AuditColumns::AT.digest) {
        Ok(None) => None,
        Ok(Some(stored)) if *stored == digest => None,
        _ => Some("the row was changed or added, or one of the batch before it is missing"),
    }
}

fn problem_of_batch(batch: &StoredBatch, before: Chain, rows: &Digest) -> Option<&'static str> {
    if batch.audit_digest != *rows {
        return Some(
            "rows of the batch are missing, added or changed, or its digest of them was changed",
        );
    }
    let Some(delta_digest) = batch.delta_digest else {
        return Some("the batch's digest of its delta is missing");
    };
    if batch.delta.is_some_and(|delta| delta != delta_digest) {
        return Some("the batch's delta was changed");
    }
    if before.link(&delta_digest, rows) != batch.chain {
        return Some("the batch does not continue the chain");
    }
    None
}

fn fault_of_batch(revision: Revision, problem: &'static str) -> AuditFault {
    AuditFault {
        revision,
        row: None,
        problem,
    }
}

/// The fault of a row, as far as its own columns can be read.
fn fault_of_row(row: &Row, problem: &'static str) -> AuditFault {
    let columns = AuditColumns::AT;
    let event = row.array(columns.event_id).ok().map(EventId::from_bytes);
    let ordinal = row.int(columns.ordinal).unwrap_or(-1);
    AuditFault {
        revision: revision(row).unwrap_or_default(),
        row: event.zip(u32::try_from(ordinal).ok()),
        problem,
    }
}

/// The rows of some batches in their order, read a page at a time.
struct RowPages {
    page: Peekable<vec::IntoIter<Row>>,
    /// The revision, event and ordinal of the last row that was read.
    last: [Value; 3],
    through: Revision,
    ended: bool,
}

impl RowPages {
    fn new(after: Revision, through: Revision) -> Self {
        // Before the first batch there must be no row, whatever its revision.
        let after = if after == Revision(0) {
            i64::MIN.into()
        } else {
            after.into()
        };
        // Greater than the key of every row of that revision.
        let last = [after, [0xff; 17][..].into(), i64::MAX.into()];
        Self {
            page: Vec::new().into_iter().peekable(),
            last,
            through,
            ended: false,
        }
    }

    /// The next row, unless it is of a later batch.
    async fn next_up_to(
        &mut self,
        db: &mut Db,
        batch: Revision,
    ) -> Result<Option<Row>, StoreError> {
        if self.page.peek().is_none() && !self.ended {
            self.read_page(db).await?;
        }
        // Compared as the database has it: a row with a negative revision is of no batch, and must be found.
        let batch = i64::try_from(batch.0).unwrap_or(i64::MAX);
        let column = RevisionColumn::AT.revision;
        Ok(self
            .page
            .next_if(|row| row.int(column).is_ok_and(|revision| revision <= batch)))
    }

    async fn read_page(&mut self, db: &mut Db) -> Result<(), StoreError> {
        let page = self.read(db).await?;
        self.ended = page.len() < usize::try_from(ROWS_MAX).unwrap_or(usize::MAX);
        if let Some(row) = page.last() {
            let columns = AuditColumns::AT;
            self.last = [
                row.value(RevisionColumn::AT.revision)?.clone(),
                row.value(columns.event_id)?.clone(),
                row.value(columns.ordinal)?.clone(),
            ];
        }
        self.page = page.into_iter().peekable();
        Ok(())
    }

    async fn read(&self, db: &mut Db) -> Result<Vec<Row>, StoreError> {
        // By revision, with its own index: rows that somebody added under a wrong event are met as
        // well.
        let sql = format!(
            "SELECT {} FROM audit_events WHERE (revision, event_id, ordinal) > ($1, $2, $3) AND revision <= $4 \
             ORDER BY revision, event_id, ordinal LIMIT $5",
            select_columns()
        );
        let [revision, event, ordinal] = self.last.clone();
        let values = [
            revision,
            event,
            ordinal,
            self.through.into(),
            ROWS_MAX.into(),
        ];
        Ok(db.query(&sql, &values).await?)
    }
}
