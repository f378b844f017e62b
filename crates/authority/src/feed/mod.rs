//! The feed: follows the log, keeps the authority's own view, and serves every stream from one ring.

mod admission;
mod beat;
mod gates;
pub(crate) mod metrics;
mod replay;
mod ring;
mod snapshot;
mod validators;

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use portcullis_contract::{
    position::{Position, Revision},
    v1,
    view::{Frame, View},
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

pub(crate) use self::gates::{GateStream, Gates};
pub use self::{
    admission::{Admission, Ticket, Turn},
    beat::Beats,
    ring::FromRing,
    snapshot::EncodedSnapshot,
    validators::{
        Connected, Enforcement, Gate, Registration, ValidatorMode, ValidatorStatus, Validators,
    },
};
use self::{ring::Ring, snapshot::Snapshots};
use crate::{
    config::{LogConfig, WatchConfig},
    health::{Condition, Pulse, Readiness},
    keys::MasterKey,
    store::{Store, StoreError},
};

/// How many batches are read from the log at a time.
const TAIL_FRAMES: u32 = 512;
/// Between an error and the next try.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// What streams read: the newest view, the last batches, and where the log stands.
pub struct Feed {
    store: Arc<dyn Store>,
    master: Arc<MasterKey>,
    view: ArcSwap<View>,
    ring: RwLock<Ring>,
    position: watch::Sender<Position>,
    /// Counts the histories that were taken in place of another.
    history: AtomicU64,
    /// Through where this authority has seen both histories of the last fork.
    forked_through: AtomicU64,
    snapshots: Snapshots,
    /// Who may be sent one.
    pub(crate) admission: Arc<Admission>,
    /// The store's head, as last read.
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
        store: Arc<dyn Store>,
        master: Arc<MasterKey>,
        config: &WatchConfig,
    ) -> Result<Self, FeedError> {
        let view = load_view(&*store, &master).await?;
        let ring = Ring::new(
            view.position().revision,
            config.ring_frames_max,
            config.ring_bytes_max,
        );
        Ok(Self {
            position: watch::Sender::new(view.position()),
            head: AtomicU64::new(view.position().revision.0),
            history: AtomicU64::new(0),
            forked_through: AtomicU64::new(0),
            view: ArcSwap::from_pointee(view),
            ring: RwLock::new(ring),
            snapshots: Snapshots::default(),
            admission: Admission::new(config.snapshots_max),
            store,
            master,
        })
    }

    /// The newest view.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Where the newest view stands; changes wake the receiver.
    #[must_use]
    pub fn position(&self) -> watch::Receiver<Position> {
        self.position.subscribe()
    }

    /// The number of the history that is followed. Another number means that the view does not continue the earlier
    /// one, though incarnation and revision may be the same.
    #[must_use]
    pub fn history(&self) -> u64 {
        self.history.load(Ordering::Acquire)
    }

    /// Whether a cursor of this incarnation that the store does not know is of a fork that this authority saw happen. If
    /// not, the store is older than what a validator was shown, and nobody here knows how much was lost.
    pub(crate) fn explains(&self, cursor: Position) -> bool {
        cursor.revision.0 <= self.forked_through.load(Ordering::Acquire)
    }

    /// The batches after `revision` that memory holds.
    #[must_use]
    pub fn after(&self, revision: Revision) -> FromRing {
        self.ring
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .after(revision)
    }

    /// The whole view, encoded once for all streams that want one, from which the ring continues.
    pub async fn snapshot(&self) -> Arc<EncodedSnapshot> {
        let first = self
            .ring
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .first();
        self.snapshots.at_least(first, || self.view()).await
    }

    /// The snapshot that a validator has a part of, and the chunk that comes next. None when it is not held any more.
    pub async fn held_snapshot(
        &self,
        part: &v1::SnapshotPart,
    ) -> Option<(Arc<EncodedSnapshot>, usize)> {
        self.snapshots.held(part, Instant::now()).await
    }

    /// The state of the feed, for operators.
    pub(crate) fn gauges(&self) -> Gauges {
        let (frames, bytes) = self
            .ring
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .depth();
        let applied = self.position.borrow().revision;
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

    /// Follows the log until `stop`. `appended` brings the batches of this authority; those of others are found by
    /// polling the head.
    pub async fn follow(
        &self,
        config: &LogConfig,
        mut appended: mpsc::Receiver<(Frame, Position)>,
        readiness: &Readiness,
        stop: &CancellationToken,
    ) {
        let mut incarnation = self.view.load().position().incarnation;
        loop {
            let next = tokio::time::timeout(config.poll_interval, next_frame(&mut appended));
            let Some(next) = stop.run_until_cancelled(next).await else {
                return;
            };
            let done = match next {
                Ok((frame, head)) => self.append(frame, head).await,
                Err(_) => self.advance().await,
            };
            match done {
                Ok(()) => {
                    readiness.succeed(Pulse::Feed);
                    readiness.lower(Condition::Feed);
                    let now = self.view.load().position().incarnation;
                    if now != incarnation {
                        // `portcullis recover` was run.
                        readiness.lower(Condition::History);
                        incarnation = now;
                    }
                }
                Err(error) => {
                    report(readiness, &error);
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
    }

    /// A batch that continues the view is taken as it is; one that was read before is passed over.
    async fn append(&self, frame: Frame, head: Position) -> Result<(), FeedError> {
        let at = self.view.load().position();
        let next = head.incarnation == at.incarnation && frame.revision == at.revision.next();
        // What does not continue the view may be of another history: the store is asked.
        if next && self.take(vec![frame], head).is_ok() {
            return Ok(());
        }
        self.advance().await
    }

    async fn advance(&self) -> Result<(), FeedError> {
        loop {
            let at = self.view.load().position();
            let (head, chain) = self.store.head_and_chain(at.revision).await?;
            self.head.store(head.revision.0, Ordering::Relaxed);
            if head.incarnation != at.incarnation || chain != Some(at.chain) {
                return self.take_other_history(at, head).await;
            }
            if head.revision == at.revision {
                return Ok(());
            }
            match self.store.tail(at.revision, TAIL_FRAMES).await {
                Ok(frames) => self.take_or_compare(frames, head).await?,
                Err(StoreError::Trimmed) => return self.reload().await,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// As [`take`](Self::take). A batch that cannot be applied is an error only while the store says that it follows:
    /// a failover may have come between the reads.
    async fn take_or_compare(&self, frames: Vec<Frame>, head: Position) -> Result<(), FeedError> {
        let taken = if frames.is_empty() {
            Err(FeedError::Damaged)
        } else {
            self.take(frames, head)
        };
        let Err(error) = taken else {
            return Ok(());
        };
        let at = self.view.load().position();
        let (head, chain) = self.store.head_and_chain(at.revision).await?;
        if head.incarnation == at.incarnation && chain == Some(at.chain) {
            return Err(error);
        }
        self.take_other_history(at, head).await
    }

    /// Follows what the store has now. Validators of the old history are told, and enforce both (I4).
    async fn take_other_history(&self, at: Position, head: Position) -> Result<(), FeedError> {
        tracing::error!(
            ?head,
            ?at,
            "another history is in the store: it is taken, and validators enforce both; if acknowledged changes may \
             have been lost, run `portcullis recover`"
        );
        let both_through = at.revision.max(head.revision);
        self.forked_through
            .fetch_max(both_through.0, Ordering::AcqRel);
        self.reload().await
    }

    fn take(&self, frames: Vec<Frame>, head: Position) -> Result<(), FeedError> {
        self.head.fetch_max(head.revision.0, Ordering::Relaxed);
        for frame in frames {
            let next = replay::follow(&self.view.load(), &frame, head)?;
            let position = next.position();
            self.view.store(Arc::new(next));
            self.ring
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .push(v1::DeltaFrame::from(&frame));
            self.position.send_replace(position);
        }
        Ok(())
    }

    /// Starts over from what the store has now. Streams of the old history find no way on and are told so.
    async fn reload(&self) -> Result<(), FeedError> {
        let view = load_view(&*self.store, &self.master).await?;
        let position = view.position();
        self.ring
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .restart(position.revision);
        self.snapshots.forget().await;
        self.view.store(Arc::new(view));
        self.history.fetch_add(1, Ordering::Release);
        self.position.send_replace(position);
        Ok(())
    }
}

/// An error that may heal counts when it lasts; one that cannot counts at once.
fn report(readiness: &Readiness, error: &FeedError) {
    readiness.fail(Pulse::Feed, error);
    match error {
        FeedError::Store(error) if error.is_retryable() => error.log("the log cannot be followed"),
        error => {
            tracing::error!(%error, "the log cannot be followed");
            readiness.raise(Condition::Feed, error.to_string());
        }
    }
}

/// The next batch; never comes when there is nobody any more who appends.
async fn next_frame(appended: &mut mpsc::Receiver<(Frame, Position)>) -> (Frame, Position) {
    match appended.recv().await {
        Some(frame) => frame,
        None => std::future::pending().await,
    }
}

/// The view at the head: a checkpoint and the batches after it.
///
/// # Errors
/// When the store fails, or there is neither a checkpoint nor the whole log.
pub async fn load_view(store: &dyn Store, master: &MasterKey) -> Result<View, FeedError> {
    let head = store.head().await?;
    let mut view = checkpointed(store, master, head)
        .await?
        .unwrap_or_else(|| View::empty(head.incarnation));
    while view.position().revision < head.revision {
        let frames = match store.tail(view.position().revision, TAIL_FRAMES).await {
            Err(StoreError::Trimmed) => return Err(FeedError::NoCheckpoint),
            frames => frames?,
        };
        for frame in &frames {
            view = replay::follow(&view, frame, head)?;
        }
        if frames.is_empty() {
            return Err(FeedError::NoCheckpoint);
        }
    }
    Ok(view)
}

async fn checkpointed(
    store: &dyn Store,
    master: &MasterKey,
    head: Position,
) -> Result<Option<View>, StoreError> {
    for (bytes, code) in store.checkpoints().await? {
        match master.open_checkpoint(bytes, &code) {
            Ok(view) if continues(store, &view, head).await? => return Ok(Some(view)),
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "a checkpoint is passed over"),
        }
    }
    Ok(None)
}

/// Whether the view is of the history that ends at `head`. A checkpoint of another one may stand in the store: an
/// authority that had not noticed a failover yet can have written it.
async fn continues(store: &dyn Store, view: &View, head: Position) -> Result<bool, StoreError> {
    let at = view.position();
    if at.revision > head.revision || !replay::agrees(at, head) {
        return Ok(false);
    }
    Ok(store.chain(at.revision).await? == Some(at.chain))
}
