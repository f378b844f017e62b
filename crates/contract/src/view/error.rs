//! Reasons for not applying a frame and for not decoding a snapshot.

use crate::{delta::DeltaError, position::Revision};

/// The reason for which a frame does not continue a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The frame's revision is not the one after the view's.
    #[error("revision {got} does not follow {applied}")]
    Gap {
        /// The view's revision.
        applied: Revision,
        /// The frame's revision.
        got: Revision,
    },
    /// The delta cannot be understood.
    #[error(transparent)]
    Delta(#[from] DeltaError),
}

/// The reason for which bytes are not a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// The bytes are truncated, altered, or never were a snapshot.
    #[error("the snapshot is malformed")]
    Malformed,
    /// A later version wrote the snapshot: a part of it has no meaning here.
    #[error("the snapshot holds something this version does not know")]
    Unknown,
}
