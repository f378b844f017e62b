//! The watch protocol without the network: messages go in, the state that checks read comes out.

mod assembly;
mod error;
mod event;
mod histories;
mod line;
mod proofs;

use std::{sync::Arc, time::SystemTime};

use portcullis_contract::{
    delta::{self, Change, DeltaError, LOG_VERSION},
    key::VerificationKey,
    position::{Incarnation, Position, Revision},
    seeded::{self, Mistake},
    v1::{self, WatchApplied, WatchProbe, watch_response::Message as Answer},
    view::{ApplyError, Frame, View},
    watch::{AnyStream, Checksummed},
};

use self::{
    assembly::Assembly,
    histories::Histories,
    line::{Lines, Stream},
    proofs::Chains,
};
pub use self::{error::ProtocolError, event::Event, line::Line};
use crate::{
    clock::Mark,
    database_clock::DatabaseClock,
    engine::Engine,
    state::{NO_VIEW, NOT_PROVED, State},
    sync::Ordering,
};

const PROTOCOL_BROKEN: &str =
    "the stream was damaged or broke the protocol: not proved fresh since";
const HISTORIES_LOST: &str = "too many histories: wait for two turns of this one, or accept it";
const NOT_UNDERSTOOD: &str = "the log has entries of a kind this version does not know";

