//! The transfer of a snapshot to one validator. Chunks are taken one by one, so that a stream holds no more than one.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use portcullis_contract::{position::Position, sealed::SealedChunk};

use crate::feed::{EncodedSnapshot, Feed, SnapshotPart, Ticket, Turn};

/// The time between two messages that the snapshot waits. A validator gives up after 2 s or more without a message.
const QUEUED_INTERVAL: Duration = Duration::from_secs(1);

/// A snapshot that is being sent, or waits to be.
pub(super) struct SnapshotTransfer {
    ticket: Ticket,
    /// The part of a snapshot that the validator has already.
    part: Option<SnapshotPart>,
    /// The snapshot and its next chunk. None: the transfer has not begun.
    progress: Option<(Arc<EncodedSnapshot>, usize)>,
    /// The time at which the validator was last told that its snapshot waits.
    queued_told: Option<Instant>,
}

/// The result of one step.
pub(super) enum TransferStep {
    /// A chunk is sent, and more follow.
    Chunk(SealedChunk, SnapshotTransfer),
    /// The last chunk is sent. The validator has the view of this position then.
    LastChunk(SealedChunk, Position),
    /// The validator is told that its snapshot waits.
    Queued {
        ahead: u32,
        wait: Duration,
        transfer: SnapshotTransfer,
    },
    /// The snapshot waits, and the validator was told so a moment ago.
    Wait(SnapshotTransfer),
}

impl SnapshotTransfer {
    /// Joins the queue for snapshots.
    pub(super) fn begin(feed: &Feed, part: Option<SnapshotPart>) -> Self {
        Self {
            ticket: feed.admission.enter(),
            part,
            progress: None,
            queued_told: None,
        }
    }

    /// Takes the next chunk, if it is the turn of this transfer.
    pub(super) async fn step(mut self, feed: &Feed) -> TransferStep {
        // Asked before each chunk, because a reader that stalled may have lost its slot. Its progress stays.
        match self.ticket.turn(Instant::now()) {
            Turn::Now => self.take_chunk(feed).await,
            Turn::Wait { .. } if self.was_told_lately() => TransferStep::Wait(self),
            Turn::Wait { ahead, wait } => {
                self.queued_told = Some(Instant::now());
                TransferStep::Queued {
                    ahead,
                    wait,
                    transfer: self,
                }
            }
        }
    }

    fn was_told_lately(&self) -> bool {
        match self.queued_told {
            Some(told) => told.elapsed() < QUEUED_INTERVAL,
            None => false,
        }
    }

    async fn take_chunk(mut self, feed: &Feed) -> TransferStep {
        let (snapshot, index) = match self.progress.take() {
            Some(progress) => progress,
            None => choose_snapshot(feed, self.part.take()).await,
        };
        // The next chunk is taken when the connection has room for it. A slow reader holds its slot, but only so long.
        let chunk = snapshot.chunk(index);
        if index + 1 < snapshot.length() {
            self.progress = Some((snapshot, index + 1));
            return TransferStep::Chunk(chunk, self);
        }
        // This frees the slot, and tells the queue how long the transfer took.
        self.ticket.finish(Instant::now());
        TransferStep::LastChunk(chunk, snapshot.position)
    }
}

/// The snapshot that the validator has a part of, else the newest one.
async fn choose_snapshot(feed: &Feed, part: Option<SnapshotPart>) -> (Arc<EncodedSnapshot>, usize) {
    // A gate whose link breaks during the transfer would never get a large view if it always began anew.
    if let Some(part) = part
        && let Some(held) = feed.held_snapshot(&part).await
    {
        return held;
    }
    (feed.snapshot().await, 0)
}
