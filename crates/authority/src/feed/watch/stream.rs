//! One validator's stream.

use std::{collections::VecDeque, future, mem, sync::Arc};

use futures::{Stream, StreamExt, stream};
use portcullis_contract::{
    position::{Chain, Position, Revision},
    sealed::SealedFrame,
};
use tokio::{
    sync::{oneshot, watch::Receiver},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    host::{CursorState, WatchHost},
    messages::{Answer, Asked, Hello, Probe, StreamEnd, StreamSource, WatchError},
    transfer::{SnapshotTransfer, TransferStep},
};
use crate::{
    domain::Micros,
    feed::{
        Connected, FromRing, GateStream, Registration, SealedBatch, SignedBeat, SnapshotPart,
        confirmations::question_pause,
    },
    store::{EnforcementStore, LogBatch, StoreError},
};

/// The most probes of one stream that wait for a beat. More are not answered.
const PROBES_MAX: usize = 64;

/// The most batches that one read of the log returns, for a stream that fell out of the ring.
const CATCH_UP_FRAMES: u32 = 256;

/// A stream whose validator was greeted.
pub(crate) struct WatchStream<P> {
    host: Arc<WatchHost>,
    inbound: P,
    /// Cancelled when the connection is as old as it may be.
    aged: CancellationToken,
    registration: Registration,
    /// Tells the sweep that the gate may admit requests, while the stream lasts.
    _gate: Option<GateStream>,
    /// Wakes the stream when there is something new for gates.
    changes: Receiver<Position>,
    /// The revision that callers want to be confirmed. Wakes the stream too.
    wanted: Receiver<Revision>,
    question: Question,
    /// The number of the history that the stream is about.
    history: u64,
    /// Probes that wait for a beat, in the order in which their beats come.
    waiting: VecDeque<WaitingProbe>,
    /// The position behind all that was put into `next`.
    at: Position,
    /// Answers that can be sent at once.
    next: Vec<Answer>,
    transfer: Option<SnapshotTransfer>,
    /// Whether nothing comes after `next`.
    is_over: bool,
}

/// A probe that waits for its beat.
struct WaitingProbe {
    nonce: u64,
    /// The validator's clock when it sent the probe.
    sent: Option<Micros>,
    beat: oneshot::Receiver<SignedBeat>,
}

/// The questions for a confirmation, at most one in a while.
#[derive(Default)]
struct Question {
    /// The revision that had been sent when the validator was asked last.
    asked_at: Revision,
    /// The validator may be asked again from then on.
    next: Option<Instant>,
    /// The time at which a question that came too early is asked.
    due: Option<Instant>,
}

