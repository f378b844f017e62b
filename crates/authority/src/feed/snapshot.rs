//! Snapshots: the view as bytes, encoded once for all streams that need one.

use std::sync::Arc;

use portcullis_contract::{
    position::{Digest, Position, Revision, sha256},
    v1,
    view::View,
};
use prost::bytes::Bytes;
use tokio::sync::Mutex;

/// The most data of one chunk, in bytes: a link of 50 KB/s delivers one within the least patience of a gate, 2 s.
const CHUNK_BYTES_MAX: usize = 64 << 10;

/// An encoded view.
pub struct EncodedSnapshot {
    /// Where the view stands.
    pub position: Position,
    bytes: usize,
    sha256: Digest,
    /// The pieces that are sent, in order, with their checksums. Their data is shared.
    chunks: Vec<v1::SnapshotChunk>,
}

impl EncodedSnapshot {
    fn new(view: &View) -> Self {
        let bytes = view.encode();
        let sha256 = sha256(&bytes);
        Self {
            position: view.position(),
            bytes: bytes.len(),
            sha256,
            chunks: cut(&bytes, &sha256),
        }
    }

    /// How many pieces there are.
    #[must_use]
    pub fn length(&self) -> usize {
        self.chunks.len()
    }

    /// One of the pieces that are sent, in order.
    #[must_use]
    pub fn chunk(&self, index: usize) -> Option<v1::SnapshotChunk> {
        self.chunks.get(index).cloned()
    }

    /// The piece that continues what a validator has of this snapshot. None when it has a part of another one.
    #[must_use]
    pub fn continued(&self, part: &v1::SnapshotPart) -> Option<usize> {
        let same = part.sha256[..] == self.sha256[..] && part.total_bytes == self.bytes as u64;
        let offset = usize::try_from(part.offset).ok()?;
        let index = offset / CHUNK_BYTES_MAX;
        let begins = offset.is_multiple_of(CHUNK_BYTES_MAX) && index < self.chunks.len();
        (same && begins).then_some(index)
    }
}

fn cut(bytes: &Bytes, sha256: &Digest) -> Vec<v1::SnapshotChunk> {
    let sha256 = Bytes::copy_from_slice(sha256);
    let offsets = (0..bytes.len()).step_by(CHUNK_BYTES_MAX);
    let chunk = |offset: usize| {
        let end = (offset + CHUNK_BYTES_MAX).min(bytes.len());
        let chunk = v1::SnapshotChunk {
            total_bytes: bytes.len() as u64,
            sha256: sha256.clone(),
            offset: offset as u64,
            data: bytes.slice(offset..end),
            checksum: Bytes::new(),
        };
        chunk.sealed()
    };
    offsets.map(chunk).collect()
}

/// The newest snapshot, as long as the ring continues from it.
#[derive(Default)]
pub(super) struct Snapshots(Mutex<Option<Arc<EncodedSnapshot>>>);

impl Snapshots {
    /// A snapshot not older than `first`. Whoever comes while one is made waits for it instead of making another.
    pub(super) async fn at_least(
        &self,
        first: Revision,
        view: impl FnOnce() -> Arc<View>,
    ) -> Arc<EncodedSnapshot> {
        let mut newest = self.0.lock().await;
        if let Some(snapshot) = newest
            .as_ref()
            .filter(|snapshot| snapshot.position.revision >= first)
        {
            return Arc::clone(snapshot);
        }
        let view = view();
        let encoding = tokio::task::spawn_blocking(move || Arc::new(EncodedSnapshot::new(&view)));
        let made = encoding.await.expect("encoding does not panic");
        *newest = Some(Arc::clone(&made));
        made
    }

    /// The bytes of the newest one, unless one is being made.
    pub(super) fn bytes(&self) -> Option<usize> {
        let newest = self.0.try_lock().ok()?;
        Some(newest.as_ref().map_or(0, |snapshot| snapshot.bytes))
    }

    pub(super) async fn forget(&self) {
        *self.0.lock().await = None;
    }
}
