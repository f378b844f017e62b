//! The log: batches, the head, beats and checkpoints.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use portcullis_contract::{
    delta::Scope,
    id::Serial,
    position::{Chain, Position, Revision},
    view::Frame,
};
use portcullis_domain::{Entry, EntryError, Micros, Outcome, Session, SignedOut, is_set_back};
use prost::bytes::Bytes;

use crate::StoreError;

/// The log: the only way to revoke anything.
///
/// **Order.** Revisions are dense, and commit order is revision order. When [`append`](Self::append) has returned
/// revision R, every later [`tail`](Self::tail), [`beat`](Self::beat) or [`head`](Self::head) sees R. A reader of the
/// tail that saw R has been shown every revision before it.
///
/// **Atomic.** A batch is one transaction with its state changes, cutoffs and audit rows.
///
/// **Durable.** A position returned by `append` or `beat` is durable to the level that
/// [`durability`](crate::StoreStatus::durability) names. A commit whose wait for a standby was cancelled is an error.
///
/// **Idempotent.** An entry whose event id the log knows is answered with its outcome, not applied again.
#[async_trait]
pub trait LogStore: Send + Sync + 'static {
    /// Applies a batch in one transaction and one revision. An invalid entry leaves no trace and does not stop the
    /// others. An entry that changes nothing takes no revision of its own.
    ///
    /// # Errors
    /// When the store fails. The batch may have been committed if the error is retryable: appending it again returns its
    /// outcomes.
    async fn append(&self, batch: &[Entry]) -> Result<Appended, StoreError>;

    /// The head of the log.
    ///
    /// # Errors
    /// When the store fails.
    async fn head(&self) -> Result<Position, StoreError>;

    /// The head of the log, and the chain at `revision` if the log has it. Both come from one snapshot, so that they
    /// belong to one history.
    ///
    /// # Errors
    /// When the store fails.
    async fn head_and_chain(
        &self,
        revision: Revision,
    ) -> Result<(Position, Option<Chain>), StoreError>;

    /// Writes a durable row to this authority's own record and returns the head. A deposed primary cannot answer, so the
    /// answer proves that the head is current.
    ///
    /// # Errors
    /// When the store fails, or can no longer write.
    async fn beat(&self, authority: &[u8; 16]) -> Result<Beat, StoreError>;

    /// Removes the record of an authority that has ended: nothing of it writes any more. Records that are a day old, of
    /// authorities that crashed, go too.
    ///
    /// # Errors
    /// When the store fails.
    async fn end_beats(&self, authority: &[u8; 16]) -> Result<(), StoreError>;

    /// Removes records that are a day old, of authorities that crashed.
    ///
    /// # Errors
    /// When the store fails.
    async fn remove_old_beats(&self) -> Result<(), StoreError>;

    /// Makes a small durable write on engines whose beat only reads. A full disk shows here first.
    ///
    /// # Errors
    /// When the store cannot write.
    async fn check_writes(&self) -> Result<(), StoreError>;

    /// The batches after `after`, in order and without gaps, at most `limit`. All come from one snapshot.
    ///
    /// After a failover the batch after `after` may be of another history than the one that a reader knows. The position
    /// of a batch tells: only the same history leads to the same chain.
    ///
    /// # Errors
    /// [`StoreError::Trimmed`] when the first of them has no delta any more.
    async fn tail(&self, after: Revision, limit: u32) -> Result<Vec<LogBatch>, StoreError>;

    /// As [`tail`](Self::tail), for readers that fell behind. The feed does not wait for it.
    ///
    /// # Errors
    /// As [`tail`](Self::tail).
    async fn catch_up(&self, after: Revision, limit: u32) -> Result<Vec<LogBatch>, StoreError>;

    /// The last revision whose batch is gone because of its age. Nothing is known about revisions before it.
    ///
    /// # Errors
    /// When the store fails.
    async fn gone_revision(&self) -> Result<Revision, StoreError> {
        Ok(Revision(0))
    }

    /// The chain at a revision. None when the log has no such revision, or has it no more.
    ///
    /// # Errors
    /// When the store fails.
    async fn chain(&self, revision: Revision) -> Result<Option<Chain>, StoreError>;
}

