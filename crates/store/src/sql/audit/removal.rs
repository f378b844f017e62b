//! Removal of audit rows that are old enough, a few batches at a time.
//!
//! Batches without a row that stays go from the beginning on, with their place in the log, and the beginning moves. If rows
//! of a batch stay, because their tenant keeps them for longer, the digests of the others stay too.

use std::{collections::BTreeMap, time::Duration};

use portcullis_contract::{
    id::EventId,
    position::{Chain, Revision},
};

use super::{
    super::{
        columns::{ONLY, columns},
        connection::Statement,
        db::Db,
        installation::now,
        row::Row,
        transaction::transaction,
        value::Value,
        values::ValueRows,
    },
    gone::{self, GapColumns, GoneErasureColumns, GoneRow, StoredBegin},
    row::AuditRow,
    verify::{CheckedRows, StoredBatch, Walk, fault_of_batch, find_start},
};
use crate::{AuditRemoved, AuditRules, Codes, StoreError};
use portcullis_domain::{AuditFault, CodedRecord, Micros, Mutation, TrailBegin, time::span};

/// The most batches of one step.
const BATCHES_MAX: u64 = 64;
/// The number of rows after which a step ends, at the end of their batch.
const ROWS_MAX: usize = 500;

columns! {
    /// The key of a row to remove.
    KeyColumns { event_id, ordinal }
}

columns! {
    /// The columns that are counted of a removed row.
    CountedColumns { event_id, ordinal, action, actor_erased_by, subject_erased_by }
}

/// The age of the first batch that is left, by the clock of the database.
pub(in crate::sql) async fn trail_age(db: &mut Db) -> Result<Option<Duration>, StoreError> {
    let sql = format!(
        "SELECT {} - b.stamped_us FROM log_batches b ORDER BY b.revision LIMIT 1",
        db.dialect.now
    );
    let rows = db.query(&sql, &[]).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    // A stamp of a clock that was ahead has no age.
    let age = u64::try_from(row.int(ONLY)?).unwrap_or(0);
    Ok(Some(Duration::from_micros(age)))
}

/// The beginning of the trail, and its record.
pub(in crate::sql) async fn begin(
    db: &mut Db,
) -> Result<(TrailBegin, Option<CodedRecord>), StoreError> {
    let stored = gone::read_begin(db).await?;
    let record = stored.record();
    Ok((stored.begin, record))
}

/// Looks at batches after `after`, and removes rows that are old enough.
pub(in crate::sql) async fn remove_old(
    db: &mut Db,
    after: Revision,
    through: Revision,
    rules: &AuditRules,
    codes: &dyn Codes,
) -> Result<AuditRemoved, StoreError> {
    let stored = gone::read_begin(db).await?;
    let Some(shortest) = rules.shortest() else {
        return Ok(nothing(after));
    };
    let times = Times::new(rules, shortest, now(db).await?);
    let looked = look_between(db, &stored, (after, through), &times).await?;
    let (plan, is_last) = match looked.planned(codes) {
        Ok(planned) => planned,
        Err(fault) => return faulty(db, &stored, looked.at, fault).await,
    };
    if plan.removes_more_than(&stored) {
        transaction!(db, execute(db, &stored, plan, codes))?;
    }
    Ok(AuditRemoved {
        rows: plan.rows as u64,
        batches: plan.begin.batches - stored.begin.batches,
        is_last,
        ..nothing(looked.at)
    })
}

/// The result of a look at some batches.
struct Look {
    /// The last batch that was looked at.
    at: Revision,
    plan: Plan,
    /// True if no batch behind them is old enough.
    is_last: Result<bool, AuditFault>,
    /// The records of earlier removals that the look relied on.
    records: Vec<CodedRecord>,
}

impl Look {
    /// The removals, and whether no batch behind them is old enough. Fails with a fault that forbids to remove anything.
    fn planned(&self, codes: &dyn Codes) -> Result<(&Plan, bool), AuditFault> {
        let is_last = self.is_last.clone()?;
        // The new record builds on the numbers of the old one, and gets a genuine code. A forged
        // record that passed here would be made good by it.
        for record in &self.records {
            if !codes.is_genuine(record) {
                let problem = "no authority has made the record of a removal";
                return Err(fault_of_batch(record.revision, problem));
            }
        }
        Ok((&self.plan, is_last))
    }
}

