//! Batches as the archive has them: with all that their digests are over, so that they can be verified without the store.

use portcullis_contract::{
    id::EventId,
    position::{Chain, Revision},
};

use super::{
    super::{db::Db, installation::now, log},
    gone::{self, Gap, GoneRow},
    removal::start,
    row::{AuditRow, Proof, RunningDigest},
    verify::{CheckedRows, StoredBatch, Walk},
};
use crate::{ArchivePiece, ArchivedBatch, ArchivedGap, ArchivedRow, StoreError};
use portcullis_domain::Micros;

/// The most batches of one read.
const BATCHES_MAX: u64 = 64;
/// The number of rows after which a read ends, at the end of their batch.
const ROWS_MAX: usize = 2_048;

impl ArchivedBatch {
    /// Computes the digest of the rows and the chain behind the batch again.
    ///
    /// # Errors
    /// The mismatch.
    pub fn verify(&self, before: Chain) -> Result<Chain, &'static str> {
        let mut running = RunningDigest::new();
        for row in self.digests()? {
            running.add_digest(&row.digest);
        }
        if running.digest() != self.audit_digest {
            return Err("rows of the batch are missing, added or changed");
        }
        let chain = Chain(self.chain);
        if before.link(&self.delta_digest, &self.audit_digest) != chain {
            return Err("the batch does not continue the chain");
        }
        Ok(chain)
    }

    /// The digests of all rows in the order of the batch, those that are gone among them.
    fn digests(&self) -> Result<Vec<GoneRow>, &'static str> {
        let mut digests = Vec::with_capacity(self.rows.len() + self.removed.len());
        for row in &self.rows {
            digests.push(row.digest()?);
        }
        for row in &self.removed {
            let event = parse_event(&row.id)?;
            digests.push(GoneRow {
                key: (event.to_bytes(), row.ordinal),
                digest: row.digest,
            });
        }
        // The archive keeps rows and gaps apart. The digest of the batch covers them as one list,
        // in the order of their keys.
        digests.sort_unstable();
        Ok(digests)
    }

    /// The number of rows of which an erasure has removed a part.
    #[must_use]
    pub fn erased_rows(&self) -> usize {
        self.rows.iter().filter(|row| row.is_erased()).count()
    }

    fn of(batch: &StoredBatch, checked: CheckedRows) -> Self {
        Self {
            revision: batch.revision.0,
            stamped_us: batch.stamped.0,
            // A batch without it does not pass the verification.
            delta_digest: batch.delta_digest.unwrap_or_default(),
            audit_digest: batch.audit_digest,
            chain: batch.chain.0,
            rows: checked.rows.into_iter().map(ArchivedRow::of).collect(),
            removed: archived_gaps(&checked.gap),
        }
    }
}

fn archived_gaps(gap: &Gap) -> Vec<ArchivedGap> {
    let mut gaps = Vec::with_capacity(gap.rows.len());
    for row in &gap.rows {
        let (event, ordinal) = row.key;
        gaps.push(ArchivedGap {
            id: EventId::from_bytes(event).to_string(),
            ordinal,
            digest: row.digest,
        });
    }
    gaps
}

fn parse_event(text: &str) -> Result<EventId, &'static str> {
    text.parse().map_err(|_| "the id of an event is none")
}

impl ArchivedRow {
    fn of(row: AuditRow) -> Self {
        let [actor, via, actor_ip] = row.actor;
        Self {
            id: row.event.to_string(),
            ordinal: row.ordinal,
            at_us: row.at.0,
            tenant_id: row.tenant,
            action: row.action,
            target: row.target,
            cause: row.cause,
            actor,
            via,
            actor_ip,
            reason: row.reason,
            user_message: row.user_message,
            changed: row.changed,
            user_id: row.user,
            details: row.details,
            actor_proof: row.actor_proof.bytes().to_vec(),
            subject_proof: row.subject_proof.bytes().to_vec(),
            actor_erased_by: row.actor_erased_by.map(|event| event.to_string()),
            subject_erased_by: row.subject_erased_by.map(|event| event.to_string()),
        }
    }

    fn digest(&self) -> Result<GoneRow, &'static str> {
        let row = AuditRow {
            event: parse_event(&self.id)?,
            ordinal: self.ordinal,
            at: Micros(self.at_us),
            tenant: self.tenant_id.clone(),
            action: self.action.clone(),
            target: self.target.clone(),
            cause: self.cause,
            actor: [self.actor.clone(), self.via.clone(), self.actor_ip.clone()],
            reason: self.reason.clone(),
            user_message: self.user_message.clone(),
            changed: self.changed,
            user: self.user_id.clone(),
            details: self.details.clone(),
            digest: [0; 32],
            actor_proof: Proof::read(&self.actor_proof),
            subject_proof: Proof::read(&self.subject_proof),
            actor_erased_by: None,
            subject_erased_by: None,
        };
        // The digest takes an erased part from its proof, and ignores the texts. So a text that
        // somebody put there would pass every other check.
        if row.has_text_in_erased_part() {
            return Err("a part of a row was erased, and has a text");
        }
        Ok(GoneRow {
            key: (row.event.to_bytes(), row.ordinal),
            digest: row.row_digest(),
        })
    }
}

/// Reads and verifies batches for the archive.
pub(in crate::sql) async fn read(db: &mut Db, after: Revision) -> Result<ArchivePiece, StoreError> {
    let stored = gone::read_begin(db).await?;
    let start = start(db, after, &stored.begin).await?;
    let head = log::head(db).await?;
    let mut piece = ArchivePiece {
        batches: Vec::new(),
        now: now(db).await?,
        fault: None,
        records: Vec::new(),
    };
    let mut walk = Walk::new(db, start, head.revision);
    walk.begin_at(&stored);
    walk.records.extend(stored.record());
    read_batches(&mut walk, &mut piece).await?;
    piece.records = std::mem::take(&mut walk.records);
    // Another authority may have removed rows between two reads of this walk, which then looks like
    // a fault. The count of removals tells both apart.
    if piece.fault.is_some() && gone::read_begin(db).await?.removals != stored.removals {
        return Err(StoreError::Conflict(
            "audit rows were removed meanwhile".into(),
        ));
    }
    Ok(piece)
}

async fn read_batches(walk: &mut Walk<'_>, piece: &mut ArchivePiece) -> Result<(), StoreError> {
    let batches = walk.read_batches(BATCHES_MAX).await?;
    let Some(last) = batches.last() else {
        return Ok(());
    };
    let mut pages = walk.pages(last.revision).await?;
    let mut rows = 0;
    for batch in &batches {
        match walk.check(batch, &mut pages).await? {
            Ok(checked) => {
                rows += checked.rows.len();
                piece.batches.push(ArchivedBatch::of(batch, checked));
            }
            Err(fault) => {
                piece.fault = Some(fault);
                return Ok(());
            }
        }
        if rows >= ROWS_MAX {
            return Ok(());
        }
    }
    Ok(())
}
