//! Violations of the watch protocol.

use portcullis_contract::view::ApplyError;

/// The reason for which a stream cannot be followed any further. Open another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A delta is not the next one, or has a part that this version does not know.
    #[error("a delta does not follow: {0}")]
    Apply(ApplyError),
    /// A message lacks a field or has one of the wrong length.
    #[error("a message is malformed")]
    Malformed,
    /// A message does not match its checksum.
    #[error("a message does not match its checksum: the network damages what it carries")]
    Corrupted,
    /// A message does not answer the hello or any probe of this stream.
    #[error("a message is not an answer to what was asked")]
    Unasked,
    /// The chunks of a snapshot do not fit together, or do not match its digest.
    #[error("a snapshot is not whole")]
    BadSnapshot,
    /// A snapshot is larger than the configured bound.
    #[error("a snapshot is larger than allowed")]
    SnapshotTooLarge,
    /// A snapshot of the same history is older than the view.
    #[error("a snapshot is older than the view")]
    Regress,
    /// The authority has another history, and did not say so.
    #[error("the authority's history is another")]
    Fork,
    /// The authority's history is another than that of the other stream, which is followed.
    #[error("the authority's history is another than that of the authority that is followed")]
    OtherHistory,
    /// The other stream took another history, so this one continues nothing any more.
    #[error("another authority's history was taken meanwhile")]
    Replaced,
    /// The other stream brings a snapshot already.
    #[error("another authority sends its snapshot already")]
    SecondSnapshot,
    /// The other stream moved the view while this one brought a snapshot, so the snapshot may lack a part of the view.
    #[error("another authority moved the view while a snapshot came")]
    Overtaken,
    /// A delta came before the first view.
    #[error("a delta came before a view")]
    NoView,
}

impl ProtocolError {
    /// Returns whether the stream is refused because of the other one, and not because of its own messages.
    pub(super) fn is_untimely(&self) -> bool {
        matches!(
            self,
            Self::OtherHistory | Self::Overtaken | Self::Replaced | Self::SecondSnapshot
        )
    }
}