/// Looks at some batches between two revisions, and plans what goes of them.
async fn look_between(
    db: &mut Db,
    stored: &StoredBegin,
    (after, through): (Revision, Revision),
    times: &Times<'_>,
) -> Result<Look, StoreError> {
    let start = start(db, after, &stored.begin).await?;
    let mut walk = Walk::new(db, start, through);
    walk.begin_at(stored);
    walk.records.extend(stored.record());

    let mut plan = Plan::new(stored.begin);
    let is_last = look(&mut walk, &mut plan, times).await?;
    Ok(Look {
        at: walk.at,
        plan,
        is_last,
        records: std::mem::take(&mut walk.records),
    })
}

fn nothing(through: Revision) -> AuditRemoved {
    AuditRemoved {
        rows: 0,
        batches: 0,
        through,
        is_last: true,
        fault: None,
    }
}

/// Removes nothing, because of a fault, unless another authority has removed something meanwhile.
async fn faulty(
    db: &mut Db,
    before: &StoredBegin,
    through: Revision,
    fault: AuditFault,
) -> Result<AuditRemoved, StoreError> {
    if gone::read_begin(db).await?.removals != before.removals {
        return Err(other_authority());
    }
    Ok(AuditRemoved {
        fault: Some(fault),
        ..nothing(through)
    })
}

fn other_authority() -> StoreError {
    StoreError::Conflict("another authority removes audit rows".into())
}

/// The position from which a step looks on, with the chain there.
pub(super) async fn start(
    db: &mut Db,
    after: Revision,
    begin: &TrailBegin,
) -> Result<(Revision, Chain), StoreError> {
    match find_start(db, after, begin).await? {
        Some(start) => Ok(start),
        None => Err(StoreError::Conflict(
            "the log has no such revision any more".into(),
        )),
    }
}

/// The times by which rows are old.
struct Times<'a> {
    rules: &'a AuditRules,
    now: Micros,
    /// The newest time at which a row may be old, by the shortest of the rules.
    oldest: Micros,
}

impl<'a> Times<'a> {
    fn new(rules: &'a AuditRules, shortest: Duration, now: Micros) -> Self {
        Self {
            rules,
            now,
            oldest: before(now, shortest),
        }
    }

    /// By the time of the row itself, which its digest covers. That of the batch can be changed unnoticed.
    fn is_old(&self, row: &AuditRow) -> bool {
        let Some(keep) = self.rules.of(&row.tenant) else {
            return false;
        };
        row.at <= before(self.now, keep)
    }

    /// The rows that are old, as far as their digests are to stay.
    fn old_rows(&self, rows: &[AuditRow]) -> Vec<GoneRow> {
        let mut old = Vec::new();
        for row in rows {
            if self.is_old(row) {
                old.push(GoneRow {
                    key: (row.event.to_bytes(), row.ordinal),
                    digest: row.row_digest(),
                });
            }
        }
        old
    }
}

fn before(now: Micros, keep: Duration) -> Micros {
    Micros(now.0.saturating_sub(span(keep)))
}

/// Looks at some batches. Returns true if no batch behind them is old enough.
async fn look(
    walk: &mut Walk<'_>,
    plan: &mut Plan,
    times: &Times<'_>,
) -> Result<Result<bool, AuditFault>, StoreError> {
    let batches = walk.read_batches(BATCHES_MAX).await?;
    let Some(last) = batches.last() else {
        return Ok(Ok(true));
    };
    let mut pages = walk.pages(last.revision).await?;
    for batch in &batches {
        // Gates may still want the delta.
        if batch.delta.is_some() || batch.stamped > times.oldest {
            return Ok(Ok(true));
        }
        match walk.check(batch, &mut pages).await? {
            Ok(checked) => plan.add(batch, checked, times),
            Err(fault) => return Ok(Err(fault)),
        }
        if plan.rows >= ROWS_MAX {
            return Ok(Ok(false));
        }
    }
    Ok(Ok(false))
}

/// The removals of one step.
struct Plan {
    /// The new beginning.
    begin: TrailBegin,
    /// Whether every batch so far goes whole.
    is_prefix: bool,
    gaps: Vec<PlannedGap>,
    /// The number of rows to remove, and of those among them that go with their batch.
    rows: usize,
    prefix_rows: usize,
}

