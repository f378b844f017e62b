//! Verification of the trail: every digest is computed again from the rows.

use std::{
    collections::{HashMap, HashSet},
    iter::Peekable,
    vec,
};

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
        row::{Row, only_row},
        value::Value,
    },
    row::{
        AuditColumns, AuditRow, RevisionColumn, RunningDigest, read_details, revision,
        select_columns,
    },
};
use crate::StoreError;
use portcullis_domain::{AuditFault, AuditVerdict, ErasedCounts, ErasedRows, Mutation};

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
/// The number of erasures after which a call ends, at the end of their batch.
const CALL_ERASURES_MAX: usize = 1_000;

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
        erased: HashMap::new(),
        erasures: HashSet::new(),
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
        erased: walk.into_erased(),
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
    /// The rows that each erasure has erased.
    erased: HashMap<EventId, ErasedRows>,
    /// Events that were found in the trail, and that began an erasure.
    erasures: HashSet<EventId>,
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
        while self.at < self.head && self.verified < limit && !self.is_full() {
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
                if self.is_full() {
                    break;
                }
            }
        }
        Ok(None)
    }

    /// True if the call has done as much as one call may.
    fn is_full(&self) -> bool {
        self.rows >= CALL_ROWS_MAX || self.erased.len() >= CALL_ERASURES_MAX
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
            let checked = check_row(&row, batch.revision, &mut running);
            let problem = match checked {
                Ok(read) => self.check_erasures(&read, batch.revision).await?,
                Err(problem) => Some(problem),
            };
            if let Some(problem) = problem {
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

    /// Checks that what is missing in a row was erased by an erasure of the trail, and counts it. Of the event that ends an
    /// erasure, checks that exactly as much refers to this erasure as it had erased.
    async fn check_erasures(
        &mut self,
        row: &AuditRow,
        revision: Revision,
    ) -> Result<Option<&'static str>, StoreError> {
        // Without these checks, whoever may write rows could blank one by hand, and the chain would still fit.
        let parts = [
            (row.actor_proof.is_erased(), row.actor_erased_by),
            (row.subject_proof.is_erased(), row.subject_erased_by),
        ];
        let mut by = Vec::new();
        for (is_erased, erasure) in parts {
            match (is_erased, erasure) {
                (false, None) => {}
                (true, Some(erasure)) if self.is_erasure(erasure).await? => by.push(erasure),
                _ => {
                    return Ok(Some(
                        "a part of the row was erased by no erasure of the trail",
                    ));
                }
            }
        }
        // One erasure of both parts is one row.
        by.dedup();
        for erasure in by {
            self.count_erased(erasure, revision);
        }
        self.check_end_of_erasure(row).await
    }

    fn count_erased(&mut self, erasure: EventId, revision: Revision) {
        let counted = self.erased.entry(erasure).or_insert(ErasedRows {
            erasure,
            rows: 0,
            first: revision,
            last: revision,
        });
        counted.rows += 1;
        counted.last = revision;
    }

    /// True if the trail has this event, and it began an erasure.
    async fn is_erasure(&mut self, event: EventId) -> Result<bool, StoreError> {
        if self.erasures.contains(&event) {
            return Ok(true);
        }
        let sql =
            "SELECT 1 FROM audit_events WHERE event_id = $1 AND ordinal = 0 AND action IN ($2, $3)";
        let values = [
            event.into(),
            Mutation::ERASE_USER.into(),
            Mutation::DELETE_TENANT.into(),
        ];
        let is_erasure = !self.db.query(sql, &values).await?.is_empty();
        if is_erasure {
            self.erasures.insert(event);
        }
        Ok(is_erasure)
    }

    async fn check_end_of_erasure(
        &mut self,
        row: &AuditRow,
    ) -> Result<Option<&'static str>, StoreError> {
        let ends = [Mutation::USER_ERASED, Mutation::TENANT_DELETED];
        if !ends.contains(&row.action.as_str()) || row.subject_proof.is_erased() {
            return Ok(None);
        }
        let Ok(erasure) = row.target.parse::<EventId>() else {
            return Ok(Some("the end of an erasure names no event"));
        };
        let sql = "SELECT (SELECT count(*) FROM audit_events a WHERE a.actor_erased_by = $1) \
             + (SELECT count(*) FROM audit_events s WHERE s.subject_erased_by = $1)";
        let rows = self.db.query(sql, &[erasure.into()]).await?;
        let found = only_row(&rows, "the number of erased parts")?.int(ONLY)?;
        let details = read_details(&row.details)?;
        let told = details.get(ErasedCounts::AUDIT_PARTS_DETAIL);
        if told.is_some_and(|told| *told == found.to_string()) {
            return Ok(None);
        }
        Ok(Some("other rows were erased than the erasure has counted"))
    }

    /// The erasures that were met, in the order of their first rows.
    fn into_erased(self) -> Vec<ErasedRows> {
        let mut erased: Vec<_> = self.erased.into_values().collect();
        erased.sort_by_key(|rows| (rows.first, rows.erasure.to_bytes()));
        erased
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

/// Reads a row, adds it to the digest of its batch, and compares its own digest.
fn check_row(
    row: &Row,
    batch: Revision,
    running: &mut RunningDigest,
) -> Result<AuditRow, &'static str> {
    if revision(row).ok() != Some(batch) {
        return Err("the row is of no batch");
    }
    let Ok(read) = AuditRow::read(row) else {
        return Err("the row was changed: it cannot be read");
    };
    if read.has_text_in_erased_part() {
        return Err("a part of the row was erased, and has a text");
    }
    let digest = running.add(&read);
    // A row without a digest of its own is covered by the digest of the batch.
    match row.optional_blob(AuditColumns::AT.digest) {
        Ok(None) => Ok(read),
        Ok(Some(stored)) if *stored == digest => Ok(read),
        _ => Err("the row was changed or added, or one of the batch before it is missing"),
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
