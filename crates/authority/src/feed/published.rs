//! The state that every stream reads: the newest view, the last batches, the position and the history. One task writes it,
//! in an order on which the streams rely.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use portcullis_contract::{
    position::{Position, Revision},
    sealed::SealedFrame,
    view::View,
};
use tokio::sync::watch::{Receiver, Sender};

use super::{
    known::Known,
    ring::{FromRing, Ring, SealedBatch},
    sync::{
        ArcSwap, AtomicU64, Mutex, MutexGuard, Ordering, PoisonError, RwLock, RwLockReadGuard,
        RwLockWriteGuard,
    },
};

/// The state that the feed publishes.
pub(super) struct Published {
    view: ArcSwap<View>,
    ring: RwLock<Ring>,
    position: Sender<Position>,
    /// The position of the last batch that changes something for gates, or of the beginning of another history.
    change: Sender<Position>,
    /// The number of histories that were adopted in place of another.
    history: AtomicU64,
    /// The times by which the log had its revisions.
    known: Mutex<Known>,
}

impl Published {
    /// Publishes a view, and an empty ring that continues it. Times are kept for `times_kept` at least.
    pub(super) fn new(
        view: View,
        frames_max: usize,
        bytes_max: usize,
        times_kept: Duration,
    ) -> Self {
        let at = view.position();
        let mut known = Known::over(times_kept);
        known.add(at.revision, Instant::now());
        Self {
            ring: RwLock::new(Ring::new(at, frames_max, bytes_max)),
            position: Sender::new(at),
            change: Sender::new(at),
            history: AtomicU64::new(0),
            known: Mutex::new(known),
            view: ArcSwap::from_pointee(view),
        }
    }

    /// The newest view.
    pub(super) fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// The position behind the last batch.
    pub(super) fn position(&self) -> Position {
        *self.position.borrow()
    }

    /// The position of the newest view. A change wakes the receiver.
    pub(super) fn positions(&self) -> Receiver<Position> {
        self.position.subscribe()
    }

    /// The position of the last batch that changes something for gates. A change wakes the receiver, and so does another
    /// history.
    pub(super) fn changes(&self) -> Receiver<Position> {
        self.change.subscribe()
    }

    /// The number of the history.
    pub(super) fn history(&self) -> u64 {
        self.history.load(Ordering::Acquire)
    }

    /// A time by which the log had `revision`. None: this authority has not read it yet.
    pub(super) fn known_by(&self, revision: Revision) -> Option<Instant> {
        self.known().by(revision)
    }

    /// The batches of a history after a position that are in memory.
    pub(super) fn after(&self, history: u64, at: Position) -> FromRing {
        let found = self.ring().after(at);
        // Looked at last: the ring gets no batch of another history before the number says so. A comparison before would
        // let a stream send the batches of the other history after those of its own.
        if self.history() != history {
            return FromRing::OtherHistory;
        }
        found
    }

    /// The oldest revision from which the ring continues. A view that is read afterwards is not older.
    pub(super) fn first(&self) -> Revision {
        self.ring().first()
    }

    /// The batches in the ring, and the bytes of their deltas.
    pub(super) fn depth(&self) -> (usize, usize) {
        self.ring().depth()
    }

    /// Publishes the next view and the batch that led to it.
    pub(super) fn append(&self, next: View, frame: SealedFrame) {
        let (position, has_changes) = (next.position(), frame.has_changes());
        // Before the ring: a snapshot must not be older than the beginning of the ring, which this batch alone may move.
        self.view.store(Arc::new(next));
        self.ring_mut().push(SealedBatch { frame, position });
        self.known().add(position.revision, Instant::now());
        self.position.send_replace(position);
        // Last, because it wakes the streams, which look into the ring at once. A batch of audit events does not: with a
        // thousand gates that would be a thousand messages a second that change nothing. Each stream sends it when
        // its gate probes, which the next beat waits for.
        if has_changes {
            self.change.send_replace(position);
        }
    }

    /// Drops the batches of the history that ends, before the first view of another one is published.
    pub(super) fn end_history(&self, next: Position) {
        // In the other order a stream could send the batches of one history after the snapshot of the other.
        self.ring_mut().restart(next);
    }

    /// Publishes the first view of another history.
    pub(super) fn begin_history(&self, view: View) {
        let position = view.position();
        self.view.store(Arc::new(view));
        self.known().restart(position.revision, Instant::now());
        // A stream that the new position wakes compares this number first, and ends.
        self.history.fetch_add(1, Ordering::Release);
        self.position.send_replace(position);
        self.change.send_replace(position);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self) -> RwLockReadGuard<'_, Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring_mut(&self) -> RwLockWriteGuard<'_, Ring> {
        self.ring.write().unwrap_or_else(PoisonError::into_inner)
    }
}
