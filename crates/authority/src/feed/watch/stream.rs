//! One validator's stream.

use std::{collections::VecDeque, future, sync::Arc};

use futures::{Stream, StreamExt, stream};
use portcullis_contract::{
    position::{Position, Revision},
    sealed::SealedFrame,
};
use tokio::sync::{oneshot, watch::Receiver};
use tokio_util::sync::CancellationToken;

use super::{
    host::{CursorState, WatchHost},
    messages::{Answer, Hello, Probe, StreamEnd, StreamSource, WatchError},
    transfer::{SnapshotTransfer, TransferStep},
};
use crate::{
    feed::{Connected, FromRing, GateStream, Registration, SignedBeat, SnapshotPart},
    store::{Store, StoreError},
};

/// The most probes of one stream that wait for a beat. More are not answered.
const PROBES_MAX: usize = 64;

/// The most batches that one read of the log returns, for a stream that fell out of the ring.
const CATCH_UP_FRAMES: u32 = 256;

/// A stream whose validator was greeted.
pub(crate) struct WatchStream<P> {
    host: Arc<WatchHost>,
    probes: P,
    /// Cancelled when the connection is as old as it may be.
    aged: CancellationToken,
    registration: Registration,
    /// Tells the sweep that the gate may admit requests, while the stream lasts.
    _gate: Option<GateStream>,
    /// Wakes the stream on changes.
    position: Receiver<Position>,
    /// The number of the history that the stream is about.
    history: u64,
    /// Probes that wait for a beat, in the order in which their beats come.
    waiting: VecDeque<WaitingProbe>,
    /// The last revision that was put into `next`.
    at: Revision,
    /// Answers that can be sent at once.
    next: VecDeque<Answer>,
    transfer: Option<SnapshotTransfer>,
    /// Whether nothing comes after `next`.
    is_over: bool,
}

/// A probe that waits for its beat.
struct WaitingProbe {
    nonce: u64,
    beat: oneshot::Receiver<SignedBeat>,
}

