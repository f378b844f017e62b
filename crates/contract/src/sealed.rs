//! Messages that an authority seals once and sends to every stream.
//!
//! Thousands of streams send the same batch and the same snapshot. Their checksums are computed when the message is made,
//! and a clone shares its bytes.

use prost::bytes::Bytes;

use crate::{
    position::Revision,
    v1,
    view::Frame,
    watch::{AnyStream, Checksummed},
};

/// A batch of the log with its checksum.
#[derive(Clone, Debug)]
pub struct SealedFrame(v1::DeltaFrame);

impl SealedFrame {
    /// The batch's revision.
    #[must_use]
    pub fn revision(&self) -> Revision {
        Revision(self.0.revision)
    }

    /// The size of its delta, in bytes.
    #[must_use]
    pub fn delta_bytes(&self) -> usize {
        self.0.delta.len()
    }

    /// The message for a stream.
    #[must_use]
    pub fn into_message(self) -> v1::DeltaFrame {
        self.0
    }
}

impl From<&Frame> for SealedFrame {
    fn from(frame: &Frame) -> Self {
        Self(frame.into())
    }
}

/// A piece of a snapshot with its checksum.
#[derive(Clone, Debug)]
pub struct SealedChunk(v1::SnapshotChunk);

impl SealedChunk {
    /// Seals the piece that begins at `offset`, in bytes. `sha256` is the digest of the whole snapshot.
    #[must_use]
    pub fn new(total_bytes: usize, sha256: Bytes, offset: usize, data: Bytes) -> Self {
        let chunk = v1::SnapshotChunk {
            total_bytes: total_bytes as u64,
            sha256,
            offset: offset as u64,
            data,
            checksum: Bytes::new(),
        };
        Self(chunk.sealed(&AnyStream))
    }

    /// The message for a stream.
    #[must_use]
    pub fn into_message(self) -> v1::SnapshotChunk {
        self.0
    }
}