/// Checkpoints, and the trimming of deltas that they allow.
#[async_trait]
pub trait CheckpointStore: Send + Sync + 'static {
    /// Whether this authority shall write a checkpoint at `revision`: enough changed since the last one, and no other
    /// authority was told to within the interval.
    ///
    /// # Errors
    /// When the store fails.
    async fn claim_checkpoint(
        &self,
        revision: Revision,
        due: &CheckpointDue,
    ) -> Result<bool, StoreError>;

    /// Keeps an encoded view with its authentication code and the checkpoint before it. Older ones are deleted.
    /// Idempotent: the first checkpoint of a revision stays.
    ///
    /// Returns false, and keeps nothing, when the log does not have the view's position. After a failover an authority may
    /// not know yet that its view is of another history: its checkpoint would replace one that can be started from.
    ///
    /// # Errors
    /// When the store fails.
    async fn save_checkpoint(
        &self,
        at: Position,
        view: Bytes,
        code: Bytes,
    ) -> Result<bool, StoreError>;

    /// The kept checkpoints, newest first: the view and its authentication code.
    ///
    /// # Errors
    /// When the store fails.
    async fn checkpoints(&self) -> Result<Vec<(Bytes, Bytes)>, StoreError>;

    /// The revision up to which deltas may be trimmed. Either of the two kept checkpoints can still be started from.
    ///
    /// # Errors
    /// When the store fails.
    async fn trimmable_revision(&self) -> Result<Revision, StoreError>;

    /// Deletes the deltas of batches up to `through` that are older than `age`. Revisions, chain and audit rows stay.
    /// Returns how many were deleted.
    ///
    /// # Errors
    /// When the store fails.
    async fn trim(&self, through: Revision, age: Duration) -> Result<u64, StoreError>;
}

/// A batch of the log, with the position of the log behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogBatch {
    /// The batch as gates receive it.
    pub frame: Frame,
    /// Where a view stands that has applied it.
    pub position: Position,
}

/// The result of [`LogStore::append`].
pub struct Appended {
    /// One for each entry, in their order.
    pub outcomes: Vec<Result<Outcome, EntryError>>,
    /// The sessions that entries for one session ended, by the index of the entry in the batch, with the database's clock
    /// at the snapshot.
    pub ended: HashMap<usize, (Session, Micros)>,
    /// The effects of sign-outs that count, by the index of the entry in the batch.
    pub signed_out: HashMap<usize, SignedOut>,
    /// The revocations of the batch. A batch that took too long to commit has to revoke them again.
    pub revoked: Revoked,
    /// The batch as the log has it and the new head. None when the batch changed nothing.
    pub committed: Option<LogBatch>,
}

/// The session revocations of a batch.
#[derive(Debug, Default)]
pub struct Revoked {
    /// Single sessions.
    pub serials: Vec<Serial>,
    /// Scopes, each with the session that it exempts.
    pub cuts: Vec<(Scope, Option<Serial>)>,
}

/// Proof that a store could write just now, with the head that it held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// The head of the log.
    pub head: Position,
    /// The database's clock when it read the head.
    pub time: Micros,
    /// The version of the authority's roster that stood in the store when the head was read. 0: there is none.
    pub roster: u64,
    /// The floor of the database's clock when the head was read.
    pub clock_floor: Micros,
}

impl Beat {
    /// Whether the database's clock is below its floor. Then the beat proves no gate fresh.
    #[must_use]
    pub fn is_set_back(&self) -> bool {
        is_set_back(self.time, self.clock_floor)
    }
}

/// The conditions under which a checkpoint is worth writing: the interval, and any one of the other three.
#[derive(Clone, Copy, Debug)]
pub struct CheckpointDue {
    /// At most one checkpoint in this time, over all authorities.
    pub interval: Duration,
    /// Batches since the last checkpoint.
    pub batches_min: u64,
    /// Bytes of deltas since the last checkpoint.
    pub bytes_min: u64,
    /// The age of the oldest batch since the last checkpoint.
    pub age_max: Duration,
}
