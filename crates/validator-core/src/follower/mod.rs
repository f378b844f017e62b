//! The protocol without the network: what is received goes in, the state that checks read comes out.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::SystemTime,
};

use portcullis_contract::{
    delta::DeltaError,
    position::{Chain, Incarnation, Position, Revision},
    v1::{self, WatchProbe, watch_response::Message as Answer},
    view::{ApplyError, Frame, View},
    watch::{AnyStream, Checksummed, StreamId},
};

use super::{assembly::Assembly, histories::Histories};
use crate::{
    clock::Mark, database_clock::DatabaseClock, state::State, telemetry::trace_applied,
    validator::Shared,
};

/// Probes that may be under way; older ones are given up.
const PROBES_MAX: usize = 64;
/// Beats that wait for their head to be applied; older ones are given up.
const BEATS_MAX: usize = 64;
/// Positions that are remembered, for beats that arrive after the deltas that followed them.
const CHAINS_MAX: usize = 4096;

/// Why the gate is not ready, as operators see it.
const NO_VIEW: &str = "no view yet";
const NOT_PROVED: &str = "not proved fresh yet";
const PROTOCOL_BROKEN: &str =
    "the stream was damaged or broke the protocol: not proved fresh since";
const HISTORIES_LOST: &str = "too many histories: wait for two turns of this one, or accept it";
const NOT_UNDERSTOOD: &str = "the log has entries of a kind this version does not know";

/// Why a stream cannot be followed any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProtocolError {
    #[error("a delta does not follow: {0}")]
    Apply(ApplyError),
    #[error("a message is malformed")]
    Malformed,
    #[error("a message does not match its checksum: the network damages what it carries")]
    Corrupted,
    #[error("a message is not an answer to what was asked")]
    Unasked,
    #[error("a snapshot is not whole")]
    BadSnapshot,
    #[error("a snapshot is larger than allowed")]
    SnapshotTooLarge,
    #[error("a snapshot is older than the view")]
    Regress,
    #[error("the authority's history is another")]
    Fork,
    #[error("a delta came before a view")]
    NoView,
}

/// Applies what arrives, and publishes it.
pub(super) struct Follower {
    shared: Arc<Shared>,
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
    chains: VecDeque<(Revision, Chain)>,
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
    /// When bytes of a snapshot arrived last, or word that it waits.
    progressed: Option<Mark>,
    probed: bool,
    probes: VecDeque<(u64, Mark)>,
    /// Beats whose head has not been applied yet.
    beats: VecDeque<(Position, Mark)>,
}

impl Follower {
    pub(super) fn new(shared: Arc<Shared>, snapshot_bytes_max: u64) -> Self {
        let state = State::clone(&shared.state.load());
        Self {
            shared,
            state,
            histories: Histories::default(),
            misunderstood: None,
            snapshot_bytes_max,
            assembly: None,
            stream: Stream::default(),
            clock_wrong: false,
            proven_head: None,
            chains: VecDeque::new(),
        }
    }

    /// Begins a stream: the part of the hello that the follower decides. Probes of an earlier stream prove nothing any
    /// more.
    pub(super) fn begin(&mut self) -> v1::WatchHello {
        self.stream = Stream {
            id: portcullis_contract::random(),
            cursor: self.position(),
            ..Stream::default()
        };
        v1::WatchHello {
            cursor: self.stream.cursor.map(Into::into),
            stream: self.stream.id.to_vec().into(),
            part: self.assembly.as_ref().map(Assembly::part),
            proven_head: self.proven_head.clone(),
            ..Default::default()
        }
    }

    fn position(&self) -> Option<Position> {
        self.state.view.as_ref().map(|view| view.position())
    }

    pub(super) fn fresh_as_of(&self) -> Option<Mark> {
        self.state.fresh_as_of
    }

    /// Whether the stream could be proved fresh and has not been asked yet.
    pub(super) fn wants_first_probe(&self) -> bool {
        !self.stream.probed && self.can_probe()
    }

    /// While another view is on its way, no beat could be about this one.
    fn can_probe(&self) -> bool {
        let expects_view = self.stream.fork || self.stream.snapshot;
        self.stream.incarnation.is_some() && !expects_view && self.state.view.is_some()
    }