impl<P> WatchStream<P>
where
    P: Stream<Item = Result<Probe, StreamEnd>> + Send + Unpin,
{
    /// Registers the stream of a validator and greets it.
    pub(crate) async fn open(
        host: Arc<WatchHost>,
        source: StreamSource,
        hello: Hello,
        probes: P,
    ) -> Result<Self, StreamEnd> {
        // First, because a flood of streams has to be refused before it costs reads of the store.
        let registration = host.register(&source, &hello)?;
        let gate = match hello.gate {
            Some((id, admits_for)) => host.gates.connect(id, admits_for),
            None => None,
        };
        // Both are read before the greeting judges the cursor, so that no change in between is missed.
        let position = host.feed.position();
        let history = host.feed.history();
        let mut stream = Self {
            host,
            probes,
            aged: source.aged,
            registration,
            _gate: gate,
            position,
            history,
            waiting: VecDeque::new(),
            at: Revision(0),
            next: VecDeque::new(),
            transfer: None,
            is_over: false,
        };
        stream.greet(hello).await?;
        Ok(stream)
    }

    /// All answers, in order, to the end.
    pub(crate) fn answers(self) -> impl Stream<Item = Result<Answer, StreamEnd>> + Send {
        // Boxed, because the unfolding moves the state with every answer.
        stream::try_unfold(Box::new(self), |mut stream| async move {
            let answer = stream.next_answer().await?;
            Ok(answer.map(|answer| (answer, stream)))
        })
    }

    async fn next_answer(&mut self) -> Result<Option<Answer>, StreamEnd> {
        loop {
            let answer = self.next.pop_front();
            // The connection asks only when it has taken everything before: then it has all up to this revision.
            if self.next.is_empty() {
                self.connected().record_taken(self.at);
            }
            if answer.is_some() || self.is_over {
                return Ok(answer);
            }
            self.gather().await?;
        }
    }

    async fn greet(&mut self, hello: Hello) -> Result<(), StreamEnd> {
        let state = self.host.judge_cursor(&hello).await?;
        let here = self.host.feed.view().position();
        // Deltas follow the cursor. After a fork the snapshot sets the revision.
        if let Some(cursor) = hello.cursor
            && cursor.incarnation == here.incarnation
        {
            self.at = cursor.revision;
        }

        let is_fork = state == CursorState::Fork;
        self.next.push_back(Answer::Welcome {
            incarnation: here.incarnation,
            is_fork,
        });
        if is_fork {
            tracing::error!(validator = %hello.name, "a validator has seen another history");
        }
        if state != CursorState::Known {
            self.begin_snapshot(hello.part);
        }
        Ok(())
    }

    /// Waits until there is something to do, and does it: there may be an answer then.
    async fn gather(&mut self) -> Result<(), StreamEnd> {
        // Marked as seen before anything is read, so that a change meanwhile wakes the stream again.
        self.position.borrow_and_update();
        // This view does not continue the one that the validator has. A new stream finds out by its cursor.
        if self.host.feed.history() != self.history {
            self.end();
            return Ok(());
        }
        if self.transfer.is_none() {
            self.gather_news().await?;
        }
        // Probes are read once the snapshot is complete: no beat could be about a view that is not there.
        if let Some(transfer) = self.transfer.take() {
            return self.gather_chunk(transfer).await;
        }
        // News are sent before the stream waits, and before a beat that may name their revision.
        if !self.next.is_empty() {
            return Ok(());
        }
        self.wait_for_event().await
    }

    async fn wait_for_event(&mut self) -> Result<(), StreamEnd> {
        // The branches are polled in random order, so a gate that floods probes cannot keep the stream from seeing a
        // drain.
        tokio::select! {
            changed = self.position.changed() => changed.map_err(|_| StreamEnd::Closed)?,
            probe = self.probes.next() => {
                let probe = probe.ok_or(StreamEnd::Closed)??;
                self.take_probe(probe)?;
            }
            (nonce, beat) = first_beat(&mut self.waiting) => {
                // Without a beat there is no answer, and the validator becomes stale by itself.
                self.next.extend(beat.map(|beat| Answer::Beat { nonce, beat }));
            }
            () = self.host.drain.cancelled() => self.end(),
            () = self.aged.cancelled() => self.end(),
        }
        Ok(())
    }

    fn begin_snapshot(&mut self, part: Option<SnapshotPart>) {
        self.transfer = Some(SnapshotTransfer::begin(&self.host.feed, part));
    }

    async fn gather_chunk(&mut self, transfer: SnapshotTransfer) -> Result<(), StreamEnd> {
        match transfer.step(&self.host.feed).await {
            TransferStep::Chunk(chunk, transfer) => {
                self.next.push_back(Answer::SnapshotChunk(chunk));
                self.transfer = Some(transfer);
            }
            TransferStep::LastChunk(chunk, revision) => {
                self.next.push_back(Answer::SnapshotChunk(chunk));
                self.at = revision;
            }
            TransferStep::Queued {
                ahead,
                wait,
                transfer,
            } => {
                self.next.push_back(Answer::Queued { ahead, wait });
                self.transfer = Some(transfer);
            }
            TransferStep::Wait(transfer) => {
                self.transfer = Some(transfer);
                self.wait_for_turn().await?;
            }
        }
        Ok(())
    }

    async fn wait_for_turn(&mut self) -> Result<(), StreamEnd> {
        let host = Arc::clone(&self.host);
        // The age of the connection is not looked at: a new stream would begin at the end of the queue.
        tokio::select! {
            () = host.feed.admission.freed() => {}
            // Another history ends the stream.
            changed = self.position.changed() => changed.map_err(|_| StreamEnd::Closed)?,
            () = host.drain.cancelled() => self.end(),
        }
        Ok(())
    }

    /// Counts the revision that the validator has applied, and asks for the beat that answers the probe.
    ///
    /// A claim above the delivered revision ends the stream: an operator would take a revocation for enforced that is not.
    fn take_probe(&mut self, probe: Probe) -> Result<(), WatchError> {
        let applied = probe.applied;
        if applied > self.at {
            tracing::warn!(
                gate = %self.connected().gate,
                claimed = %applied,
                delivered = %self.at,
                "a gate claims a revision that it was not sent"
            );
            return Err(WatchError::RevisionAhead);
        }

        // A probe counts as a sign of life also when too many wait for a beat.
        self.connected().record_probe(applied);
        if self.waiting.len() < PROBES_MAX
            && let Some(beat) = self.host.beats.ask()
        {
            self.waiting.push_back(WaitingProbe {
                nonce: probe.nonce,
                beat,
            });
        }
        Ok(())
    }

    /// Asks the validator to connect anew.
    fn end(&mut self) {
        // Behind the answers that were gathered before, so no batch that was read is held back.
        self.next.push_back(Answer::Drain);
        self.is_over = true;
    }

    fn connected(&self) -> &Connected {
        &self.registration.connected
    }

    /// Takes the batches after the last one that was gathered: from the ring, else from the log, else a snapshot.
    async fn gather_news(&mut self) -> Result<(), StreamEnd> {
        let frames = match self.host.feed.after(self.at) {
            FromRing::Frames(frames) => frames,
            // This replica does not have the revision yet. The primary has it, or the cursor would have been refused.
            FromRing::Ahead => return Ok(()),
            FromRing::Behind => match read_log(&*self.host.store, self.at).await? {
                Some(frames) => frames,
                None => {
                    self.begin_snapshot(None);
                    return Ok(());
                }
            },
        };
        if let Some(last) = frames.last() {
            self.at = last.revision();
        }
        self.next.extend(frames.into_iter().map(Answer::Delta));
        Ok(())
    }
}

/// Reads the batches after a revision from the log. None: the log is trimmed there.
async fn read_log(
    store: &dyn Store,
    after: Revision,
) -> Result<Option<Vec<SealedFrame>>, StoreError> {
    // Not `tail`: many streams that are far behind must not take the connection that the feed reads by.
    match store.catch_up(after, CATCH_UP_FRAMES).await {
        Ok(frames) => Ok(Some(frames.iter().map(SealedFrame::from).collect())),
        Err(StoreError::Trimmed) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The nonce and the beat of the first probe that waits. Never comes when none does.
async fn first_beat(waiting: &mut VecDeque<WaitingProbe>) -> (u64, Option<SignedBeat>) {
    let Some(first) = waiting.front_mut() else {
        return future::pending().await;
    };
    // The probe stays in the queue while this waits: a `select!` that takes another branch drops this future.
    let beat = (&mut first.beat).await.ok();
    let nonce = first.nonce;
    waiting.pop_front();
    (nonce, beat)
}
