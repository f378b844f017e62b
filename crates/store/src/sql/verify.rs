//! Whether the trail still says what was written: every digest is computed again, from the rows.

use std::{iter::Peekable, vec};

use portcullis_contract::{
    id::EventId,
    position::{Chain, Digest, Revision, sha256},
};

use super::{
    Connection, Row, Value,
    audit::{self, AuditRow, Running},
    install::RECOVERY_STRIDE,
    log,
};
use crate::{
    domain::{AuditFault, AuditVerdict},
    store::StoreError,
};

/// Batches of one read. A delta may have 100 kB.
const BATCHES_MAX: u64 = 64;
/// Rows of one read.
const ROWS_MAX: i64 = 2_048;
/// Rows after which a call ends, with the batch that they are of.
const CALL_ROWS_MAX: u64 = 200_000;

/// Verifies at most `limit` batches after `after`; none when that is no revision. What comes after the head of this
/// moment is not looked at, but for rows that have no place there.
pub(super) async fn verify(
    connection: &mut dyn Connection,
    after: Revision,
    limit: u64,
) -> Result<Option<AuditVerdict>, StoreError> {
    let head = log::head(connection).await?;
    let Some(chain) = log::chain(connection, after).await? else {
        return Ok(None);
    };
    let mut walk = Walk {
        connection,
        at: after,
        chain,
        verified: 0,
        rows: 0,
        head: head.revision,
    };
    let mut fault = walk.run(limit).await?;
    if fault.is_none() && walk.at == head.revision && walk.chain != head.chain {
        fault = Some(of_batch(
            head.revision,
            "the head's chain is not that of its batch",
        ));
    }
    if fault.is_none() && walk.at == head.revision {
        fault = walk.find_beyond_head().await?;
    }
    Ok(Some(AuditVerdict {
        verified: walk.verified,
        through: walk.at,
        head: head.revision,
        fault,
    }))
}

struct Walk<'a> {
    connection: &'a mut dyn Connection,
    /// The last batch that fits, and the chain there.
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
            let batches = self
                .batches((limit - self.verified).min(BATCHES_MAX))
                .await?;
            let Some(last) = batches.last() else {
                return Ok(Some(of_batch(self.at.next(), "the batch is missing")));
            };
            let mut rows = Rows::new(self.at, last.revision);
            for batch in &batches {
                if let Some(fault) = self.check(batch, &mut rows).await? {
                    return Ok(Some(fault));
                }
                if self.rows >= CALL_ROWS_MAX {
                    break;
                }
            }
        }
        Ok(None)
    }

    /// The batches right after the last, or right after the gap that a recovery leaves. The range is short: a plan that
    /// sorts must not sort the whole log.
    async fn batches(&mut self, limit: u64) -> Result<Vec<StoredBatch>, StoreError> {
        let sql = "SELECT revision, delta, delta_digest, audit_digest, chain FROM log_batches \
             WHERE revision > $1 AND revision <= $2 ORDER BY revision";
        let read = |row: &Row| {
            Ok(StoredBatch {
                revision: Revision(row.unsigned(0)?),
                delta: row.optional_blob(1)?.map(sha256),
                delta_digest: row
                    .optional_blob(2)?
                    .and_then(|digest| digest.try_into().ok()),
                // What is no digest is not the right one.
                audit_digest: row.array(3).unwrap_or_default(),
                chain: Chain(row.array(4).unwrap_or_default()),
            })
        };
        let mut rows = Vec::new();
        for after in [self.at.0, self.at.0 + RECOVERY_STRIDE - 1] {
            if rows.is_empty() {
                let values = [after.into(), (after + limit).min(self.head.0).into()];
                rows = self.connection.query(sql, &values).await?;
            }
        }
        rows.iter().map(read).collect()
    }

    /// Checks a batch against its rows and the chain before it, which it continues if all fits.
    async fn check(
        &mut self,
        batch: &StoredBatch,
        rows: &mut Rows,
    ) -> Result<Option<AuditFault>, StoreError> {
        // A recovery leaves out what the lost history may have used.
        if ![self.at.next(), Revision(self.at.0 + RECOVERY_STRIDE)].contains(&batch.revision) {
            return Ok(Some(of_batch(self.at.next(), "the batch is missing")));
        }
        let mut running = Running::new();
        while let Some(row) = rows.next_up_to(self.connection, batch.revision).await? {
            self.rows += 1;
            if let Some(problem) = problem_of_row(&row, batch.revision, &mut running) {
                return Ok(Some(of_row(&row, problem)));
            }
        }
        if let Some(problem) = problem_of_batch(batch, self.chain, &running.digest()) {
            return Ok(Some(of_batch(batch.revision, problem)));
        }
        (self.at, self.chain) = (batch.revision, batch.chain);
        self.verified += 1;
        Ok(None)
    }

    /// What says that it is of a later batch than the last.
    async fn find_beyond_head(&mut self) -> Result<Option<AuditFault>, StoreError> {
        let batches = "SELECT revision FROM log_batches \
             WHERE revision > (SELECT revision FROM log_head) ORDER BY revision LIMIT 1";
        if let Some(row) = self.connection.query(batches, &[]).await?.first() {
            return Ok(Some(of_batch(
                Revision(row.unsigned(0)?),
                "the batch is beyond the head",
            )));
        }
        let rows = format!(
            "SELECT {} FROM audit_events WHERE revision > (SELECT revision FROM log_head) \
             ORDER BY revision, event_id, ordinal LIMIT 1",
            audit::NAMES
        );
        Ok(self
            .connection
            .query(&rows, &[])
            .await?
            .first()
            .map(|row| of_row(row, "the row is beyond the head")))
    }
}

