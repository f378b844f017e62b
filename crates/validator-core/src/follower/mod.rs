//! The watch protocol without the network: messages go in, the state that checks read comes out.

mod assembly;
mod error;
mod event;
mod histories;
mod proofs;

use std::{
    sync::{Arc, atomic::Ordering},
    time::SystemTime,
};

use portcullis_contract::{
    delta::DeltaError,
    position::{Incarnation, Position, Revision},
    v1::{self, WatchProbe, watch_response::Message as Answer},
    view::{ApplyError, Frame, View},
    watch::{AnyStream, Checksummed, StreamId},
};

use self::{
    assembly::Assembly,
    histories::Histories,
    proofs::{Chains, Proofs},
};
pub use self::{error::ProtocolError, event::Event};
use crate::{
    clock::Mark,
    database_clock::DatabaseClock,
    engine::Engine,
    state::{NO_VIEW, NOT_PROVED, State},
};

const PROTOCOL_BROKEN: &str =
    "the stream was damaged or broke the protocol: not proved fresh since";
const HISTORIES_LOST: &str = "too many histories: wait for two turns of this one, or accept it";
const NOT_UNDERSTOOD: &str = "the log has entries of a kind this version does not know";

/// Applies the messages of a `Watch` stream and publishes the result to its [`Engine`].
///
/// The caller owns the connection. For each stream it calls [`begin`](Self::begin) and sends the hello, hands every
/// message to [`receive`](Self::receive), and sends a [`probe`](Self::probe) several times within `max_staleness`. After
/// an error it opens another stream.
pub struct Follower {
    engine: Arc<Engine>,
    state: State,
    histories: Histories,
    /// The first batch that this version could not understand.
    misunderstood: Option<(Incarnation, Revision)>,
    snapshot_bytes_max: u64,
    assembly: Option<Assembly>,
    stream: Stream,
    /// Whether this machine's clock was too far from the database's when the last beat came.
    clock_wrong: bool,
    /// The head of the last beat, with the authority's code over it.
    proven_head: Option<v1::ProvenHead>,
    chains: Chains,
    observe: Box<dyn FnMut(Event<'_>) + Send>,
}

/// State of one stream. Nothing of it proves anything in the next one.
#[derive(Default)]
struct Stream {
    id: StreamId,
    /// The position that the hello named.
    cursor: Option<Position>,
    /// The history that the welcome named.
    incarnation: Option<Incarnation>,
    /// Set until the snapshot of the other history that the welcome announced has arrived.
    fork: bool,
    /// Whether a snapshot is under way, or waits for those of other gates.
    snapshot: bool,
    /// The last time that bytes of a snapshot arrived, or word that it waits.
    progressed: Option<Mark>,
    probed: bool,
    proofs: Proofs,
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
            stream: Stream::default(),
            clock_wrong: false,
            proven_head: None,
            chains: Chains::default(),
            observe: Box::new(observe),
        }
    }

    /// Begins a stream and returns the follower's part of the hello. Probes of an earlier stream prove nothing any more.
    ///
    /// The caller fills in its own fields and seals the message.
    pub fn begin(&mut self) -> v1::WatchHello {
        self.stream = Stream {
            id: portcullis_contract::random(),
            cursor: self.position(),
            ..Stream::default()
        };
        v1::WatchHello {
            cursor: self.stream.cursor.map(Into::into),
            // The authority puts the stream's name into its checksums: an answer of an older stream is damaged here.
            stream: self.stream.id.to_vec().into(),
            part: self.assembly.as_ref().map(Assembly::part),
            proven_head: self.proven_head.clone(),
            ..Default::default()
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

    /// The last time that a snapshot came nearer. Bytes are progress: a large snapshot may take long on a slow link.
    #[must_use]
    pub fn progressed(&self) -> Option<Mark> {
        self.stream.progressed
    }

    /// Returns whether the stream can be proved fresh and has not been asked yet.
    #[must_use]
    pub fn wants_first_probe(&self) -> bool {
        !self.stream.probed && self.can_probe()
    }

    fn can_probe(&self) -> bool {
        // While another view is on its way, no beat could be about this one.
        let expects_view = self.stream.fork || self.stream.snapshot;
        self.stream.incarnation.is_some() && !expects_view && self.state.view.is_some()
    }

    /// Returns a probe that is sent at `now`, or `None` while there is no view to prove fresh.
    pub fn probe(&mut self, now: Mark) -> Option<WatchProbe> {
        self.accept_history_if_asked();
        if !self.can_probe() {
            return None;
        }

        // Random, because a flipped bit would turn the nonce of one probe into that of another if they were counted.
        let nonce = u64::from_be_bytes(portcullis_contract::random());
        let probe = WatchProbe {
            nonce,
            applied_revision: self.position()?.revision.0,
            ..Default::default()
        };
        self.stream.proofs.add_probe(nonce, now);
        self.stream.probed = true;
        Some(probe.sealed(&self.stream.id))
    }

    /// Receives one message, which arrived at `now`.
    ///
    /// # Errors
    /// When the stream cannot be followed any further. The view stays, and no token is accepted until freshness is
    /// proved anew.
    pub fn receive(&mut self, answer: Answer, now: Mark) -> Result<(), ProtocolError> {
        let result = self.apply(answer, now);
        if result.is_err() {
            self.distrust();
        }
        result
    }

    /// Withdraws the proof of freshness: the stream that it came from cannot be trusted.
    pub fn distrust(&mut self) {
        // The view stays. It may be old, but every revocation in it is real.
        self.state.fresh_as_of = None;
        self.state.unproved = PROTOCOL_BROKEN;
        self.publish();
    }

    fn apply(&mut self, answer: Answer, now: Mark) -> Result<(), ProtocolError> {
        match answer {
            Answer::Welcome(welcome) => self.apply_welcome(&welcome),
            Answer::SnapshotChunk(chunk) => {
                self.record_progress(now);
                self.apply_chunk(&chunk)
            }
            Answer::Delta(frame) => self.apply_delta(frame),
            Answer::Beat(beat) => self.apply_beat(&beat, now),
            Answer::Queued(queued) => {
                (self.observe)(Event::SnapshotQueued {
                    ahead: queued.ahead,
                    wait: queued.wait.and_then(|wait| wait.try_into().ok()),
                });
                self.record_progress(now);
                Ok(())
            }
            Answer::Drain(_) => Ok(()),
        }
    }

    fn record_progress(&mut self, now: Mark) {
        self.stream.snapshot = true;
        self.stream.progressed = Some(now);
    }

    fn apply_welcome(&mut self, welcome: &v1::WatchWelcome) -> Result<(), ProtocolError> {
        if !welcome.is_intact(&self.stream.id) {
            return Err(ProtocolError::Corrupted);
        }
        let Ok(incarnation) = welcome.incarnation[..].try_into() else {
            return Err(ProtocolError::Malformed);
        };
        let incarnation = Incarnation(incarnation);

        // An authority with another history has to say so. Otherwise its deltas would be taken for ours.
        let answers_hello = match self.stream.cursor {
            Some(cursor) => welcome.fork || cursor.incarnation == incarnation,
            None => !welcome.fork,
        };
        if self.stream.incarnation.is_some() || !answers_hello {
            return Err(ProtocolError::Unasked);
        }
        self.stream.incarnation = Some(incarnation);
        self.stream.fork = welcome.fork;
        Ok(())
    }

    fn apply_chunk(&mut self, chunk: &v1::SnapshotChunk) -> Result<(), ProtocolError> {
        if !chunk.is_intact(&AnyStream) {
            return Err(ProtocolError::Corrupted);
        }
        // Before the welcome it is not known which history the bytes are of.
        if self.stream.incarnation.is_none() {
            return Err(ProtocolError::Unasked);
        }

        let mut assembly = match self.assembly.take() {
            Some(assembly) if chunk.offset > 0 => assembly,
            // The authority begins anew, for example because its view has moved on.
            _ => Assembly::begin(chunk, self.snapshot_bytes_max)?,
        };
        match assembly.add(chunk)? {
            Some(view) => self.adopt(view),
            None => {
                self.assembly = Some(assembly);
                Ok(())
            }
        }
    }

    /// Puts a whole view in the place of the current one, or beside it when its history is another.
    ///
    /// All checks come first: an error leaves the view as it was.
    fn adopt(&mut self, view: View) -> Result<(), ProtocolError> {
        let here = view.position();
        if self.stream.incarnation != Some(here.incarnation) {
            return Err(ProtocolError::Unasked);
        }
        if let Some(old) = self.state.view.clone() {
            if self.stream.fork {
                self.remember(old, view.turns());
            } else {
                check_continues(old.position(), here)?;
            }
        }

        self.stream.fork = false;
        self.stream.snapshot = false;
        // Chains of the old view would take a beat of the new one for a fork.
        self.chains.clear();
        self.set_view(view)
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
        // The proof was about the old history.
        self.state.fresh_as_of = None;
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

    fn apply_delta(&mut self, frame: v1::DeltaFrame) -> Result<(), ProtocolError> {
        if !frame.is_intact(&AnyStream) {
            return Err(ProtocolError::Corrupted);
        }
        // A history that was announced as another one begins with a snapshot.
        if self.stream.incarnation.is_none() || self.stream.fork {
            return Err(ProtocolError::Unasked);
        }
        let received = SystemTime::now();
        let frame = Frame::try_from(frame).map_err(|_| ProtocolError::Malformed)?;
        let view = self.state.view.as_ref().ok_or(ProtocolError::NoView)?;

        let next = match view.apply(&frame) {
            Ok(next) => next,
            Err(error) => {
                if error == ApplyError::Delta(DeltaError::UnknownKind) {
                    self.misunderstood = Some((view.position().incarnation, frame.revision));
                    (self.observe)(Event::NotReady(NOT_UNDERSTOOD));
                }
                return Err(ProtocolError::Apply(error));
            }
        };
        // An authority that continues the view does not continue the snapshot.
        // Its chunks would never be asked for again, and may be as large as the view.
        self.assembly = None;
        self.stream.snapshot = false;
        let result = self.set_view(next);
        (self.observe)(Event::DeltaApplied {
            frame: &frame,
            received,
        });
        result
    }

    fn set_view(&mut self, view: View) -> Result<(), ProtocolError> {
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
        let result = self.settle_beats();
        self.publish();
        result
    }

    /// Applies an answer to a probe: fresh as of when the probe was sent, once the head that it names has been applied.
    fn apply_beat(&mut self, beat: &v1::WatchBeat, now: Mark) -> Result<(), ProtocolError> {
        if !beat.is_intact(&self.stream.id) {
            return Err(ProtocolError::Corrupted);
        }
        let head = beat.head.as_ref().ok_or(ProtocolError::Malformed)?;
        let position = Position::try_from(head).map_err(|_| ProtocolError::Malformed)?;
        // Taken before the rest is read, so that a malformed beat uses its probe up.
        let sent = self
            .stream
            .proofs
            .take_probe(beat.nonce)
            .ok_or(ProtocolError::Unasked)?;
        let clock = read_clock(beat, sent, now).ok_or(ProtocolError::Malformed)?;

        self.apply_clock(clock, &now);
        // Shown to the next authority: a store that lost this head has lost acknowledged revocations, and finds it out.
        self.proven_head = Some(v1::ProvenHead {
            head: beat.head.clone(),
            code: beat.head_code.clone(),
        });
        self.stream.proofs.add_beat(position, sent);
        let result = self.settle_beats();
        self.publish();
        result
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

    fn settle_beats(&mut self) -> Result<(), ProtocolError> {
        let Some(here) = self.position() else {
            return Ok(());
        };
        let proof = self.state.fresh_as_of;
        self.state.fresh_as_of = self.stream.proofs.settle(here, &self.chains, proof)?;
        Ok(())
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
    if new.revision == old.revision && new.chain != old.chain {
        return Err(ProtocolError::Fork);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
