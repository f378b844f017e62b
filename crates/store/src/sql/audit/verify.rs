//! Verification of the trail: every digest is computed again from the rows.

use std::{
    collections::{HashMap, HashSet},
    iter::Peekable,
    mem, vec,
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
    gone::{self, Gap, GoneErasure, GoneRow},
    row::{
        AuditColumns, AuditRow, RevisionColumn, RunningDigest, read_details, revision,
        select_columns,
    },
};
use crate::StoreError;
use portcullis_domain::{
    AuditFault, AuditVerdict, CodedRecord, ErasedCounts, ErasedRows, Micros, Mutation, TrailBegin,
};

columns! {
    /// A batch to verify.
    BatchColumns { revision, delta, delta_digest, audit_digest, chain, stamped_us }
}

/// The most batches of one read. A delta may have 100 kB.
const BATCHES_MAX: u64 = 64;
/// The most rows of one read.
const ROWS_MAX: i64 = 2_048;
/// The number of rows after which a call ends, at the end of their batch.
const CALL_ROWS_MAX: u64 = 200_000;
/// The number of erasures after which a call ends, at the end of their batch.
const CALL_ERASURES_MAX: usize = 1_000;

/// The most times that a call verifies batches again because rows of the trail were removed meanwhile.
const AGAIN_MAX: u32 = 16;

/// Verifies at most `limit` batches after `after`, or from the beginning of the trail if that is later. Returns none when
/// the log has no revision `after`.
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
    let begin = gone::read_begin(db).await?.begin;
    let Some(start) = find_start(db, after, &begin).await? else {
        return Ok(None);
    };

    let mut walk = Walk::new(db, start, head.revision);
    let fault = walk.run_to_head(limit, head.chain).await?;
    Ok(Some(walk.into_verdict(fault)))
}

/// The position from which a walk goes on, with the chain there. Returns none when the log has no revision `after`.
pub(super) async fn find_start(
    db: &mut Db,
    after: Revision,
    begin: &TrailBegin,
) -> Result<Option<(Revision, Chain)>, StoreError> {
    if after <= begin.revision {
        return Ok(Some((begin.revision, begin.chain)));
    }
    let chain = log::chain(db, after).await?;
    Ok(chain.map(|chain| (after, chain)))
}

/// A verification that goes from batch to batch.
pub(super) struct Walk<'a> {
    pub(super) db: &'a mut Db,
    /// The last batch without a fault, and the chain there.
    pub(super) at: Revision,
    pub(super) chain: Chain,
    pub(super) verified: u64,
    rows: u64,
    head: Revision,
    begin: TrailBegin,
    /// The number of rows that are gone from verified batches.
    removed: u64,
    /// The records of removals that were relied on.
    pub(super) records: Vec<CodedRecord>,
    /// The rows that each erasure has erased.
    erased: HashMap<EventId, ErasedRows>,
    /// Events that were found in the trail, and that began an erasure.
    erasures: HashSet<EventId>,
}

/// A batch of the log, as it is stored.
pub(super) struct StoredBatch {
    pub(super) revision: Revision,
    pub(super) delta: Option<Digest>,
    pub(super) delta_digest: Option<Digest>,
    pub(super) audit_digest: Digest,
    pub(super) chain: Chain,
    pub(super) stamped: Micros,
}

/// The rows of a batch that fit its digests.
#[derive(Default)]
pub(super) struct CheckedRows {
    pub(super) rows: Vec<AuditRow>,
    pub(super) gap: Gap,
    /// The erasures that each row names.
    erased_by: Vec<EventId>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(db: &'a mut Db, (at, chain): (Revision, Chain), head: Revision) -> Self {
        Self {
            db,
            at,
            chain,
            verified: 0,
            rows: 0,
            head,
            begin: TrailBegin::default(),
            removed: 0,
            records: Vec::new(),
            erased: HashMap::new(),
            erasures: HashSet::new(),
        }
    }

    /// Goes on until the limit or a fault, or to the head, which is checked as well.
    async fn run_to_head(
        &mut self,
        limit: u64,
        chain: Chain,
    ) -> Result<Option<AuditFault>, StoreError> {
        let fault = self.run(limit).await?;
        // The chain at the head is known only to a walk that reached it. One that stopped at the
        // limit leaves it to the next call.
        if fault.is_some() || self.at != self.head {
            return Ok(fault);
        }
        self.check_head(chain).await
    }