fn problem_of_row(row: &Row, revision: Revision, running: &mut Running) -> Option<&'static str> {
    if row.unsigned(2).ok() != Some(revision.0) {
        return Some("the row is of no batch");
    }
    let Ok(read) = AuditRow::read(row) else {
        return Some("the row was changed: it cannot be read");
    };
    let digest = running.add(&read);
    // Rows of before there were digests have none; the batch's covers them.
    match row.optional_blob(16) {
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
    (before.link(&delta_digest, rows) != batch.chain)
        .then_some("the batch does not continue the chain")
}

fn of_batch(revision: Revision, problem: &'static str) -> AuditFault {
    AuditFault {
        revision,
        row: None,
        problem,
    }
}

fn of_row(row: &Row, problem: &'static str) -> AuditFault {
    let event = row.array(0).ok().map(EventId::from_bytes);
    let ordinal = row
        .int(1)
        .ok()
        .and_then(|ordinal| u32::try_from(ordinal).ok());
    AuditFault {
        revision: Revision(row.unsigned(2).unwrap_or(0)),
        row: event.zip(ordinal),
        problem,
    }
}

/// Rows of some batches, in their order, read a page at a time.
struct Rows {
    page: Peekable<vec::IntoIter<Row>>,
    /// The key of the last row that was read.
    last: [Value; 3],
    through: Revision,
    ended: bool,
}

impl Rows {
    fn new(after: Revision, through: Revision) -> Self {
        // Before the first batch there is no row whatever its number.
        let after = if after == Revision(0) {
            i64::MIN.into()
        } else {
            after.0.into()
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

    /// The next row, if it is not of a later batch.
    async fn next_up_to(
        &mut self,
        connection: &mut dyn Connection,
        revision: Revision,
    ) -> Result<Option<Row>, StoreError> {
        if self.page.peek().is_none() && !self.ended {
            let page = self.read(connection).await?;
            self.ended = page.len() < usize::try_from(ROWS_MAX).unwrap_or(usize::MAX);
            if let Some(row) = page.last() {
                self.last = [2, 0, 1].map(|column| row.0[column].clone());
            }
            self.page = page.into_iter().peekable();
        }
        Ok(self.page.next_if(|row| {
            row.int(2)
                .is_ok_and(|of| of <= i64::try_from(revision.0).unwrap_or(i64::MAX))
        }))
    }

    async fn read(&self, connection: &mut dyn Connection) -> Result<Vec<Row>, StoreError> {
        let sql = format!(
            "SELECT {} FROM audit_events WHERE (revision, event_id, ordinal) > ($1, $2, $3) AND revision <= $4 \
             ORDER BY revision, event_id, ordinal LIMIT $5",
            audit::NAMES
        );
        let [revision, event, ordinal] = self.last.clone();
        Ok(connection
            .query(
                &sql,
                &[
                    revision,
                    event,
                    ordinal,
                    self.through.0.into(),
                    ROWS_MAX.into(),
                ],
            )
            .await?)
    }
}
