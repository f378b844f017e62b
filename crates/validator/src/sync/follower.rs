//! The protocol without the network: what is received goes in, the state that checks read comes out.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::SystemTime,
};

use portcullis_contract::{
    delta::DeltaError,
    position::{Chain, Position, Revision},
    v1::{self, WatchProbe, watch_response::Message as Answer},
    view::{ApplyError, Frame, View},
};

use super::assembly::Assembly;
use crate::{clock::Mark, state::State, telemetry::trace_applied, validator::Shared};

/// Probes that may be under way; older ones are given up.
const PROBES_MAX: usize = 64;
/// Positions that are remembered, for beats that arrive after the deltas that followed them.
const CHAINS_MAX: usize = 4096;
/// Histories that are united with the current one. More than this within two turns is beyond what can be proved.
const HISTORIES_MAX: usize = 8;
/// Turns of the new history after which no token of the old one can be alive.
const TURNS_TO_FORGET: u64 = 2;

/// Why a stream cannot be followed any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProtocolError {
    #[error("a delta does not follow: {0}")]
    Apply(ApplyError),
    #[error("a message is malformed")]
    Malformed,
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
    #[error("too many histories")]
    TooManyHistories,
}

/// Applies what arrives, and publishes it.
pub(super) struct Follower {
    shared: Arc<Shared>,
    state: State,
    /// For each remembered history: the number of the current one's turns when it was remembered.
    remembered_at: Vec<u64>,
    snapshot_bytes_max: u64,
    assembly: Option<Assembly>,
    fork: bool,
    next_nonce: u64,
    probes: VecDeque<(u64, Mark)>,
    /// Beats whose head has not been applied yet.
    beats: Vec<(Position, Mark)>,
    chains: VecDeque<(Revision, Chain)>,
}

impl Follower {
    pub(super) fn new(shared: Arc<Shared>, snapshot_bytes_max: u64) -> Self {
        Self {
            shared,
            state: State::new(),
            remembered_at: Vec::new(),
            snapshot_bytes_max,
            assembly: None,
            fork: false,
            next_nonce: 1,
            probes: VecDeque::new(),
            beats: Vec::new(),
            chains: VecDeque::new(),
        }
    }

    /// Begins a stream; returns the cursor to greet with. Probes of an earlier stream prove nothing any more.
    pub(super) fn begin(&mut self) -> Option<Position> {
        self.assembly = None;
        self.fork = false;
        self.probes.clear();
        self.beats.clear();
        self.position()
    }

    fn position(&self) -> Option<Position> {
        self.state.view.as_ref().map(|view| view.position())
    }

    pub(super) fn fresh_as_of(&self) -> Option<Mark> {
        self.state.fresh_as_of
    }

    /// A probe sent at `now`; none while there is no view to prove fresh.
    pub(super) fn probe(&mut self, now: Mark) -> Option<WatchProbe> {
        let applied = self.position()?.revision;
        let nonce = self.next_nonce;
        self.next_nonce += 1;
        if self.probes.len() == PROBES_MAX {
            self.probes.pop_front();
        }
        self.probes.push_back((nonce, now));
        Some(WatchProbe {
            nonce,
            applied_revision: applied.0,
        })
    }

    /// Takes in one message. After an error the stream is given up; what was published stays.
    pub(super) fn receive(&mut self, answer: Answer) -> Result<(), ProtocolError> {
        match answer {
            Answer::Welcome(welcome) => {
                self.fork = welcome.fork;
                Ok(())
            }
            Answer::SnapshotChunk(chunk) => self.chunk(&chunk),
            Answer::Delta(frame) => self.delta(frame),
            Answer::Beat(beat) => self.beat(&beat),
            Answer::Drain(_) => Ok(()),
        }
    }