impl<P> WatchStream<P>
where
    P: Stream<Item = Result<Asked, StreamEnd>> + Send + Unpin,
{
    /// Registers the stream of a validator and greets it.
    pub(crate) async fn open(
        host: Arc<WatchHost>,
        source: StreamSource,
        hello: Hello,
        inbound: P,
    ) -> Result<Self, StreamEnd> {
        // First, because a flood of streams has to be refused before it costs reads of the store.
        let registration = host.register(&source, &hello)?;
        let gate = match hello.gate {
            Some((id, admits_for)) => host.gates.connect(id, admits_for),
            None => None,
        };
        // Both are read before the greeting judges the cursor, so that no change in between is missed.
        let changes = host.feed.changes();
        let history = host.feed.history();
        let wanted = host.validators.confirmations.wanted();
        let start = Position {
            incarnation: changes.borrow().incarnation,
            revision: Revision(0),
            chain: Chain::default(),
        };
        let mut stream = Self {
            host,
            inbound,
            aged: source.aged,
            registration,
            _gate: gate,
            changes,
            wanted,
            question: Question::default(),
            history,
            waiting: VecDeque::new(),
            at: start,
            next: Vec::new(),
            transfer: None,
            is_over: false,
        };
        stream.greet(hello).await?;
        Ok(stream)
    }

    /// All answers, in order, to the end: each time those that can be sent at once.
    pub(crate) fn answers(self) -> impl Stream<Item = Result<Vec<Answer>, StreamEnd>> + Send {
        // Boxed, because the unfolding moves the state each time.
        stream::try_unfold(Box::new(self), |mut stream| async move {
            let answers = stream.next_answers().await?;
            Ok(answers.map(|answers| (answers, stream)))
        })
    }

    async fn next_answers(&mut self) -> Result<Option<Vec<Answer>>, StreamEnd> {
        // The connection asks only when it has taken everything before: then it has all up to this revision.
        self.connected().record_taken(self.at.revision);
        while self.next.is_empty() {
            if self.is_over {
                return Ok(None);
            }
            self.gather().await?;
        }
        // With their room: it may be that of 256 batches, and would be kept as long as the gate lives.
        Ok(Some(mem::take(&mut self.next)))
    }

    async fn greet(&mut self, hello: Hello) -> Result<(), StreamEnd> {
        let state = self.host.judge_cursor(&hello).await?;
        let here = self.host.feed.view().position();
        // Deltas follow the cursor. After a fork the snapshot sets the position.
        if let Some(cursor) = hello.cursor
            && cursor.incarnation == here.incarnation
        {
            self.at = cursor;
        }

        let is_fork = state == CursorState::Fork;
        self.next.push(Answer::Welcome {
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
        self.changes.borrow_and_update();
        let wanted = *self.wanted.borrow_and_update();
        // This view does not continue the one that the validator has. A new stream finds out by its cursor.
        if self.host.feed.history() != self.history {
            self.end();
            return Ok(());
        }
        if self.transfer.is_none() {
            self.gather_news().await?;
        }
        if self.transfer.is_none() {
            self.ask_confirmation(wanted);
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
        // In this order: a gate that floods probes cannot keep the stream from seeing a drain or a beat. The last three only
        // wake the stream, which looks at news and questions each time. A fixed order also lets a simulation replay.
        tokio::select! {
            biased;
            () = self.host.drain.cancelled() => self.end(),
            () = self.aged.cancelled() => self.end(),
            (probe, beat) = first_beat(&mut self.waiting) => self.answer_probe(&probe, beat),
            asked = self.inbound.next() => match asked.ok_or(StreamEnd::Closed)?? {
                Asked::Probe(probe) => self.take_probe(probe)?,
                Asked::Applied(applied) => self.take_applied(applied)?,
            },
            changed = self.changes.changed() => changed.map_err(|_| StreamEnd::Closed)?,
            changed = self.wanted.changed() => changed.map_err(|_| StreamEnd::Closed)?,
            () = wait_until(self.question.due) => {}
        }
        Ok(())
    }

    fn begin_snapshot(&mut self, part: Option<SnapshotPart>) {
        self.transfer = Some(SnapshotTransfer::begin(&self.host.feed, part));
    }

    async fn gather_chunk(&mut self, transfer: SnapshotTransfer) -> Result<(), StreamEnd> {
        match transfer.step(&self.host.feed).await {
            TransferStep::Chunk(chunk, transfer) => {
                self.next.push(Answer::SnapshotChunk(chunk));
                self.transfer = Some(transfer);
            }
            TransferStep::LastChunk(chunk, position) => {
                self.next.push(Answer::SnapshotChunk(chunk));
                self.at = position;
            }
            TransferStep::Queued {
                ahead,
                wait,
                transfer,
            } => {
                self.next.push(Answer::Queued { ahead, wait });
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
            biased;
            () = host.feed.admission.freed() => {}
            // Another history ends the stream.
            changed = self.changes.changed() => changed.map_err(|_| StreamEnd::Closed)?,
            () = host.drain.cancelled() => self.end(),
        }
        Ok(())
    }

    /// Asks the validator for its applied revision, once it was sent a revision for which a caller waits.
    fn ask_confirmation(&mut self, wanted: Revision) {
        self.question.due = None;
        let applied = self.connected().applied();
        // An answer to the last question, or a probe, will tell.
        let was_asked = self.question.asked_at >= wanted;
        if self.at.revision < wanted || applied >= wanted || was_asked {
            return;
        }

        let now = Instant::now();
        if let Some(next) = self.question.next
            && now < next
        {
            self.question.due = Some(next);
            return;
        }
        // By the number of streams: all of them are asked for one caller, and the answers must
        // leave the cores to others.
        let pause = question_pause(self.host.validators.streams());
        self.question.next = Some(now + pause);
        self.question.asked_at = self.at.revision;
        // Behind the batches: the validator has applied them when it reads this.
        self.next.push(Answer::Confirm);
    }

    /// Counts the revision that the validator has applied.
    ///
    /// A claim above the delivered revision ends the stream: an operator would take a revocation for enforced that is not.
    fn take_applied(&mut self, applied: Revision) -> Result<(), WatchError> {
        self.check_claim(applied)?;
        self.connected().record_applied(applied);
        Ok(())
    }

    fn check_claim(&self, applied: Revision) -> Result<(), WatchError> {
        if applied > self.at.revision {
            tracing::warn!(
                gate = %self.connected().gate,
                claimed = %applied,
                delivered = %self.at.revision,
                "a gate claims a revision that it was not sent"
            );
            return Err(WatchError::RevisionAhead);
        }
        Ok(())
    }

    /// Counts the revision that the validator has applied, and asks for the beat that answers the probe.
    fn take_probe(&mut self, probe: Probe) -> Result<(), WatchError> {
        self.check_claim(probe.applied)?;
        // A probe counts as a sign of life also when too many wait for a beat.
        self.connected().record_probe(probe.applied);
        let arrived = std::time::Instant::now();
        if self.waiting.len() < PROBES_MAX
            && let Some(beat) = self.host.beats.ask()
        {
            // The log had `at` by now, so the beat, which begins later, names that or a later head.
            self.connected().record_question(self.at.revision, arrived);
            self.waiting.push_back(WaitingProbe {
                nonce: probe.nonce,
                sent: probe.sent,
                beat,
            });
        }
        Ok(())
    }

    /// Answers the oldest probe that waits. Without a beat there is no answer, and the validator becomes stale by itself.
    fn answer_probe(&mut self, probe: &WaitingProbe, beat: Option<SignedBeat>) {
        let Some(beat) = beat else {
            self.connected().record_silence();
            return;
        };
        // Before the answer can leave: from now on the validator may be fresh by it.
        self.connected().record_answer(beat.beat.head.revision);
        if let Some(sent) = probe.sent {
            let skew = sent.0.saturating_sub(beat.beat.time.0);
            self.connected().record_skew(skew);
        }
        self.next.push(Answer::Beat {
            nonce: probe.nonce,
            beat,
        });
    }

    /// Asks the validator to connect anew.
    fn end(&mut self) {
        // Behind the answers that were gathered before, so no batch that was read is held back.
        self.next.push(Answer::Drain);
        self.is_over = true;
    }

    fn connected(&self) -> &Connected {
        &self.registration.connected
    }

    /// Takes the batches after the last one that was gathered: from the ring, else from the log, else a snapshot.
    async fn gather_news(&mut self) -> Result<(), StreamEnd> {
        let news = match self.host.feed.after(self.history, self.at) {
            FromRing::Batches(batches) => News::Batches(batches),
            // This replica does not have the revision yet. The primary has it, or the cursor would have been refused.
            FromRing::Ahead => return Ok(()),
            FromRing::OtherHistory => News::OtherHistory,
            FromRing::Behind => read_log(&*self.host.store, self.at).await?,
        };
        match news {
            News::Batches(batches) => {
                if let Some(last) = batches.last() {
                    self.at = last.position;
                }
                let deltas = batches.into_iter().map(|batch| Answer::Delta(batch.frame));
                self.next.extend(deltas);
            }
            News::Trimmed => self.begin_snapshot(None),
            News::OtherHistory => self.end(),
        }
        Ok(())
    }
}

/// The news after a position that a stream has reached.
enum News {
    Batches(Vec<SealedBatch>),
    /// The log does not keep the batches any more.
    Trimmed,
    /// The position is not one of the log's history.
    OtherHistory,
}

/// Reads the batches after a position from the log.
async fn read_log(store: &dyn EnforcementStore, after: Position) -> Result<News, StoreError> {
    // Not `tail`: many streams that are far behind must not take the connection that the feed reads by.
    let batches = match store.catch_up(after.revision, CATCH_UP_FRAMES).await {
        Ok(batches) => batches,
        Err(StoreError::Trimmed) => return Ok(News::Trimmed),
        Err(error) => return Err(error),
    };
    let mut at = after;
    let mut sealed = Vec::with_capacity(batches.len());
    for batch in batches {
        // The feed may not have noticed a failover yet: it compares its own view with the log, and not what a stream reads.
        if !continues(at, &batch) {
            return Ok(News::OtherHistory);
        }
        at = batch.position;
        sealed.push(SealedBatch {
            frame: SealedFrame::from(&batch.frame),
            position: batch.position,
        });
    }
    Ok(News::Batches(sealed))
}

/// Whether a batch of the log continues the history up to `at`.
fn continues(at: Position, batch: &LogBatch) -> bool {
    let LogBatch { frame, position } = batch;
    let chain = at.chain.next(&frame.delta, &frame.audit_digest);
    position.incarnation == at.incarnation
        && frame.revision.follows(at.revision)
        && position.chain == chain
}

/// The first probe that waits, with its beat. Never comes when none waits.
async fn first_beat(waiting: &mut VecDeque<WaitingProbe>) -> (WaitingProbe, Option<SignedBeat>) {
    let Some(first) = waiting.front_mut() else {
        return future::pending().await;
    };
    // The probe stays in the queue while this waits: a `select!` that takes another branch drops this future.
    let beat = (&mut first.beat).await.ok();
    match waiting.pop_front() {
        Some(first) => (first, beat),
        // It was there a moment ago, and nobody else takes it.
        None => future::pending().await,
    }
}

/// Waits until a time. Never comes without one.
async fn wait_until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use futures::channel::mpsc;
    use portcullis_contract::{
        delta::{self, Change},
        position::Incarnation,
        view::{Frame, View},
    };

    use super::{
        super::parts::{Test, hello, source},
        *,
    };

    fn next_batch(view: &View, digest: u8) -> LogBatch {
        let frame = Frame {
            revision: view.position().revision.next(),
            delta: delta::encode(&[Change::Turn], Vec::new()),
            audit_digest: [digest; 32],
        };
        let position = view.apply(&frame).expect("the next batch").position();
        LogBatch { frame, position }
    }

    #[tokio::test]
    async fn a_stream_that_has_caught_up_keeps_no_room_for_many_batches() {
        let test = Test::start().await;
        let behind = test.advance().await;
        for _ in 0..100 {
            test.advance().await;
        }
        let (_gate, inbound) = mpsc::channel(1);
        let host = Arc::clone(&test.host);
        let opened = WatchStream::open(host, source(), hello(Some(behind)), inbound).await;
        let Ok(mut stream) = opened else {
            panic!("refused");
        };

        let welcome = stream.next_answers().await.expect("open");
        assert!(welcome.is_some_and(|answers| answers.len() == 1));
        let deltas = stream.next_answers().await.expect("open");
        assert!(deltas.is_some_and(|answers| answers.len() == 100));
        assert_eq!(stream.next.capacity(), 0);
    }

    #[tokio::test]
    async fn the_log_has_the_batches_of_its_own_history() {
        let test = Test::start().await;
        let behind = test.advance().await;
        let last = test.advance().await;
        let read = async |after| read_log(&*test.host.store, after).await.expect("read");
        let News::Batches(batches) = read(behind).await else {
            panic!("it is the same history");
        };
        let positions: Vec<_> = batches.iter().map(|batch| batch.position).collect();
        assert_eq!(positions, [last]);

        let mut other = behind;
        other.chain = Chain([9; 32]);
        assert!(matches!(read(other).await, News::OtherHistory));
    }

    #[test]
    fn only_a_batch_of_the_same_history_continues_it() {
        let empty = View::empty(Incarnation([1; 16]));
        let first = next_batch(&empty, 3);
        assert!(continues(empty.position(), &first));

        let view = empty.apply(&first.frame).expect("applies");
        let second = next_batch(&view, 4);
        assert!(continues(first.position, &second));
        assert!(!continues(empty.position(), &second), "a gap");

        // Both have the right number, and another past.
        let other = empty.apply(&next_batch(&empty, 9).frame).expect("applies");
        assert!(!continues(first.position, &next_batch(&other, 4)));
        let mut recovered = second;
        recovered.position.incarnation = Incarnation([2; 16]);
        assert!(!continues(first.position, &recovered));
    }
}
