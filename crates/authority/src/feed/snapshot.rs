//! Snapshots: the view as bytes, encoded once for all streams that need one.

use std::sync::Arc;

use portcullis_contract::{
    position::{Digest, Position, Revision, sha256},
    v1,
    view::View,
};
use prost::bytes::Bytes;
use tokio::sync::Mutex;

/// The most data of one chunk, in bytes.
const CHUNK_BYTES_MAX: usize = 256 << 10;

/// An encoded view.
pub struct EncodedSnapshot {
    /// Where the view stands.
    pub position: Position,
    bytes: Bytes,
    sha256: Digest,
}

impl EncodedSnapshot {
    fn new(view: &View) -> Self {
        let bytes = view.encode();
        Self {
            position: view.position(),
            sha256: sha256(&bytes),
            bytes,
        }
    }

    /// The pieces that are sent, in order.
    pub fn chunks(&self) -> impl Iterator<Item = v1::SnapshotChunk> + Send + '_ {
        let sha256 = Bytes::copy_from_slice(&self.sha256);
        (0..self.bytes.len())
            .step_by(CHUNK_BYTES_MAX)
            .map(move |offset| v1::SnapshotChunk {
                total_bytes: self.bytes.len() as u64,
                sha256: sha256.clone(),
                offset: offset as u64,
                data: self
                    .bytes
                    .slice(offset..(offset + CHUNK_BYTES_MAX).min(self.bytes.len())),
            })
    }
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
        Some(newest.as_ref().map_or(0, |snapshot| snapshot.bytes.len()))
    }

    pub(super) async fn forget(&self) {
        *self.0.lock().await = None;
    }
}