    /// A probe sent at `now`; none while there is no view to prove fresh.
    pub(super) fn probe(&mut self, now: Mark) -> Option<WatchProbe> {
        self.accept_history_if_asked();
        if !self.can_probe() {
            return None;
        }
        let applied = self.position()?.revision;
        // A counter could be guessed by a flipped bit: the nonce of one probe would become that of another.
        let nonce = u64::from_be_bytes(portcullis_contract::random());
        if self.stream.probes.len() == PROBES_MAX {
            self.stream.probes.pop_front();
        }
        self.stream.probes.push_back((nonce, now));
        self.stream.probed = true;
        let probe = WatchProbe {
            nonce,
            applied_revision: applied.0,
            ..Default::default()
        };
        Some(probe.sealed(&self.stream.id))
    }

    /// Takes in one message, which arrived at `now`. After an error the stream is given up, the view stays, and nothing
    /// is accepted until freshness is proved anew.
    pub(super) fn receive(&mut self, answer: Answer, now: Mark) -> Result<(), ProtocolError> {
        let taken = self.take(answer, now);
        if taken.is_err() {
            self.distrust();
        }
        taken
    }

    /// Withdraws the proof of freshness: the stream that it came from cannot be trusted.
    pub(super) fn distrust(&mut self) {
        self.state.fresh_as_of = None;
        self.state.unproved = PROTOCOL_BROKEN;
        self.publish();
    }

    fn take(&mut self, answer: Answer, now: Mark) -> Result<(), ProtocolError> {
        match answer {
            Answer::Welcome(welcome) => self.take_welcome(&welcome),
            Answer::SnapshotChunk(chunk) => {
                self.note_progress(now);
                self.chunk(&chunk)
            }
            Answer::Delta(frame) => self.delta(frame),
            Answer::Beat(beat) => self.beat(&beat, now),
            Answer::Queued(queued) => {
                tracing::debug!(ahead = queued.ahead, wait = ?queued.wait, "the snapshot waits for others");
                self.note_progress(now);
                Ok(())
            }
            Answer::Drain(_) => Ok(()),
        }
    }

    fn note_progress(&mut self, now: Mark) {
        self.stream.snapshot = true;
        self.stream.progressed = Some(now);
    }

    /// When the snapshot last came nearer.
    pub(super) fn progressed(&self) -> Option<Mark> {
        self.stream.progressed
    }

    fn take_welcome(&mut self, welcome: &v1::WatchWelcome) -> Result<(), ProtocolError> {
        if !welcome.is_intact(&self.stream.id) {
            return Err(ProtocolError::Corrupted);
        }
        let incarnation = welcome.incarnation[..].try_into();
        let incarnation = Incarnation(incarnation.map_err(|_| ProtocolError::Malformed)?);
        let goes_on = match self.stream.cursor {
            Some(cursor) => welcome.fork || cursor.incarnation == incarnation,
            None => !welcome.fork,
        };
        if self.stream.incarnation.is_some() || !goes_on {
            return Err(ProtocolError::Unasked);
        }
        self.stream.incarnation = Some(incarnation);
        self.stream.fork = welcome.fork;
        Ok(())
    }

