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

#[cfg(test)]
mod tests {
    use portcullis_contract::{
        delta::{self, Change},
        id::Serial,
        key::CredentialKind,
        view::Frame,
    };

    use super::*;
    use crate::{config::WatchConfig, feed::parts::Parts};

    async fn feed(snapshots_max: usize) -> Feed {
        let parts = Parts::new().await;
        let config = WatchConfig {
            snapshots_max,
            ..WatchConfig::default()
        };
        parts.open_feed(&config).await
    }

    #[tokio::test]
    async fn a_small_view_is_one_chunk() {
        let feed = feed(1).await;
        let transfer = SnapshotTransfer::begin(&feed, None);
        let TransferStep::LastChunk(_, position) = transfer.step(&feed).await else {
            panic!("not the last chunk");
        };
        assert_eq!(position, feed.view().position());
    }

    #[tokio::test]
    async fn who_waits_is_told_once_in_a_time() {
        let feed = feed(1).await;
        let ahead = feed.admission.enter();
        assert!(matches!(ahead.turn(Instant::now()), Turn::Now));
        let transfer = SnapshotTransfer::begin(&feed, None);
        let TransferStep::Queued { mut transfer, .. } = transfer.step(&feed).await else {
            panic!("not queued");
        };
        assert!(transfer.queued_told.is_some(), "it knows that it told");
        // On a busy machine a moment may be long.
        transfer.queued_told = Some(Instant::now());
        let TransferStep::Wait(mut transfer) = transfer.step(&feed).await else {
            panic!("told twice");
        };
        transfer.queued_told = Instant::now().checked_sub(QUEUED_INTERVAL);
        let step = transfer.step(&feed).await;
        assert!(matches!(step, TransferStep::Queued { .. }), "told again");
    }

    #[tokio::test]
    async fn a_large_view_is_sent_chunk_by_chunk_to_its_end() {
        let feed = feed(1).await;
        // Scattered serials, which do not compress.
        let serials = (0..200_000).map(|number| Serial(number * 700 + 3));
        let change = Change::Revoke {
            credential: CredentialKind::Session,
            serials: serials.collect(),
        };
        let start = feed.view();
        let frame = Frame {
            revision: start.position().revision.next(),
            delta: delta::encode(&[change], Vec::new()),
            audit_digest: [0; 32],
        };
        let view = start.apply(&frame).expect("applies");
        let position = view.position();
        feed.published.begin_history(view);

        let length = feed.snapshot().await.length();
        assert!(length > 2, "{length} chunks");
        let mut transfer = SnapshotTransfer::begin(&feed, None);
        for _ in 1..length {
            let TransferStep::Chunk(_, next) = transfer.step(&feed).await else {
                panic!("too few chunks");
            };
            transfer = next;
        }
        let TransferStep::LastChunk(_, end) = transfer.step(&feed).await else {
            panic!("too many chunks");
        };
        assert_eq!(end, position);
    }
}
