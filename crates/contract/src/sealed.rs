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

    /// Whether it changes something for a gate. One of audit events alone does not.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        !self.0.delta.is_empty()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_batch_is_the_message_of_its_frame() {
        let frame = Frame {
            revision: Revision(7),
            delta: Bytes::from_static(b"delta"),
            audit_digest: [1; 32],
        };
        let sealed = SealedFrame::from(&frame);
        assert_eq!(sealed.revision(), Revision(7));
        assert_eq!(sealed.delta_bytes(), 5);

        let message = sealed.into_message();
        assert!(message.is_intact(&AnyStream));
        assert_eq!((message.revision, &message.delta[..]), (7, &b"delta"[..]));
    }

    #[test]
    fn a_sealed_chunk_says_where_it_belongs() {
        let digest = Bytes::from_static(&[3; 32]);
        let data = Bytes::from_static(b"piece");
        let message = SealedChunk::new(100, digest.clone(), 40, data.clone()).into_message();
        assert!(message.is_intact(&AnyStream));
        assert_eq!((message.total_bytes, message.offset), (100, 40));
        assert_eq!((message.sha256, message.data), (digest, data));
    }
}
