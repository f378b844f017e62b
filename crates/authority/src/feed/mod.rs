//! The feed: follows the log, keeps the authority's own view, and serves every stream from one ring of batches.

mod admission;
mod beat;
mod confirmations;
mod counts;
mod gate;
mod gates;
mod known;
mod lease;
mod load;
pub(crate) mod metrics;
#[cfg(test)]
mod parts;
mod peers;
mod published;
mod receipts;
mod replay;
mod ring;
mod roster;
mod sharing;
mod snapshot;
mod sync;
mod validators;
pub(crate) mod watch;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use portcullis_contract::{
    position::{Position, Revision},
    sealed::SealedFrame,
    seeded::{self, Mistake},
    view::View,
};
use tokio::sync::{mpsc, watch::Receiver};
use tokio_util::sync::CancellationToken;

pub use self::{
    admission::{Admission, Ticket, Turn},
    beat::{Beats, SignedBeat},
    gate::{Gate, ValidatorMode, ValidatorStatus},
    load::load_view,
    receipts::Enforcement,
    ring::{FromRing, SealedBatch},
    snapshot::{EncodedSnapshot, SnapshotPart},
    validators::{Connected, Registration, Validators},
};
pub(crate) use self::{
    gates::{GateStream, Gates},
    peers::{Peers, Replica},
    receipts::{ReceiptPlace, ReceiptQuestion, Receipts},
    sharing::Sharing,
    snapshot::BYTES_ENCODED_AT_ONCE_MAX,
    validators::streams_by_gate,
};
use self::{published::Published, snapshot::Snapshots};
use crate::{
    config::{LogConfig, WatchConfig},
    health::{Condition, Pulse, Readiness},
    keys::{MasterKeys, Unsealable},
    store::{EnforcementStore, LogBatch, StoreError},
};

/// The most batches that are read from the log at a time.
const TAIL_FRAMES: u32 = 512;
/// The pause between an error and the next try.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// The source of every stream: the newest view, the last batches, and the position of the log.
pub struct Feed {
    store: Arc<dyn EnforcementStore>,
    master: Arc<MasterKeys>,
    published: Published,
    /// The revision up to which this authority has seen both histories of the last fork.
    forked_through: AtomicU64,
    snapshots: Snapshots,
    /// Admits a few snapshots at a time.
    pub(crate) admission: Arc<Admission>,
    /// The revision of the store's head, as last read.
    head: AtomicU64,
}

/// The state of the feed, for operators.
pub(crate) struct Gauges {
    pub(crate) head: Revision,
    pub(crate) applied: Revision,
    pub(crate) ring_frames: u64,
    pub(crate) ring_bytes: u64,
    pub(crate) forks: u64,
    pub(crate) view_entries: u64,
    pub(crate) view_bytes: u64,
    pub(crate) snapshot_bytes: u64,
}

/// Why the log cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no checkpoint to start from: the view cannot be known.
    #[error("the log is trimmed and no checkpoint of this history opens: run `portcullis recover`")]
    NoCheckpoint,
    /// The log is trimmed, and the checkpoint to start from is of another master key.
    #[error("the checkpoint that the log was trimmed to cannot be opened: {0}")]
    CheckpointKey(Unsealable),
    /// The batches are not those that the head's chain is made of.
    #[error(
        "the log's batches are not what its head says: they were altered in the store, which has to be restored"
    )]
    Damaged,
    /// A batch cannot be applied.
    #[error("the log cannot be applied: {0}")]
    Apply(#[from] portcullis_contract::view::ApplyError),
}

impl Feed {
    /// Reads the log up to its head.
    ///
    /// # Errors
    /// When the store fails or the log cannot be applied.
    pub async fn open(
        store: Arc<dyn EnforcementStore>,
        master: Arc<MasterKeys>,
        config: &WatchConfig,
    ) -> Result<Self, FeedError> {
        let view = load_view(&*store, &master).await?;
        let head = view.position().revision;
        Ok(Self {
            published: Published::new(
                view,
                config.ring_frames_max,
                config.ring_bytes_max,
                config.staleness_max,
            ),
            head: AtomicU64::new(head.0),
            forked_through: AtomicU64::new(0),
            snapshots: Snapshots::default(),
            admission: Admission::new(config.snapshots_max),
            store,
            master,
        })
    }