    fn chunk(&mut self, chunk: &v1::SnapshotChunk) -> Result<(), ProtocolError> {
        if !chunk.is_intact(&AnyStream) {
            return Err(ProtocolError::Corrupted);
        }
        if self.stream.incarnation.is_none() {
            return Err(ProtocolError::Unasked);
        }
        let mut assembly = match self.assembly.take() {
            Some(assembly) if chunk.offset > 0 => assembly,
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

    /// Puts a whole view in the place of the current one. One of another history is united with it instead. Nothing
    /// changes unless all of it can be done.
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
        self.chains.clear();
        self.set_view(view)
    }

    fn remember(&mut self, old: Arc<View>, turns: u64) {
        tracing::error!(old = ?old.position(), "the authority's history is another: both are enforced");
        self.shared.forks.fetch_add(1, Ordering::Relaxed);
        let whole = self.misunderstood.take().is_none();
        self.histories.remember(old, whole, turns);
        if self.histories.is_incomplete() {
            tracing::error!(reason = HISTORIES_LOST, "not ready");
        }
        // The proof was about the old history.
        self.state.fresh_as_of = None;
        self.state.unproved = NOT_PROVED;
    }

    /// Drops what earlier histories revoked, when the operator vouches for the current one.
    fn accept_history_if_asked(&mut self) {
        if !self.shared.accept_history.swap(false, Ordering::AcqRel) {
            return;
        }
        tracing::warn!(here = ?self.position(), "the operator accepts this history as the only one");
        self.histories.accept_current();
        self.publish();
    }

    fn delta(&mut self, frame: v1::DeltaFrame) -> Result<(), ProtocolError> {
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
        match view.apply(&frame) {
            Ok(next) => {
                // An authority that continues the view does not continue the snapshot.
                self.assembly = None;
                self.stream.snapshot = false;
                let set = self.set_view(next);
                trace_applied(&self.shared.name, &frame, received);
                set
            }
            Err(error) => {
                if matches!(error, ApplyError::Delta(DeltaError::UnknownKind)) {
                    tracing::error!(reason = NOT_UNDERSTOOD, "not ready");
                    let incarnation = view.position().incarnation;
                    self.misunderstood = Some((incarnation, frame.revision));
                }
                Err(ProtocolError::Apply(error))
            }
        }
    }

    fn set_view(&mut self, view: View) -> Result<(), ProtocolError> {
        let position = view.position();
        self.histories.forget_at(view.turns());
        // A snapshot that was understood whole contains the batch that was not.
        if self.misunderstood.is_some_and(|(incarnation, revision)| {
            incarnation == position.incarnation && revision <= position.revision
        }) {
            self.misunderstood = None;
        }
        if self.chains.len() == CHAINS_MAX {
            self.chains.pop_front();
        }
        self.chains.push_back((position.revision, position.chain));
        self.state.view = Some(Arc::new(view));
        let proved = self.settle_beats();
        self.publish();
        proved
    }

    /// An answer to a probe: fresh as of when the probe was sent, once the head it names has been applied.
    fn beat(&mut self, beat: &v1::WatchBeat, now: Mark) -> Result<(), ProtocolError> {
        if !beat.is_intact(&self.stream.id) {
            return Err(ProtocolError::Corrupted);
        }
        let head = beat.head.as_ref().ok_or(ProtocolError::Malformed)?;
        let head = Position::try_from(head).map_err(|_| ProtocolError::Malformed)?;
        let mut probes = self.stream.probes.iter();
        let at = probes.position(|(nonce, _)| *nonce == beat.nonce);
        let (_, sent) = at
            .and_then(|at| self.stream.probes.remove(at))
            .ok_or(ProtocolError::Unasked)?;
        let time = beat.database_time.ok_or(ProtocolError::Malformed)?;
        let told = SystemTime::try_from(time).map_err(|_| ProtocolError::Malformed)?;
        let told = told
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_err(|_| ProtocolError::Malformed)?;
        self.take_clock(DatabaseClock::new(sent, now, told), &now);
        self.proven_head = Some(v1::ProvenHead {
            head: beat.head.clone(),
            code: beat.head_code.clone(),
        });
        if self.stream.beats.len() == BEATS_MAX {
            self.stream.beats.pop_front();
        }
        self.stream.beats.push_back((head, sent));
        let proved = self.settle_beats();
        self.publish();
        proved
    }

    /// Takes the database's clock, and says when this machine's is wrong and when it is right again.
    fn take_clock(&mut self, clock: DatabaseClock, now: &Mark) {
        let bound = self.state.clock_skew_max;
        let wrong = clock.skew(now).exceeds(bound);
        let ahead_micros = clock.skew(now).ahead_micros;
        if wrong && !self.clock_wrong {
            tracing::error!(
                ahead_micros,
                ?bound,
                "not ready: the clocks of this machine and of the database differ"
            );
        } else if !wrong && self.clock_wrong {
            tracing::info!(
                ahead_micros,
                "the clocks of this machine and of the database agree again"
            );
        }
        self.clock_wrong = wrong;
        self.state.database_clock = Some(clock);
    }

    fn settle_beats(&mut self) -> Result<(), ProtocolError> {
        let Some(here) = self.position() else {
            return Ok(());
        };
        let beats = std::mem::take(&mut self.stream.beats);
        for (head, sent) in beats {
            if head.incarnation != here.incarnation {
                return Err(ProtocolError::Fork);
            }
            if head.revision > here.revision {
                self.stream.beats.push_back((head, sent));
                continue;
            }
            let mut chains = self.chains.iter().rev();
            match chains.find(|(revision, _)| *revision == head.revision) {
                Some((_, chain)) if *chain == head.chain => self.prove(sent),
                Some(_) => return Err(ProtocolError::Fork),
                // Older than what is remembered: it proves nothing, the next one will.
                None => {}
            }
        }
        Ok(())
    }

    fn prove(&mut self, sent: Mark) {
        let newer = self
            .state
            .fresh_as_of
            .is_none_or(|proof| !sent.since(&proof).is_zero());
        if newer {
            self.state.fresh_as_of = Some(sent);
        }
    }

    /// Why the view may not be used, however fresh it is. Only what made it so ends it.
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
        self.shared.state.store(Arc::new(self.state.clone()));
        self.shared.position.send_replace(self.position());
    }
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
mod properties;
#[cfg(test)]
mod tests;
