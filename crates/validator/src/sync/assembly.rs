//! A snapshot in the making.

use portcullis_contract::{position::sha256, v1::SnapshotChunk, view::View};

use super::follower::ProtocolError;

/// The pieces received so far. What is in force stays in force until the whole is there and checked.
pub(super) struct Assembly {
    bytes: Vec<u8>,
    total_bytes: u64,
    sha256: Vec<u8>,
}

impl Assembly {
    /// Begins with a first chunk.
    pub(super) fn begin(chunk: &SnapshotChunk, bytes_max: u64) -> Result<Self, ProtocolError> {
        if chunk.total_bytes > bytes_max {
            return Err(ProtocolError::SnapshotTooLarge);
        }
        Ok(Self { bytes: Vec::new(), total_bytes: chunk.total_bytes, sha256: chunk.sha256.to_vec() })
    }

    /// Adds a chunk; the view when it was the last one.
    pub(super) fn add(&mut self, chunk: &SnapshotChunk) -> Result<Option<View>, ProtocolError> {
        let same = chunk.total_bytes == self.total_bytes && chunk.sha256[..] == self.sha256[..];
        let fits = chunk.offset == self.bytes.len() as u64 && !chunk.data.is_empty();
        if !same || !fits || self.bytes.len() as u64 + chunk.data.len() as u64 > self.total_bytes {
            return Err(ProtocolError::BadSnapshot);
        }
        self.bytes.extend_from_slice(&chunk.data);
        if (self.bytes.len() as u64) < self.total_bytes {
            return Ok(None);
        }
        if sha256(&self.bytes)[..] != self.sha256[..] {
            return Err(ProtocolError::BadSnapshot);
        }
        let view = View::decode(std::mem::take(&mut self.bytes).into());
        view.map(Some).map_err(|_| ProtocolError::BadSnapshot)
    }
}
