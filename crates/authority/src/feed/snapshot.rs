//! Snapshots: the view as bytes, encoded once for all streams that need one.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use portcullis_contract::{
    position::{Digest, Position, Revision, sha256},
    sealed::SealedChunk,
    view::View,
};
use prost::bytes::Bytes;
use tokio::sync::Mutex;

/// The most data of one chunk, in bytes. With its other fields a chunk fits in one frame of HTTP/2.
const CHUNK_BYTES_MAX: usize = (16 << 10) - 128;

/// The largest view, in approximate bytes, that is encoded where it is asked for: to hand it to another thread takes
/// longer.
pub(crate) const BYTES_ENCODED_AT_ONCE_MAX: u64 = 16 << 10;

/// The part of a snapshot that a validator has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotPart {
    /// The digest of the whole snapshot.
    pub sha256: Digest,
    /// The bytes of the whole snapshot.
    pub total_bytes: u64,
    /// The bytes that the validator has.
    pub offset: u64,
}

/// An encoded view.
pub struct EncodedSnapshot {
    /// Where the view stands.
    pub position: Position,
    bytes: usize,
    sha256: Digest,
    /// The pieces that are sent, in order, with their checksums. Streams share their bytes.
    chunks: Vec<SealedChunk>,
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

    /// A piece that is sent.
    ///
    /// # Panics
    /// When there is no piece of this index.
    #[must_use]
    pub fn chunk(&self, index: usize) -> SealedChunk {
        self.chunks[index].clone()
    }

    /// The piece that continues a validator's part of this snapshot. None for a part of another one.
    #[must_use]
    pub fn continued(&self, part: &SnapshotPart) -> Option<usize> {
        let same = part.sha256 == self.sha256 && part.total_bytes == self.bytes as u64;
        let offset = usize::try_from(part.offset).ok()?;
        let index = offset / CHUNK_BYTES_MAX;
        // Chunks carry a checksum over all of their data, so a transfer cannot go on inside of one.
        let begins = offset.is_multiple_of(CHUNK_BYTES_MAX) && index < self.chunks.len();
        (same && begins).then_some(index)
    }
}

fn cut(bytes: &Bytes, sha256: &Digest) -> Vec<SealedChunk> {
    let sha256 = Bytes::copy_from_slice(sha256);
    (0..bytes.len())
        .step_by(CHUNK_BYTES_MAX)
        .map(|offset| {
            let end = (offset + CHUNK_BYTES_MAX).min(bytes.len());
            let data = bytes.slice(offset..end);
            SealedChunk::new(bytes.len(), sha256.clone(), offset, data)
        })
        .collect()
}

/// Snapshots that are held besides the newest one, for validators that have a part of one.
const HELD_MAX: usize = 2;
/// How long they are held.
const HELD_FOR: Duration = Duration::from_secs(10 * 60);

/// The newest snapshot, as long as the ring continues from it, and the ones before it.
#[derive(Default)]
pub(super) struct Snapshots(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    newest: Option<Arc<EncodedSnapshot>>,
    /// The ones before, and when each was replaced. The last is the newest of them.
    replaced: VecDeque<(Arc<EncodedSnapshot>, Instant)>,
}

impl Kept {
    fn replace(&mut self, made: &Arc<EncodedSnapshot>) {
        let now = Instant::now();
        if let Some(before) = self.newest.replace(Arc::clone(made)) {
            self.replaced.push_back((before, now));
        }
        self.drop_old(now);
    }

    fn drop_old(&mut self, now: Instant) {
        while self.replaced.len() > HELD_MAX {
            self.replaced.pop_front();
        }
        self.replaced
            .retain(|(_, since)| now.duration_since(*since) < HELD_FOR);
    }

    fn all(&self) -> impl Iterator<Item = &Arc<EncodedSnapshot>> {
        let replaced = self.replaced.iter().map(|(snapshot, _)| snapshot);
        self.newest.iter().chain(replaced)
    }
}

impl Snapshots {
    /// A snapshot not older than `first`. Whoever comes while one is made waits for it instead of making another.
    pub(super) async fn at_least(
        &self,
        first: Revision,
        view: impl FnOnce() -> Arc<View>,
    ) -> Arc<EncodedSnapshot> {
        let mut kept = self.0.lock().await;
        if let Some(snapshot) = kept
            .newest
            .as_ref()
            .filter(|snapshot| snapshot.position.revision >= first)
        {
            return Arc::clone(snapshot);
        }
        // The lock is held meanwhile. A stream that ends here loses the result, and the next one encodes anew.
        let made = encode(view()).await;
        kept.replace(&made);
        made
    }

    /// The snapshot that `part` is of, and the chunk that comes next.
    pub(super) async fn held(
        &self,
        part: &SnapshotPart,
        now: Instant,
    ) -> Option<(Arc<EncodedSnapshot>, usize)> {
        let mut kept = self.0.lock().await;
        // No timer drops old snapshots, so a request must not find one that is past its time.
        kept.drop_old(now);
        let mut all = kept.all();
        all.find_map(|snapshot| Some((Arc::clone(snapshot), snapshot.continued(part)?)))
    }