    fn chunk(&mut self, chunk: &v1::SnapshotChunk) -> Result<(), ProtocolError> {
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

    /// Puts a whole view in the place of the current one. One of another history is united with it instead.
    fn adopt(&mut self, view: View) -> Result<(), ProtocolError> {
        let here = view.position();
        if let Some(old) = self.state.view.take() {
            let at = old.position();
            let same_history = !self.fork && at.incarnation == here.incarnation;
            if same_history && here.revision < at.revision {
                self.state.view = Some(old);
                return Err(ProtocolError::Regress);
            }
            if !same_history {
                self.remember(old, view.turns())?;
            }
        }
        self.fork = false;
        self.chains.clear();
        self.set_view(view)
    }

    fn remember(&mut self, old: Arc<View>, turns: u64) -> Result<(), ProtocolError> {
        tracing::error!(old = ?old.position(), "the authority's history is another: both are enforced");
        self.shared.forks.fetch_add(1, Ordering::Relaxed);
        if self.state.remembered.len() == HISTORIES_MAX {
            self.give_up("too many histories");
            return Err(ProtocolError::TooManyHistories);
        }
        self.state.remembered.push(old);
        self.remembered_at.push(turns);
        // What was proved was proved of the old history.
        self.state.fresh_as_of = None;
        Ok(())
    }

    fn delta(&mut self, frame: v1::DeltaFrame) -> Result<(), ProtocolError> {
        let received = SystemTime::now();
        let frame = Frame::try_from(frame).map_err(|_| ProtocolError::Malformed)?;
        let view = self.state.view.as_ref().ok_or(ProtocolError::NoView)?;
        match view.apply(&frame) {
            Ok(next) => {
                let set = self.set_view(next);
                trace_applied(&self.shared.name, &frame, received);
                set
            }
            Err(error) => {
                if matches!(error, ApplyError::Delta(DeltaError::UnknownKind)) {
                    self.give_up("the log has entries of a kind this version does not know");
                }
                Err(ProtocolError::Apply(error))
            }
        }
    }

    fn give_up(&mut self, reason: &'static str) {
        tracing::error!(reason, "not ready");
        self.state.unready = Some(reason);
        self.publish();
    }

    fn set_view(&mut self, view: View) -> Result<(), ProtocolError> {
        let position = view.position();
        self.forget(view.turns());
        if self.chains.len() == CHAINS_MAX {
            self.chains.pop_front();
        }
        self.chains.push_back((position.revision, position.chain));
        self.state.view = Some(Arc::new(view));
        self.state.unready = None;
        let proved = self.settle_beats();
        self.publish();
        proved
    }

    fn forget(&mut self, turns: u64) {
        let kept: Vec<bool> = self
            .remembered_at
            .iter()
            .map(|at| turns.saturating_sub(*at) < TURNS_TO_FORGET)
            .collect();
        let mut keep = kept.iter();
        self.state
            .remembered
            .retain(|_| *keep.next().unwrap_or(&true));
        let mut keep = kept.iter();
        self.remembered_at.retain(|_| *keep.next().unwrap_or(&true));
    }

    /// An answer to a probe: fresh as of when the probe was sent, once the head it names has been applied.
    fn beat(&mut self, beat: &v1::WatchBeat) -> Result<(), ProtocolError> {
        let head = beat.head.as_ref().ok_or(ProtocolError::Malformed)?;
        let head = Position::try_from(head).map_err(|_| ProtocolError::Malformed)?;
        let Some(at) = self
            .probes
            .iter()
            .position(|(nonce, _)| *nonce == beat.nonce)
        else {
            return Ok(());
        };
        let Some((_, sent)) = self.probes.remove(at) else {
            return Ok(());
        };
        self.beats.push((head, sent));
        let proved = self.settle_beats();
        self.publish();
        proved
    }

    fn settle_beats(&mut self) -> Result<(), ProtocolError> {
        let Some(here) = self.position() else {
            return Ok(());
        };
        let (due, waiting): (Vec<_>, Vec<_>) = self
            .beats
            .drain(..)
            .partition(|(head, _)| head.revision <= here.revision);
        self.beats = waiting;
        for (head, sent) in due {
            if head.incarnation != here.incarnation {
                return Err(ProtocolError::Fork);
            }
            match self
                .chains
                .iter()
                .rev()
                .find(|(revision, _)| *revision == head.revision)
            {
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

    fn publish(&self) {
        self.shared.state.store(Arc::new(self.state.clone()));
        self.shared.position.send_replace(self.position());
    }
}

#[cfg(test)]
mod tests;