    /// The newest view.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.published.view()
    }

    /// The position of the newest view. A change wakes the receiver.
    #[must_use]
    pub fn position(&self) -> Receiver<Position> {
        self.published.positions()
    }

    /// The position of the last batch that changes something for gates. A change wakes the receiver, and so does another
    /// history.
    pub(crate) fn changes(&self) -> Receiver<Position> {
        self.published.changes()
    }

    /// The number of the history that is followed. If it changes, the view does not continue the earlier one, even if
    /// incarnation and revision are the same.
    #[must_use]
    pub fn history(&self) -> u64 {
        self.published.history()
    }

    /// A time by which the log had `revision`. None: this authority has not read it yet.
    pub(crate) fn known_by(&self, revision: Revision) -> Option<Instant> {
        self.published.known_by(revision)
    }

    /// Returns true if a fork that this authority saw explains why the store does not know a cursor of this incarnation.
    /// If not, the store is older than the log that a validator was shown, and nobody here knows how much was lost.
    pub(crate) fn explains(&self, cursor: Position) -> bool {
        cursor.revision.0 <= self.forked_through.load(Ordering::Acquire)
    }

    /// Returns the batches of a history after a position that are in memory.
    #[must_use]
    pub fn after(&self, history: u64, at: Position) -> FromRing {
        self.published.after(history, at)
    }

    /// Returns a snapshot from which the ring continues. It is encoded once for all streams that want one.
    pub async fn snapshot(&self) -> Arc<EncodedSnapshot> {
        let first = self.published.first();
        self.snapshots.at_least(first, || self.view()).await
    }

    /// Returns the snapshot that a validator has a part of, and the chunk that comes next. None: it is not kept any more.
    pub async fn held_snapshot(
        &self,
        part: &SnapshotPart,
    ) -> Option<(Arc<EncodedSnapshot>, usize)> {
        self.snapshots.held(part, Instant::now()).await
    }

    /// The state of the feed, for operators.
    pub(crate) fn gauges(&self) -> Gauges {
        let (frames, bytes) = self.published.depth();
        let applied = self.published.position().revision;
        Gauges {
            // What this authority appends itself is known without reading the head.
            head: applied.max(Revision(self.head.load(Ordering::Relaxed))),
            applied,
            ring_frames: frames as u64,
            ring_bytes: bytes as u64,
            forks: self.history(),
            view_entries: self.view().entries(),
            view_bytes: self.view().bytes(),
            snapshot_bytes: self.snapshots.bytes().unwrap_or_default() as u64,
        }
    }

    /// Follows the log until `stop`. `appended` brings the batches of this authority. Those of others are found by polling
    /// the head.
    pub async fn follow(
        &self,
        config: &LogConfig,
        mut appended: mpsc::Receiver<LogBatch>,
        readiness: &Readiness,
        stop: &CancellationToken,
    ) {
        let mut incarnation = self.view().position().incarnation;
        loop {
            // A steady flow of own batches never lets this time out. It hides no batch of another authority: the next
            // own batch does not continue the view then, and `apply_own` reads the log.
            let next = tokio::time::timeout(config.poll_interval, next_batch(&mut appended));
            let Some(next) = stop.run_until_cancelled(next).await else {
                return;
            };
            let done = match next {
                Ok(batch) => self.apply_own(&batch).await,
                Err(_) => self.advance().await,
            };
            if let Err(error) = done {
                report_error(readiness, &error);
                // Own batches keep coming while the store fails, so without a pause this would spin.
                tokio::time::sleep(RETRY_PAUSE).await;
                continue;
            }

            readiness.succeed(Pulse::Feed);
            readiness.lower(Condition::Feed);
            let now = self.view().position().incarnation;
            if now != incarnation {
                // An operator has run `portcullis recover`, so the loss is dealt with.
                readiness.lower(Condition::History);
                incarnation = now;
            }
        }
    }

    /// Applies a batch of this authority if it continues the view, and asks the store otherwise.
    async fn apply_own(&self, batch: &LogBatch) -> Result<(), FeedError> {
        // A batch that does not continue the view may have been read from the store before, or be of another history.
        if self.apply(batch).is_ok() {
            return Ok(());
        }
        self.advance().await
    }

    /// Reads the log up to its head.
    async fn advance(&self) -> Result<(), FeedError> {
        loop {
            let at = self.view().position();
            // Both of one moment: a head of one history beside a chain of another would look like a fork.
            let (head, chain) = self.store.head_and_chain(at.revision).await?;
            // Not the maximum: the head of a primary after a failover may be lower.
            self.head.store(head.revision.0, Ordering::Relaxed);
            let same = chain == Some(at.chain) || seeded::has(Mistake::EqualHeads);
            if head.incarnation != at.incarnation || !same {
                return self.adopt_history(at, head).await;
            }
            if head.revision == at.revision {
                return Ok(());
            }
            match self.store.tail(at.revision, TAIL_FRAMES).await {
                Ok(batches) => self.apply_or_compare(&batches, head).await?,
                // This authority was stopped for longer than the log is kept. A checkpoint is newer.
                Err(StoreError::Trimmed) => return self.reload().await,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Applies batches that were read from the log. A batch that does not fit is an error only if the store still has the
    /// history of the view: a failover may have come between the reads.
    async fn apply_or_compare(
        &self,
        batches: &[LogBatch],
        head: Position,
    ) -> Result<(), FeedError> {
        let Err(error) = self.apply_read(batches, head) else {
            return Ok(());
        };
        let at = self.view().position();
        let (head, chain) = self.store.head_and_chain(at.revision).await?;
        if head.incarnation == at.incarnation && chain == Some(at.chain) {
            return Err(error);
        }
        self.adopt_history(at, head).await
    }

    fn apply_read(&self, batches: &[LogBatch], head: Position) -> Result<(), FeedError> {
        // The head says that there are batches after the view.
        if batches.is_empty() {
            return Err(FeedError::Damaged);
        }
        for batch in batches {
            // The row of the head and that of the last batch are two, and both may be altered.
            if !replay::agrees(batch.position, head) {
                return Err(FeedError::Damaged);
            }
            self.apply(batch)?;
        }
        Ok(())
    }

    /// Replaces the view by that of the store's history. Validators of the old history are told, and enforce both (I4).
    async fn adopt_history(&self, at: Position, head: Position) -> Result<(), FeedError> {
        tracing::error!(
            ?head,
            ?at,
            "another history is in the store: it is taken, and validators enforce both; if acknowledged changes may \
             have been lost, run `portcullis recover`"
        );
        // Up to the longer of both histories a revision may mean two batches.
        let both_through = at.revision.max(head.revision);
        // The maximum, because a validator may still hold a cursor of an earlier fork that was
        // longer.
        self.forked_through
            .fetch_max(both_through.0, Ordering::AcqRel);
        self.reload().await
    }

    /// Applies a batch to the view, and gives it to the streams. A batch that does not lead to its own position does not
    /// continue this view.
    fn apply(&self, batch: &LogBatch) -> Result<(), FeedError> {
        let next = replay::follow(&self.view(), batch)?;
        // The maximum: a batch of this authority may be older than the head that was last polled.
        self.head
            .fetch_max(batch.position.revision.0, Ordering::Relaxed);
        self.published.append(next, SealedFrame::from(&batch.frame));
        Ok(())
    }

    /// Starts over from the store's checkpoint. Streams of the old history cannot continue, and are told so.
    async fn reload(&self) -> Result<(), FeedError> {
        let view = load_view(&*self.store, &self.master).await?;
        // Batches and snapshots of the old history go before the new view is visible.
        self.published.end_history(view.position());
        self.snapshots.forget().await;
        self.published.begin_history(view);
        Ok(())
    }
}

/// Reports an error to readiness. One that may heal makes the authority not ready when it lasts, any other at once.
fn report_error(readiness: &Readiness, error: &FeedError) {
    readiness.fail(Pulse::Feed, error);
    match error {
        FeedError::Store(error) if error.is_retryable() => error.log("the log cannot be followed"),
        error => {
            tracing::error!(%error, "the log cannot be followed");
            readiness.raise(Condition::Feed, error.to_string());
        }
    }
}

/// Receives the next batch. It pends for ever once the appender has ended, because others may still append.
async fn next_batch(appended: &mut mpsc::Receiver<LogBatch>) -> LogBatch {
    match appended.recv().await {
        Some(batch) => batch,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