/// Applies the messages of `Watch` streams and publishes the result to its [`Engine`].
///
/// The caller owns the connections. For each stream it calls [`begin`](Self::begin) and sends the hello, hands every
/// message to [`receive`](Self::receive), and sends a [`probe`](Self::probe) several times within `max_staleness`. It
/// answers `confirm` with [`applied`](Self::applied). After an error it opens another stream.
///
/// There may be two streams at a time, one on each [`Line`], to two authorities of one installation. They feed one view:
/// each batch is applied from the stream that brings it first, and compared where it comes again. A proof of either
/// stream counts, so nothing is lost when one of the two authorities is.
pub struct Follower {
    engine: Arc<Engine>,
    state: State,
    histories: Histories,
    /// The first batch that this version could not understand.
    misunderstood: Option<(Incarnation, Revision)>,
    snapshot_bytes_max: u64,
    assembly: Option<Assembly>,
    /// The line whose stream brings the snapshot of `assembly`.
    loading: Option<Line>,
    lines: Lines,
    /// The number of histories that took another one's place. A stream of an earlier one says nothing any more.
    replaced: u64,
    /// Whether this machine's clock was too far from the database's when the last beat came.
    clock_wrong: bool,
    /// The head of the last beat, with the authority's code over it.
    proven_head: Option<v1::ProvenHead>,
    chains: Chains,
    /// Names the validator to its authorities: a confirmation by one of its streams counts for both.
    instance: [u8; 16],
    observe: Box<dyn FnMut(Event<'_>) + Send>,
}

impl Follower {
    /// Makes a follower that publishes to `engine` and calls `observe` with each event.
    ///
    /// `snapshot_bytes_max` bounds the memory that a snapshot may take while it arrives.
    #[must_use]
    pub fn new(
        engine: Arc<Engine>,
        snapshot_bytes_max: u64,
        observe: impl FnMut(Event<'_>) + Send + 'static,
    ) -> Self {
        // The follower keeps a copy of its own, changes it, and publishes it whole.
        let state = State::clone(&engine.judge.state.load());
        Self {
            engine,
            state,
            histories: Histories::default(),
            misunderstood: None,
            snapshot_bytes_max,
            assembly: None,
            loading: None,
            lines: Lines::default(),
            replaced: 0,
            clock_wrong: false,
            proven_head: None,
            chains: Chains::default(),
            instance: portcullis_contract::random(),
            observe: Box::new(observe),
        }
    }

    /// Begins a stream and returns the follower's part of the hello. Probes of an earlier stream of this line prove
    /// nothing any more.
    ///
    /// The caller fills in its own fields and seals the message.
    pub fn begin(&mut self, line: Line) -> v1::WatchHello {
        self.end(line);
        let cursor = self.position();
        let stream = Stream::begin(cursor, self.replaced);
        let hello = v1::WatchHello {
            cursor: cursor.map(Into::into),
            // The authority puts the stream's name into its checksums: an answer of an older stream is damaged here.
            stream: stream.id.to_vec().into(),
            part: self.part(),
            proven_head: self.proven_head.clone(),
            instance: self.instance.to_vec().into(),
            log_version: LOG_VERSION,
            ..Default::default()
        };
        self.lines.of(line).stream = Some(stream);
        hello
    }

    /// Ends the stream of a line. Its proofs stay valid.
    pub fn end(&mut self, line: Line) {
        self.lines.of(line).stream = None;
        // The chunks stay, and the next stream asks for the rest.
        if self.loading == Some(line) {
            self.loading = None;
        }
    }

    /// The part of a snapshot that is there, unless a stream is about to bring the rest.
    fn part(&self) -> Option<v1::SnapshotPart> {
        if seeded::has(Mistake::SnapshotFromZero) {
            return None;
        }
        match self.loading {
            Some(_) => None,
            None => self.assembly.as_ref().map(Assembly::part),
        }
    }

    fn position(&self) -> Option<Position> {
        Some(self.state.view.as_ref()?.position())
    }

    /// The moment as of which the view is proved fresh.
    #[must_use]
    pub fn fresh_as_of(&self) -> Option<Mark> {
        self.state.fresh_as_of
    }

    /// The moment as of which this line proved the view fresh.
    #[must_use]
    pub fn proved(&self, line: Line) -> Option<Mark> {
        self.lines.get(line).proof
    }

    /// The last time that a snapshot came nearer. Bytes are progress: a large snapshot may take long on a slow link.
    #[must_use]
    pub fn progressed(&self, line: Line) -> Option<Mark> {
        self.lines.get(line).stream.as_ref()?.progressed
    }

    /// Returns whether the stream can be proved fresh and has not been asked yet.
    #[must_use]
    pub fn wants_first_probe(&self, line: Line) -> bool {
        match &self.lines.get(line).stream {
            Some(stream) => !stream.probed && stream.can_probe(),
            None => false,
        }
    }

    /// Returns a probe that is sent at `now`, or `None` while there is no view to prove fresh.
    ///
    /// # Errors
    /// When the other line has found out that this stream cannot be followed any further.
    pub fn probe(&mut self, line: Line, now: Mark) -> Result<Option<WatchProbe>, ProtocolError> {
        self.accept_history_if_asked();
        let replaced = self.replaced;
        let Some(stream) = &mut self.lines.of(line).stream else {
            return Ok(None);
        };
        if let Err(error) = stream.check(replaced) {
            self.fail(line, error);
            return Err(error);
        }
        if !stream.can_probe() {
            return Ok(None);
        }

        // Random, because a flipped bit would turn the nonce of one probe into that of another if they were counted.
        let nonce = u64::from_be_bytes(portcullis_contract::random());
        let probe = WatchProbe {
            nonce,
            // The authority refuses a claim above what this stream brought, though the other one brought more.
            applied_revision: stream.revision().0,
            send_time: Some(SystemTime::now().into()),
            ..Default::default()
        };
        stream.proofs.add_probe(nonce, now);
        stream.probed = true;
        Ok(Some(probe.sealed(&stream.id)))
    }

    /// Returns the answer to a question for the applied revision, or `None` while the stream has brought no view.
    ///
    /// # Errors
    /// When the stream cannot be followed any further.
    pub fn applied(&mut self, line: Line) -> Result<Option<WatchApplied>, ProtocolError> {
        let stream = self.stream(line)?;
        if !stream.can_probe() {
            return Ok(None);
        }
        let applied = WatchApplied {
            // As in a probe. The batches up to here are in the view that checks read: it is published first.
            applied_revision: stream.revision().0,
            ..Default::default()
        };
        Ok(Some(applied.sealed(&stream.id)))
    }

    /// Receives one message, which arrived at `now`.
    ///
    /// # Errors
    /// When the stream cannot be followed any further. The view stays, and the proofs of this line do not count any
    /// more.
    pub fn receive(&mut self, line: Line, answer: Answer, now: Mark) -> Result<(), ProtocolError> {
        let result = self.apply(line, answer, now);
        // A batch of this stream may have shown that a beat of it was of another history.
        let result = result.and_then(|()| self.stream(line).map(drop));
        if let Err(error) = result {
            self.fail(line, error);
        }
        result
    }

    fn fail(&mut self, line: Line, error: ProtocolError) {
        // A stream that only comes at the wrong time makes nothing doubtful that was proved.
        if !error.is_untimely() {
            self.distrust(line);
        }
    }

    /// Withdraws the proof of a line: the stream that it came from cannot be trusted. The proof of the other line stays,
    /// because it says the same about the same view for itself.
    pub fn distrust(&mut self, line: Line) {
        // The view stays. It may be old, but every revocation in it is real.
        self.lines.of(line).proof = None;
        self.state.unproved = PROTOCOL_BROKEN;
        self.publish();
    }

    /// The stream of a line, while it can be followed.
    fn stream(&mut self, line: Line) -> Result<&mut Stream, ProtocolError> {
        let replaced = self.replaced;
        let stream = self.lines.of(line).stream.as_mut();
        let stream = stream.ok_or(ProtocolError::Unasked)?;
        stream.check(replaced)?;
        Ok(stream)
    }

    fn apply(&mut self, line: Line, answer: Answer, now: Mark) -> Result<(), ProtocolError> {
        self.stream(line)?;
        match answer {
            Answer::Welcome(welcome) => self.apply_welcome(line, &welcome),
            Answer::SnapshotChunk(chunk) => {
                self.stream(line)?.record_progress(now);
                self.apply_chunk(line, &chunk)
            }
            Answer::Delta(frame) => self.apply_delta(line, frame),
            Answer::Beat(beat) => self.apply_beat(line, &beat, now),
            Answer::Queued(queued) => {
                (self.observe)(Event::SnapshotQueued {
                    ahead: queued.ahead,
                    wait: queued.wait.and_then(|wait| wait.try_into().ok()),
                });
                self.stream(line)?.record_progress(now);
                Ok(())
            }
            // The caller answers it with `applied`.
            Answer::Confirm(_) | Answer::Drain(_) => Ok(()),
        }
    }

    fn apply_welcome(
        &mut self,
        line: Line,
        welcome: &v1::WatchWelcome,
    ) -> Result<(), ProtocolError> {
        let stream = self.stream(line)?;
        if !welcome.is_intact(&stream.id) {
            return Err(ProtocolError::Corrupted);
        }
        let Ok(incarnation) = welcome.incarnation[..].try_into() else {
            return Err(ProtocolError::Malformed);
        };
        let incarnation = Incarnation(incarnation);

        // An authority with another history has to say so. Otherwise its deltas would be taken for ours.
        let answers_hello = match stream.cursor {
            Some(cursor) => welcome.fork || cursor.incarnation == incarnation,
            None => !welcome.fork,
        };
        if stream.incarnation.is_some() || !answers_hello {
            return Err(ProtocolError::Unasked);
        }
        stream.incarnation = Some(incarnation);
        stream.fork = welcome.fork;
        if welcome.fork {
            return self.check_fork(line);
        }
        // The deltas continue the cursor.
        stream.at = stream.cursor;
        Ok(())
    }

    /// Refuses another history while the other line follows the present one. Two authorities that contradict each other
    /// would otherwise replace each other's history again and again.
    fn check_fork(&self, line: Line) -> Result<(), ProtocolError> {
        match &self.lines.get(line.other()).stream {
            Some(other) if other.follows(self.replaced) => Err(ProtocolError::OtherHistory),
            _ => Ok(()),
        }
    }

    fn apply_chunk(&mut self, line: Line, chunk: &v1::SnapshotChunk) -> Result<(), ProtocolError> {
        if !chunk.is_intact(&AnyStream) {
            return Err(ProtocolError::Corrupted);
        }
        // Before the welcome it is not known which history the bytes are of.
        if self.stream(line)?.incarnation.is_none() {
            return Err(ProtocolError::Unasked);
        }
        // Two snapshots at a time would take the memory of two.
        if self.loading == Some(line.other()) {
            return Err(ProtocolError::SecondSnapshot);
        }

        self.loading = Some(line);
        if seeded::has(Mistake::ClearThenFill) && chunk.offset == 0 {
            self.clear_view();
        }
        let mut assembly = match self.assembly.take() {
            Some(assembly) if chunk.offset > 0 => assembly,
            // The authority begins anew, for example because its view has moved on.
            _ => Assembly::begin(chunk, self.snapshot_bytes_max)?,
        };
        match assembly.add(chunk)? {
            Some(view) => {
                self.loading = None;
                self.adopt(line, view)
            }
            None => {
                self.assembly = Some(assembly);
                Ok(())
            }
        }
    }

    /// Empties the view that checks read: a mistake that only tests make.
    fn clear_view(&mut self) {
        let Some(view) = self.state.view.take() else {
            return;
        };
        let mut trusted = Vec::new();
        for key in view.trusted_keys() {
            let copied = VerificationKey::try_from(&v1::TrustedKey::from(&**key));
            trusted.extend(copied.ok().map(Change::Trust));
        }
        let keys = Frame {
            revision: Revision(1),
            delta: delta::encode(&trusted, Vec::new()),
            audit_digest: [0; 32],
        };
        let empty = View::empty(view.position().incarnation).apply(&keys);
        self.state.view = empty
            .ok()
            .map(|empty| Arc::new(empty.rebased(view.position())));
        self.publish();
    }

    /// Puts a whole view in the place of the current one, or beside it when its history is another.
    ///
    /// All checks come first: an error leaves the view as it was.
    fn adopt(&mut self, line: Line, view: View) -> Result<(), ProtocolError> {
        let here = view.position();
        let stream = self.stream(line)?;
        let (is_fork, at) = (stream.fork, stream.at);
        if stream.incarnation != Some(here.incarnation) {
            return Err(ProtocolError::Unasked);
        }
        if let Some(old) = self.state.view.clone() {
            if is_fork {
                // The other stream may have been welcomed since this one was.
                self.check_fork(line)?;
                self.remember(old, view.turns());
            } else {
                check_continues(old.position(), here)?;
                // The authority continues what it sent. It does not know what the other stream brought since then, and
                // nothing compares the two: a revocation that only the other one has would be forgotten. The next stream
                // names the view as its cursor, and the authority judges that.
                if at != Some(old.position()) {
                    return Err(ProtocolError::Overtaken);
                }
            }
        }

        self.lines.of(line).adopt(here, self.replaced);
        // Chains of the old view would take a beat of the new one for a fork.
        self.chains.clear();
        self.set_view(view);
        Ok(())
    }

    /// Keeps enforcing a view whose history the authority no longer has.
    fn remember(&mut self, old: Arc<View>, turns: u64) {
        (self.observe)(Event::HistoryReplaced {
            old: old.position(),
        });
        // Counted for an alarm: a history is replaced by a restore from a backup, or by two stores behind one name.
        self.engine.forks.fetch_add(1, Ordering::Relaxed);
        let whole = self.misunderstood.take().is_none();
        self.histories.remember(old, whole, turns);
        if self.histories.is_incomplete() {
            (self.observe)(Event::NotReady(HISTORIES_LOST));
        }
        // The proofs were about the old history, and so is what the other stream says from here on.
        self.lines.withdraw_proofs();
        self.replaced += 1;
        self.state.unproved = NOT_PROVED;
    }

    /// Forgets earlier histories when the operator accepts the present one.
    fn accept_history_if_asked(&mut self) {
        if !self.engine.accept_history.swap(false, Ordering::AcqRel) {
            return;
        }
        let position = self.position();
        (self.observe)(Event::HistoryAccepted(position));
        self.histories.accept_current();
        self.publish();
    }

    fn apply_delta(&mut self, line: Line, frame: v1::DeltaFrame) -> Result<(), ProtocolError> {
        if !frame.is_intact(&AnyStream) {
            return Err(ProtocolError::Corrupted);
        }
        let stream = self.stream(line)?;
        // A history that was announced as another one begins with a snapshot.
        if stream.incarnation.is_none() || stream.fork {
            return Err(ProtocolError::Unasked);
        }
        let received = SystemTime::now();
        let frame = Frame::try_from(frame).map_err(|_| ProtocolError::Malformed)?;
        let before = stream.at.ok_or(ProtocolError::NoView)?;
        let at = stream.advanced(&frame)?;

        let next = self.next_view(before, at, &frame)?;
        self.drop_snapshot_of(line);
        self.lines.of(line).advance(at);
        if let Some(next) = next {
            self.set_view(next);
            (self.observe)(Event::DeltaApplied {
                frame: &frame,
                received,
            });
        }
        Ok(())
    }

    /// Returns the view with the batch that leads a stream from one position to the next, or `None` if the view has the
    /// batch already.
    fn next_view(
        &mut self,
        before: Position,
        at: Position,
        frame: &Frame,
    ) -> Result<Option<View>, ProtocolError> {
        let view = self.state.view.clone().ok_or(ProtocolError::NoView)?;
        let here = view.position();
        if before.revision < here.revision {
            // The other stream brought this batch before. Here it is only compared.
            self.chains.compare(at)?;
            return Ok(None);
        }
        if before != here {
            return Err(ProtocolError::Fork);
        }
        self.apply_frame(&view, frame).map(Some)
    }

    /// Drops the snapshot that was on its way, unless the other line brings it.
    fn drop_snapshot_of(&mut self, line: Line) {
        // An authority that continues the view does not continue the snapshot.
        // Its chunks would never be asked for again, and may be as large as the view.
        if self.loading != Some(line.other()) {
            self.assembly = None;
            self.loading = None;
        }
    }

    fn apply_frame(&mut self, view: &View, frame: &Frame) -> Result<View, ProtocolError> {
        view.apply(frame).map_err(|error| {
            if error == ApplyError::Delta(DeltaError::UnknownKind) {
                self.misunderstood = Some((view.position().incarnation, frame.revision));
                (self.observe)(Event::NotReady(NOT_UNDERSTOOD));
            }
            ProtocolError::Apply(error)
        })
    }

    fn set_view(&mut self, view: View) {
        let position = view.position();
        self.histories.forget_at(view.turns());
        // A later view of the same history contains the batch that was not understood.
        if let Some((incarnation, revision)) = self.misunderstood
            && incarnation == position.incarnation
            && revision <= position.revision
        {
            self.misunderstood = None;
        }
        self.chains.add(position);
        self.state.view = Some(Arc::new(view));
        self.settle_beats();
        self.publish();
    }

    /// Applies an answer to a probe: fresh as of when the probe was sent, once the head that it names has been applied.
    fn apply_beat(
        &mut self,
        line: Line,
        beat: &v1::WatchBeat,
        now: Mark,
    ) -> Result<(), ProtocolError> {
        let stream = self.stream(line)?;
        if !beat.is_intact(&stream.id) {
            return Err(ProtocolError::Corrupted);
        }
        let head = beat.head.as_ref().ok_or(ProtocolError::Malformed)?;
        let position = Position::try_from(head).map_err(|_| ProtocolError::Malformed)?;
        // Taken before the rest is read, so that a malformed beat uses its probe up.
        let probe = stream.proofs.take_probe(beat.nonce);
        let sent = match probe {
            _ if seeded::has(Mistake::OneWayHeartbeat) => now,
            Some(sent) => sent,
            None => return Err(ProtocolError::Unasked),
        };
        let clock = read_clock(beat, sent, now).ok_or(ProtocolError::Malformed)?;
        stream.proofs.add_beat(position, sent);

        self.apply_clock(clock, &now);
        // Shown to the next authority: a store that lost this head has lost acknowledged revocations, and finds it out.
        self.proven_head = Some(v1::ProvenHead {
            head: beat.head.clone(),
            code: beat.head_code.clone(),
        });
        self.settle_beats();
        self.publish();
        Ok(())
    }

    /// Takes over the database's clock, and reports when this machine's begins or ceases to be wrong.
    fn apply_clock(&mut self, clock: DatabaseClock, now: &Mark) {
        let bound = self.state.clock_skew_max;
        let skew = clock.skew(now);
        // Reported at a change only: beats come several times in a second.
        let wrong = skew.exceeds(bound);
        let ahead_micros = skew.ahead_micros;
        if wrong && !self.clock_wrong {
            (self.observe)(Event::ClockDiffers {
                ahead_micros,
                bound,
            });
        } else if !wrong && self.clock_wrong {
            (self.observe)(Event::ClockAgrees { ahead_micros });
        }
        self.clock_wrong = wrong;
        self.state.database_clock = Some(clock);
    }

    /// Settles the beats of both lines: a beat of one may wait for a batch that the other brings.
    fn settle_beats(&mut self) {
        if let Some(here) = self.position() {
            self.lines.settle(here, &self.chains, self.replaced);
        }
    }

    /// The reason for which the view may not be used, however fresh it is. It lasts until its cause is gone.
    fn unready(&self) -> Option<&'static str> {
        if self.state.view.is_none() {
            Some(NO_VIEW)
        } else if self.misunderstood.is_some() {
            Some(NOT_UNDERSTOOD)
        } else if self.histories.is_incomplete() {
            Some(HISTORIES_LOST)
        } else {
            None
        }
    }

    fn publish(&mut self) {
        self.state.unready = self.unready();
        self.state.fresh_as_of = self.lines.newest_proof();
        self.state.remembered = self.histories.views();
        // One store of the whole: no check can see a new proof beside an old view.
        self.engine.judge.state.store(Arc::new(self.state.clone()));
        // After the store: a waiter that this wakes sees the new state.
        let position = self.position();
        (self.observe)(Event::Published(position));
    }
}

/// Reads the database's clock from a beat.
fn read_clock(beat: &v1::WatchBeat, sent: Mark, now: Mark) -> Option<DatabaseClock> {
    let time = SystemTime::try_from(beat.database_time?).ok()?;
    let told = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(DatabaseClock::new(sent, now, told))
}

/// Checks a snapshot that takes the place of a view of the same history.
fn check_continues(old: Position, new: Position) -> Result<(), ProtocolError> {
    if new.incarnation != old.incarnation {
        return Err(ProtocolError::Fork);
    }
    if new.revision < old.revision {
        return Err(ProtocolError::Regress);
    }
    let compared = !seeded::has(Mistake::EqualHeads);
    if compared && new.revision == old.revision && new.chain != old.chain {
        return Err(ProtocolError::Fork);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
