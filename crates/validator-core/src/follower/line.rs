//! The two streams of a follower, with the messages and the proofs of each.

use portcullis_contract::{
    position::{Incarnation, Position, Revision},
    view::{ApplyError, Frame},
    watch::StreamId,
};

use super::{
    error::ProtocolError,
    proofs::{Chains, Proofs, newer},
};
use crate::clock::Mark;

/// One of the two places for a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// The place for the first stream, or the only one.
    First,
    /// The place for a second stream, to another authority.
    Second,
}

impl Line {
    /// The other place.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// Both lines.
#[derive(Default)]
pub(super) struct Lines([LineState; 2]);

/// A line: its stream while there is one, and the proofs of its streams.
#[derive(Default)]
pub(super) struct LineState {
    pub(super) stream: Option<Stream>,
    /// The moment as of which this line proved the view fresh.
    pub(super) proof: Option<Mark>,
}

impl LineState {
    /// Records that the stream brought the log up to `at`.
    pub(super) fn advance(&mut self, at: Position) {
        if let Some(stream) = &mut self.stream {
            stream.snapshot = false;
            stream.at = Some(at);
        }
    }

    /// Records that the snapshot of the stream became the view.
    pub(super) fn adopt(&mut self, here: Position, replaced: u64) {
        if let Some(stream) = &mut self.stream {
            stream.fork = false;
            stream.replaced = replaced;
        }
        self.advance(here);
    }
}

impl Lines {
    pub(super) fn get(&self, line: Line) -> &LineState {
        &self.0[line as usize]
    }

    pub(super) fn of(&mut self, line: Line) -> &mut LineState {
        &mut self.0[line as usize]
    }

    /// Each proof holds for itself, so the newest counts.
    pub(super) fn newest_proof(&self) -> Option<Mark> {
        let mut newest = None;
        for proof in self.0.iter().filter_map(|line| line.proof) {
            newest = Some(newer(newest, proof));
        }
        newest
    }

    pub(super) fn withdraw_proofs(&mut self) {
        for line in &mut self.0 {
            line.proof = None;
        }
    }

    /// Settles the beats of both streams against the one view. A stream whose beat is of another history fails, and the
    /// other one does not.
    pub(super) fn settle(&mut self, here: Position, chains: &Chains, replaced: u64) {
        for line in &mut self.0 {
            let Some(stream) = &mut line.stream else {
                continue;
            };
            if stream.check(replaced).is_err() {
                continue;
            }
            match stream.proofs.settle(here, chains, line.proof) {
                Ok(proof) => line.proof = proof,
                Err(error) => {
                    line.proof = None;
                    stream.failed = Some(error);
                }
            }
        }
    }
}

/// State of one stream. Nothing of it proves anything in the next one.
pub(super) struct Stream {
    pub(super) id: StreamId,
    /// The position that the hello named.
    pub(super) cursor: Option<Position>,
    /// The position up to which this stream has brought the log. It never is beyond the view.
    pub(super) at: Option<Position>,
    /// The history that the welcome named.
    pub(super) incarnation: Option<Incarnation>,
    /// Set until the snapshot of the other history that the welcome announced has arrived.
    pub(super) fork: bool,
    /// Whether a snapshot is under way, or waits for those of other gates.
    pub(super) snapshot: bool,
    /// The last time that bytes of a snapshot arrived, or word that it waits.
    pub(super) progressed: Option<Mark>,
    pub(super) probed: bool,
    pub(super) proofs: Proofs,
    /// The number of replaced histories when it began.
    replaced: u64,
    /// Set when its beat turned out to be of another history.
    failed: Option<ProtocolError>,
}

impl Stream {
    pub(super) fn begin(cursor: Option<Position>, replaced: u64) -> Self {
        Self {
            id: portcullis_contract::random(),
            cursor,
            at: None,
            incarnation: None,
            fork: false,
            snapshot: false,
            progressed: None,
            probed: false,
            proofs: Proofs::default(),
            replaced,
            failed: None,
        }
    }

    /// Returns an error when the stream cannot be followed any further, whatever comes.
    pub(super) fn check(&self, replaced: u64) -> Result<(), ProtocolError> {
        match self.failed {
            Some(error) => Err(error),
            None if self.replaced != replaced => Err(ProtocolError::Replaced),
            None => Ok(()),
        }
    }

    /// Whether it continues the present history.
    pub(super) fn follows(&self, replaced: u64) -> bool {
        self.check(replaced).is_ok() && self.at.is_some()
    }

    pub(super) fn can_probe(&self) -> bool {
        // While another view is on its way, no beat could be about this one.
        let expects_view = self.fork || self.snapshot;
        !expects_view && self.at.is_some()
    }

    /// The revision up to which this stream has brought the log.
    pub(super) fn revision(&self) -> Revision {
        self.at.map_or(Revision(0), |at| at.revision)
    }

    pub(super) fn record_progress(&mut self, now: Mark) {
        self.snapshot = true;
        self.progressed = Some(now);
    }

    /// The position after a batch that this stream brings.
    ///
    /// # Errors
    /// When the batch is not the next one of the stream.
    pub(super) fn advanced(&self, frame: &Frame) -> Result<Position, ProtocolError> {
        let at = self.at.ok_or(ProtocolError::NoView)?;
        if !frame.revision.follows(at.revision) {
            return Err(ProtocolError::Apply(ApplyError::Gap {
                applied: at.revision,
                got: frame.revision,
            }));
        }
        Ok(Position {
            revision: frame.revision,
            chain: at.chain.next(&frame.delta, &frame.audit_digest),
            ..at
        })
    }
}