struct PlannedGap {
    revision: Revision,
    /// All rows that are gone then.
    gone: Vec<GoneRow>,
    /// Those that go now.
    keys: Vec<([u8; 16], i64)>,
}

impl Plan {
    fn new(begin: TrailBegin) -> Self {
        Self {
            begin,
            is_prefix: true,
            gaps: Vec::new(),
            rows: 0,
            prefix_rows: 0,
        }
    }

    /// Returns true if there is anything to remove.
    fn removes_more_than(&self, stored: &StoredBegin) -> bool {
        self.begin != stored.begin || !self.gaps.is_empty()
    }

    fn add(&mut self, batch: &StoredBatch, checked: CheckedRows, times: &Times<'_>) {
        let old = times.old_rows(&checked.rows);
        let keys: Vec<_> = old.iter().map(|row| row.key).collect();
        let mut gone = checked.gap.rows;
        gone.extend(old);

        self.rows += keys.len();
        self.is_prefix &= keys.len() == checked.rows.len();
        if self.is_prefix {
            self.prefix_rows += keys.len();
            self.move_begin(batch, gone.len());
        } else if !keys.is_empty() {
            gone.sort_unstable();
            self.gaps.push(PlannedGap {
                revision: batch.revision,
                gone,
                keys,
            });
        }
    }

    /// Lets the trail begin behind a batch of which every row is gone.
    fn move_begin(&mut self, batch: &StoredBatch, rows: usize) {
        self.begin = TrailBegin {
            revision: batch.revision,
            chain: batch.chain,
            batches: self.begin.batches + 1,
            rows: self.begin.rows + rows as u64,
        };
    }
}

/// Executes a plan: the records first, because the triggers of the trail want to see them.
async fn execute(
    db: &mut Db,
    stored: &StoredBegin,
    plan: &Plan,
    codes: &dyn Codes,
) -> Result<(), StoreError> {
    // Also when the beginning stays: this row counts the removals, by which a verification under
    // way tells a removal from a fault.
    write_begin(db, stored, &plan.begin, codes).await?;
    for gap in &plan.gaps {
        write_gap(db, gap, codes).await?;
    }

    let mut gone = delete_prefix(db, &stored.begin, &plan.begin).await?;
    let mut expected = plan.prefix_rows;
    for gap in &plan.gaps {
        gone.extend(delete_rows(db, gap).await?);
        expected += gap.keys.len();
    }
    if gone.len() != expected {
        // Rows were added or removed since the batches were looked at. The next step looks again.
        return Err(StoreError::Conflict("audit rows have changed".into()));
    }

    for (erasure, counted) in count_erasures(&gone)? {
        write_erasure(db, erasure, counted, codes).await?;
    }
    Ok(())
}

/// Moves the beginning. The steps of several authorities take turns by the lock on this row.
async fn write_begin(
    db: &mut Db,
    stored: &StoredBegin,
    begin: &TrailBegin,
    codes: &dyn Codes,
) -> Result<(), StoreError> {
    let sql = "UPDATE audit_begin SET revision = $1, chain = $2, batches = $3, rows_gone = $4, code = $5, \
         removals = removals + 1 WHERE removals = $6 RETURNING removals";
    let code = match begin.revision {
        // Nothing is gone from the beginning, and there is nothing to prove.
        Revision(0) => Vec::new(),
        _ => codes.make(&gone::begin_bytes(begin)),
    };
    let values: [Value; 6] = [
        begin.revision.into(),
        begin.chain.0[..].into(),
        begin.batches.into(),
        begin.rows.into(),
        code.into(),
        stored.removals.into(),
    ];
    match db.query(sql, &values).await?.is_empty() {
        false => Ok(()),
        true => Err(other_authority()),
    }
}

async fn write_gap(db: &mut Db, gap: &PlannedGap, codes: &dyn Codes) -> Result<(), StoreError> {
    let removed = gone::removed_bytes(&gap.gone);
    let code = codes.make(&gone::gap_bytes(gap.revision, &removed));
    let sql = format!(
        "INSERT INTO audit_gaps ({}) VALUES ($1, $2, $3) \
         ON CONFLICT (revision) DO UPDATE SET removed = excluded.removed, code = excluded.code",
        GapColumns::names()
    );
    let values: [Value; 3] = [gap.revision.into(), removed.into(), code.into()];
    db.query(&sql, &values).await?;
    Ok(())
}

