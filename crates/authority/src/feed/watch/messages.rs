//! The messages of a stream, and the reasons for its end.

use std::time::Duration;

use portcullis_contract::{
    position::{Incarnation, Position, Revision},
    sealed::{SealedChunk, SealedFrame},
};
use prost::bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{GateId, Micros},
    feed::{SignedBeat, SnapshotPart, ValidatorMode},
    store::StoreError,
};

/// The other end of a stream.
pub(crate) struct StreamSource {
    /// The name of the caller's credential.
    pub(crate) caller: String,
    /// The address and port of the connection. Empty: unknown.
    pub(crate) address: String,
    /// Cancelled when the connection is as old as it may be.
    pub(crate) aged: CancellationToken,
}

/// The first message of a validator.
pub(crate) struct Hello {
    /// A name for operators.
    pub(crate) name: String,
    /// For operators. Empty: unknown.
    pub(crate) version: String,
    /// The version of the log that the validator understands.
    pub(crate) log_version: u32,
    /// Drawn at random by the validator. None: unknown.
    pub(crate) instance: Option<[u8; 16]>,
    pub(crate) mode: ValidatorMode,
    /// The staleness that the validator enforces. Zero: it names none.
    pub(crate) max_staleness: Duration,
    /// The position of its view. None: it has no view.
    pub(crate) cursor: Option<Position>,
    /// The part of a snapshot that an earlier stream delivered.
    pub(crate) part: Option<SnapshotPart>,
    pub(crate) proven_head: Option<ProvenHead>,
    /// The gate, and the time for which it admits requests without an authority.
    pub(crate) gate: Option<(GateId, Duration)>,
}

/// A head that a beat named, with the code that proves it.
pub(crate) struct ProvenHead {
    pub(crate) head: Position,
    pub(crate) code: Bytes,
}

/// A question for the head of the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe {
    pub(crate) nonce: u64,
    /// The last revision that the validator has applied.
    pub(crate) applied: Revision,
    /// The validator's clock when it sent the probe, since 1970. None: unknown.
    pub(crate) sent: Option<Micros>,
}

/// A message of a validator after its hello.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked {
    Probe(Probe),
    /// The answer to [`Answer::Confirm`]: the last revision that the validator has applied.
    Applied(Revision),
}

/// A message to a validator.
pub(crate) enum Answer {
    Welcome {
        incarnation: Incarnation,
        /// Whether the validator's cursor is of another history.
        is_fork: bool,
    },
    /// The snapshot waits for those of others.
    Queued {
        ahead: u32,
        wait: Duration,
    },
    SnapshotChunk(SealedChunk),
    Delta(SealedFrame),
    Beat {
        nonce: u64,
        beat: SignedBeat,
    },
    /// The validator should report its applied revision.
    Confirm,
    /// The validator should connect anew.
    Drain,
}

/// The reason for the end of a stream.
#[derive(Debug)]
pub(crate) enum StreamEnd {
    /// The validator went away, or was asked to.
    Closed,
    /// The stream may not go on.
    Refused(WatchError),
}

/// An error that ends a stream.
#[derive(Debug)]
pub(crate) enum WatchError {
    /// The validator broke the protocol in this way.
    Protocol(&'static str),
    /// A message does not match its checksum.
    Corrupted,
    /// A probe claims a revision that the stream has not delivered.
    RevisionAhead,
    /// There are as many streams as there may be.
    TooManyStreams,
    Store(StoreError),
}

impl From<WatchError> for StreamEnd {
    fn from(error: WatchError) -> Self {
        Self::Refused(error)
    }
}

impl From<StoreError> for StreamEnd {
    fn from(error: StoreError) -> Self {
        Self::Refused(WatchError::Store(error))
    }
}