    /// The bytes of those that are held, unless one is being made.
    pub(super) fn bytes(&self) -> Option<usize> {
        // The lock is held while a view is encoded, and a reader of metrics must not wait for that.
        let kept = self.0.try_lock().ok()?;
        Some(kept.all().map(|snapshot| snapshot.bytes).sum())
    }

    pub(super) async fn forget(&self) {
        *self.0.lock().await = Kept::default();
    }
}

async fn encode(view: Arc<View>) -> Arc<EncodedSnapshot> {
    if view.bytes() <= BYTES_ENCODED_AT_ONCE_MAX {
        return Arc::new(EncodedSnapshot::new(&view));
    }
    // A large view takes longer than a worker thread may be kept from other streams.
    let encoding = tokio::task::spawn_blocking(move || Arc::new(EncodedSnapshot::new(&view)));
    encoding.await.expect("encoding does not panic")
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_contract::{
        delta::{self, Change},
        id::Serial,
        key::CredentialKind,
        position::Incarnation,
        v1,
        view::Frame,
    };

    /// A view of several chunks: scattered serials do not compress.
    fn view(revisions: u64) -> Arc<View> {
        let mut view = View::empty(Incarnation([1; 16]));
        for revision in 1..=revisions {
            let serials = (0..100_000).map(|number| Serial((number * 100 + revision) * 7));
            let change = Change::Revoke {
                credential: CredentialKind::Session,
                serials: serials.collect(),
            };
            let frame = Frame {
                revision: Revision(revision),
                delta: delta::encode(&[change], Vec::new()),
                audit_digest: [0; 32],
            };
            view = view.apply(&frame).expect("applies");
        }
        Arc::new(view)
    }

    fn part(snapshot: &EncodedSnapshot, chunks: usize) -> SnapshotPart {
        SnapshotPart {
            sha256: snapshot.sha256,
            total_bytes: snapshot.bytes as u64,
            offset: (chunks * CHUNK_BYTES_MAX) as u64,
        }
    }

    #[test]
    fn a_chunk_fits_in_a_frame_of_http_2_with_all_that_is_sent_around_it() {
        let data = Bytes::from(vec![1; CHUNK_BYTES_MAX]);
        let sha256 = Bytes::from(vec![1; 32]);
        let chunk = SealedChunk::new(usize::MAX, sha256, usize::MAX - 1, data);
        let sent = chunk.into_response().bytes().len();
        assert!(sent <= 16_384, "{sent} bytes");
    }

    #[test]
    fn the_pieces_of_a_snapshot_are_its_bytes_in_their_order() {
        let view = view(1);
        let snapshot = EncodedSnapshot::new(&view);
        let mut whole = Vec::new();
        for index in 0..snapshot.length() {
            let response = snapshot.chunk(index).into_response();
            let message = response.decode().expect("a message");
            let Some(v1::watch_response::Message::SnapshotChunk(chunk)) = message.message else {
                panic!("{message:?}");
            };
            assert_eq!(chunk.offset, whole.len() as u64);
            assert!(chunk.data.len() <= CHUNK_BYTES_MAX);
            whole.extend(chunk.data);
        }
        assert_eq!(whole, view.encode());
    }

    #[tokio::test]
    async fn a_part_goes_on_while_its_snapshot_is_held_and_for_a_bounded_time() {
        let snapshots = Snapshots::default();
        let first = snapshots.at_least(Revision(1), || view(1)).await;
        assert!(first.length() > 2, "{} chunks", first.length());
        let have = part(&first, 2);
        for revision in 2..=3 {
            snapshots
                .at_least(Revision(revision), || view(revision))
                .await;
            let (held, next) = snapshots.held(&have, Instant::now()).await.expect("held");
            assert!(Arc::ptr_eq(&held, &first) && next == 2);
        }
        let later = Instant::now() + HELD_FOR;
        assert!(snapshots.held(&have, later).await.is_none(), "too old");
        assert_eq!(
            snapshots.bytes(),
            Some(snapshots.at_least(Revision(3), || view(3)).await.bytes)
        );
    }

    #[tokio::test]
    async fn only_a_few_snapshots_are_held() {
        let snapshots = Snapshots::default();
        let first = snapshots.at_least(Revision(1), || view(1)).await;
        for revision in 2..=4 {
            snapshots
                .at_least(Revision(revision), || view(revision))
                .await;
        }
        assert!(
            snapshots
                .held(&part(&first, 1), Instant::now())
                .await
                .is_none()
        );
    }

    #[tokio::test]
    async fn a_part_that_is_of_no_snapshot_begins_anew() {
        let snapshots = Snapshots::default();
        let snapshot = snapshots.at_least(Revision(1), || view(1)).await;
        let have = part(&snapshot, 1);
        let cases = [
            SnapshotPart {
                sha256: [0; 32],
                ..have.clone()
            },
            SnapshotPart {
                total_bytes: have.total_bytes + 1,
                ..have.clone()
            },
            SnapshotPart {
                offset: have.offset + 1,
                ..have.clone()
            },
            SnapshotPart {
                offset: u64::MAX,
                ..have.clone()
            },
            part(&snapshot, snapshot.length()),
        ];
        for case in cases {
            assert!(
                snapshots.held(&case, Instant::now()).await.is_none(),
                "{case:?}"
            );
        }
        assert!(snapshots.held(&have, Instant::now()).await.is_some());
    }
}