    /// Goes on until the head, the limit or a fault.
    async fn run(&mut self, limit: u64) -> Result<Option<AuditFault>, StoreError> {
        let mut again = 0;
        loop {
            let before = gone::read_begin(self.db).await?;
            self.begin_at(&before);
            let Some(fault) = self.run_once(limit).await? else {
                self.records.extend(before.record());
                return Ok(None);
            };
            // Rows may have been removed between two reads. Then the batch is looked at again.
            let after = gone::read_begin(self.db).await?;
            again += 1;
            if after.removals == before.removals || again == AGAIN_MAX {
                self.records.extend(before.record());
                return Ok(Some(fault));
            }
        }
    }

    /// Skips the batches before the trail's beginning.
    pub(super) fn begin_at(&mut self, stored: &gone::StoredBegin) {
        self.begin = stored.begin;
        if self.at < self.begin.revision {
            self.at = self.begin.revision;
            self.chain = self.begin.chain;
        }
    }

    async fn run_once(&mut self, limit: u64) -> Result<Option<AuditFault>, StoreError> {
        if self.at == self.begin.revision
            && let Some(fault) = self.find_before_begin().await?
        {
            return Ok(Some(fault));
        }
        while self.at < self.head && self.verified < limit && !self.is_full() {
            let most = (limit - self.verified).min(BATCHES_MAX);
            let batches = self.read_batches(most).await?;
            let Some(last) = batches.last() else {
                return Ok(Some(fault_of_batch(self.at.next(), "the batch is missing")));
            };
            let mut pages = self.pages(last.revision).await?;
            for batch in &batches {
                if let Err(fault) = self.check(batch, &mut pages).await? {
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

    /// Finds a batch that the beginning of the trail says is gone.
    async fn find_before_begin(&mut self) -> Result<Option<AuditFault>, StoreError> {
        let sql = "SELECT revision FROM log_batches WHERE revision <= $1 ORDER BY revision LIMIT 1";
        let rows = self.db.query(sql, &[self.begin.revision.into()]).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let problem = "the batch is before the beginning of the trail";
        Ok(Some(fault_of_batch(row.revision(ONLY)?, problem)))
    }

    /// The rows after the last batch up to a revision, and the records of those that are gone.
    pub(super) async fn pages(&mut self, through: Revision) -> Result<RowPages, StoreError> {
        let gaps = gone::read_gaps(self.db, self.at, through).await?;
        let is_first = self.at == self.begin.revision;
        Ok(RowPages::new(self.at, through, is_first, gaps))
    }

    /// True if the call has done as much as one call may.
    fn is_full(&self) -> bool {
        self.rows >= CALL_ROWS_MAX || self.erased.len() >= CALL_ERASURES_MAX
    }

    /// Reads the batches right after the last one, or right after the gap that a recovery leaves.
    pub(super) async fn read_batches(
        &mut self,
        limit: u64,
    ) -> Result<Vec<StoredBatch>, StoreError> {
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
    pub(super) async fn check(
        &mut self,
        batch: &StoredBatch,
        pages: &mut RowPages,
    ) -> Result<Result<CheckedRows, AuditFault>, StoreError> {
        // A recovery skips the revisions that the lost history may have used.
        let after_recovery = Revision(self.at.0 + RECOVERY_STRIDE);
        if ![self.at.next(), after_recovery].contains(&batch.revision) {
            let fault = fault_of_batch(self.at.next(), "the batch is missing");
            return Ok(Err(fault));
        }
        let checked = match self.check_rows(batch, pages).await? {
            Ok(checked) => checked,
            Err(fault) => return Ok(Err(fault)),
        };
        self.at = batch.revision;
        self.chain = batch.chain;
        self.verified += 1;
        for erasure in &checked.erased_by {
            self.count_erased(*erasure, batch.revision);
        }
        let gone = checked.gap.rows.len() as u64;
        self.removed += gone;
        // They count as rows, because their record is kept until the call ends.
        self.rows += gone;
        self.records.extend(checked.gap.record.clone());
        Ok(Ok(checked))
    }

    async fn check_rows(
        &mut self,
        batch: &StoredBatch,
        pages: &mut RowPages,
    ) -> Result<Result<CheckedRows, AuditFault>, StoreError> {
        let mut running = RunningDigest::new();
        let mut checked = CheckedRows {
            gap: pages.gaps.remove(&batch.revision).unwrap_or_default(),
            ..CheckedRows::default()
        };
        let mut gone = checked.gap.rows.clone().into_iter().peekable();
        while let Some(row) = pages.next_up_to(self.db, batch.revision).await? {
            self.rows += 1;
            add_gone(&mut running, &mut gone, row_key(&row));
            let problem = match check_row(&row, batch.revision, &mut running) {
                Ok(read) => {
                    let problem = self.check_erasures(&read, &mut checked.erased_by).await?;
                    checked.rows.push(read);
                    problem
                }
                Err(problem) => Some(problem),
            };
            if let Some(problem) = problem {
                return Ok(Err(fault_of_row(&row, problem)));
            }
        }
        for row in gone {
            running.add_digest(&row.digest);
        }
        match problem_of_batch(batch, self.chain, &running.digest()) {
            Some(problem) => Ok(Err(fault_of_batch(batch.revision, problem))),
            None => Ok(Ok(checked)),
        }
    }

    /// Checks that the missing parts of a row were erased by an erasure of the trail, and counts it. Of the event that ends an
    /// erasure, checks that exactly as much refers to this erasure as it had erased.
    async fn check_erasures(
        &mut self,
        row: &AuditRow,
        erased_by: &mut Vec<EventId>,
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
        erased_by.extend(by);
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
        let is_there = !self.db.query(sql, &values).await?.is_empty();
        let is_erasure = is_there || self.recall_erasure(event).await?.has_begun;
        // A no is a fault, and ends the walk. Only a yes is asked for again, by the next row of the
        // same erasure.
        if is_erasure {
            self.erasures.insert(event);
        }
        Ok(is_erasure)
    }

    /// The record of an erasure with events or parts that are gone.
    async fn recall_erasure(&mut self, erasure: EventId) -> Result<GoneErasure, StoreError> {
        let known = gone::read_erasure(self.db, erasure).await?;
        self.records.extend(known.record.clone());
        Ok(known)
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
        let found = self.count_parts(erasure).await?;
        if tells_parts(row, found)? {
            return Ok(None);
        }
        Ok(Some("other rows were erased than the erasure has counted"))
    }

    /// Counts the parts of rows that refer to an erasure, those of rows that are gone among them.
    async fn count_parts(&mut self, erasure: EventId) -> Result<u64, StoreError> {
        let sql = "SELECT (SELECT count(*) FROM audit_events a WHERE a.actor_erased_by = $1) \
             + (SELECT count(*) FROM audit_events s WHERE s.subject_erased_by = $1)";
        let rows = self.db.query(sql, &[erasure.into()]).await?;
        let found = only_row(&rows, "the number of erased parts")?.unsigned(ONLY)?;
        Ok(found + self.recall_erasure(erasure).await?.parts)
    }

    fn into_verdict(mut self, fault: Option<AuditFault>) -> AuditVerdict {
        AuditVerdict {
            verified: self.verified,
            through: self.at,
            head: self.head,
            fault,
            begin: self.begin,
            removed: self.removed,
            records: mem::take(&mut self.records),
            erased: self.into_erased(),
        }
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
        // The head of now and not of the beginning of the walk: batches that were appended
        // meanwhile are no fault.
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

/// Returns true if the end of an erasure tells this number of erased parts.
fn tells_parts(end: &AuditRow, found: u64) -> Result<bool, StoreError> {
    let details = read_details(&end.details)?;
    let told = details.get(ErasedCounts::AUDIT_PARTS_DETAIL);
    Ok(told.is_some_and(|told| *told == found.to_string()))
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
        stamped: row.time(columns.stamped_us)?,
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

/// Event id and ordinal of a row, if they can be read.
fn row_key(row: &Row) -> Option<([u8; 16], i64)> {
    let columns = AuditColumns::AT;
    let event = row.array(columns.event_id).ok()?;
    Some((event, row.int(columns.ordinal).ok()?))
}

/// Adds the digests of rows that are gone and stood before a row.
fn add_gone(
    running: &mut RunningDigest,
    gone: &mut Peekable<vec::IntoIter<GoneRow>>,
    before: Option<([u8; 16], i64)>,
) {
    while let Some(row) = gone.next_if(|row| before.is_some_and(|before| row.key < before)) {
        running.add_digest(&row.digest);
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

pub(super) fn fault_of_batch(revision: Revision, problem: &'static str) -> AuditFault {
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
pub(super) struct RowPages {
    /// The rows that are gone, by batch.
    gaps: HashMap<Revision, Gap>,
    page: Peekable<vec::IntoIter<Row>>,
    /// The revision, event and ordinal of the last row that was read.
    last: [Value; 3],
    through: Revision,
    ended: bool,
}

impl RowPages {
    fn new(
        after: Revision,
        through: Revision,
        is_first: bool,
        gaps: HashMap<Revision, Gap>,
    ) -> Self {
        // Before the first batch there must be no row, whatever its revision.
        let after = if is_first {
            i64::MIN.into()
        } else {
            after.into()
        };
        // Greater than the key of every row of that revision.
        let last = [after, [0xff; 17][..].into(), i64::MAX.into()];
        Self {
            gaps,
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