/// Deletes everything between the old and the new beginning, and returns the rows' columns for counting.
async fn delete_prefix(
    db: &mut Db,
    old: &TrailBegin,
    new: &TrailBegin,
) -> Result<Vec<Row>, StoreError> {
    if old == new {
        return Ok(Vec::new());
    }
    let rows = format!(
        "DELETE FROM audit_events WHERE revision > $1 AND revision <= $2 RETURNING {}",
        CountedColumns::names()
    );
    let between = [old.revision.into(), new.revision.into()];
    let gone = db.query(&rows, &between).await?;
    for table in ["audit_gaps", "log_batches"] {
        let sql = format!("DELETE FROM {table} WHERE revision > $1 AND revision <= $2");
        db.query(&sql, &between).await?;
    }
    Ok(gone)
}

/// Deletes the rows that a batch loses.
async fn delete_rows(db: &mut Db, gap: &PlannedGap) -> Result<Vec<Row>, StoreError> {
    let mut gone = Vec::new();
    let keys = gap.keys.iter().map(|(event, ordinal)| KeyColumns {
        event_id: Value::from(&event[..]),
        ordinal: (*ordinal).into(),
    });
    for keys in ValueRows::in_powers_of_two(keys) {
        let sql = format!(
            "DELETE FROM audit_events WHERE (event_id, ordinal) IN {} RETURNING {}",
            keys.list(),
            CountedColumns::names()
        );
        let Statement { sql, params } = Statement::new(sql, keys.into_params());
        gone.extend(db.query(&sql, &params).await?);
    }
    Ok(gone)
}

/// The parts of one erasure that go with some rows.
#[derive(Default)]
struct Counted {
    begins: bool,
    parts: u64,
}

/// Counts the removed parts of each erasure. From the rows as they were deleted, because an erasure may have come to
/// them since they were looked at.
fn count_erasures(gone: &[Row]) -> Result<BTreeMap<[u8; 16], Counted>, StoreError> {
    let columns = CountedColumns::AT;
    let mut erasures: BTreeMap<[u8; 16], Counted> = BTreeMap::new();
    for row in gone {
        for column in [columns.actor_erased_by, columns.subject_erased_by] {
            if row.optional_blob(column)?.is_some() {
                erasures.entry(row.array(column)?).or_default().parts += 1;
            }
        }
        let begins = [Mutation::ERASE_USER, Mutation::DELETE_TENANT];
        let is_begin = begins.contains(&row.text(columns.action)?.as_str());
        // Only the first row of an event is looked for when a part says by which erasure it went.
        if is_begin && row.int(columns.ordinal)? == 0 {
            let event = row.array(columns.event_id)?;
            erasures.entry(event).or_default().begins = true;
        }
    }
    Ok(erasures)
}

async fn write_erasure(
    db: &mut Db,
    erasure: [u8; 16],
    counted: Counted,
    codes: &dyn Codes,
) -> Result<(), StoreError> {
    let erasure = EventId::from_bytes(erasure);
    let mut known = gone::read_erasure(db, erasure).await?;
    if let Some(record) = &known.record
        && !codes.is_genuine(record)
    {
        let problem = "no authority has made the record of an erasure: audit rows stay";
        return Err(StoreError::Internal(problem.into()));
    }
    known.has_begun |= counted.begins;
    known.parts += counted.parts;
    let code = codes.make(&gone::erasure_bytes(erasure, known.has_begun, known.parts));
    let values = gone::erasure_values(erasure, &known, code);
    db.run(&upsert_erasure(values)).await?;
    Ok(())
}

fn upsert_erasure(values: GoneErasureColumns<Value>) -> Statement {
    let rows = ValueRows::new([values]);
    let sql = format!(
        "{with_v} INSERT INTO audit_gone_erasures ({columns}) SELECT {values} FROM v WHERE TRUE \
         ON CONFLICT (event_id) DO UPDATE SET has_begun = excluded.has_begun, parts = excluded.parts, \
             code = excluded.code",
        with_v = rows.with_v(),
        columns = GoneErasureColumns::names(),
        values = GoneErasureColumns::of("v"),
    );
    Statement::new(sql, rows.into_params())
}
