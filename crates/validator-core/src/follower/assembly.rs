//! A snapshot that arrives in chunks.

use portcullis_contract::{
    position::sha256,
    v1::{SnapshotChunk, SnapshotPart},
    view::View,
};

use super::error::ProtocolError;

/// The chunks that were received so far.
///
/// The view in force stays until the snapshot is whole and checked. The chunks survive the end of a stream: the next one
/// asks for the rest only, so that a large snapshot arrives even over a link that breaks often.
pub(crate) struct Assembly {
    bytes: Vec<u8>,
    total_bytes: u64,
    sha256: Vec<u8>,
}

impl Assembly {
    /// Begins with the size and the digest that a chunk names.
    pub(crate) fn begin(chunk: &SnapshotChunk, bytes_max: u64) -> Result<Self, ProtocolError> {
        if chunk.total_bytes > bytes_max {
            return Err(ProtocolError::SnapshotTooLarge);
        }
        Ok(Self {
            // Not reserved: memory grows with the bytes that arrive, not with the size that a message claims.
            bytes: Vec::new(),
            total_bytes: chunk.total_bytes,
            sha256: chunk.sha256.to_vec(),
        })
    }

    /// Returns the part that is there, for a hello.
    pub(crate) fn part(&self) -> SnapshotPart {
        SnapshotPart {
            sha256: self.sha256.clone().into(),
            total_bytes: self.total_bytes,
            // An authority that still has the same snapshot goes on from here.
            offset: self.bytes.len() as u64,
        }
    }

    /// Adds a chunk. Returns the view after the last one.
    pub(crate) fn add(&mut self, chunk: &SnapshotChunk) -> Result<Option<View>, ProtocolError> {
        if !self.continues_with(chunk) {
            return Err(ProtocolError::BadSnapshot);
        }
        self.bytes.extend_from_slice(&chunk.data);
        if (self.bytes.len() as u64) < self.total_bytes {
            return Ok(None);
        }

        // The chunks' own checksums cannot tell that chunks of two snapshots were mixed.
        if sha256(&self.bytes)[..] != self.sha256[..] {
            return Err(ProtocolError::BadSnapshot);
        }
        match View::decode(std::mem::take(&mut self.bytes).into()) {
            Ok(view) => Ok(Some(view)),
            Err(_) => Err(ProtocolError::BadSnapshot),
        }
    }

    fn continues_with(&self, chunk: &SnapshotChunk) -> bool {
        let received = self.bytes.len() as u64;
        // An empty chunk is refused: an authority that sends them forever would count as one that makes progress.
        chunk.total_bytes == self.total_bytes
            && chunk.sha256[..] == self.sha256[..]
            && chunk.offset == received
            && !chunk.data.is_empty()
            && received + chunk.data.len() as u64 <= self.total_bytes
    }
}

#[cfg(test)]
mod tests {
    use portcullis_contract::{
        delta::{self, Change, Scope},
        id::Serial,
        key::{CredentialKind, KeyId},
        position::{Incarnation, Revision},
        view::Frame,
    };

    use super::*;

    /// With all that a view must not forget, the last of it at its end.
    fn view() -> View {
        let credential = CredentialKind::Session;
        let changes = [
            Change::Revoke {
                credential,
                serials: vec![Serial(7)],
            },
            Change::Cut {
                credential,
                scope: Scope::Everyone,
                exempt: Some(Serial(9)),
            },
            Change::Distrust(KeyId::parse("stolen").expect("an id")),
            Change::Distrust(KeyId::parse("older").expect("an id")),
        ];
        let delta = delta::encode(&changes, Vec::new());
        let frame = Frame {
            revision: Revision(1),
            delta,
            audit_digest: [0; 32],
        };
        View::empty(Incarnation([1; 16]))
            .apply(&frame)
            .expect("the first batch")
    }

    fn whole() -> SnapshotChunk {
        let data = view().encode();
        SnapshotChunk {
            total_bytes: data.len() as u64,
            sha256: sha256(&data).to_vec().into(),
            offset: 0,
            data,
            ..Default::default()
        }
    }

    fn assemble(chunks: &[SnapshotChunk]) -> Result<Option<View>, ProtocolError> {
        let mut assembly = Assembly::begin(&chunks[0], 1 << 20)?;
        chunks.iter().try_fold(None, |_, chunk| assembly.add(chunk))
    }

    fn changed(change: impl FnOnce(&mut SnapshotChunk)) -> Result<Option<View>, ProtocolError> {
        let mut chunk = whole();
        change(&mut chunk);
        assemble(&[chunk])
    }

    fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    }

    #[test]
    fn a_snapshot_cut_off_anywhere_gives_no_view() {
        assert!(matches!(changed(|_| {}), Ok(Some(_))));
        for length in 0..whole().data.len() {
            assert!(
                !matches!(changed(|chunk| chunk.data.truncate(length)), Ok(Some(_))),
                "{length} bytes"
            );
            let shorter = |chunk: &mut SnapshotChunk| {
                chunk.data.truncate(length);
                chunk.total_bytes = length as u64;
            };
            assert!(
                changed(shorter).is_err(),
                "{length} bytes that say they are all"
            );
        }
    }

    #[test]
    fn a_snapshot_with_any_bit_flipped_gives_no_view() {
        for bit in 0..whole().data.len() * 8 {
            assert!(
                changed(|chunk| chunk.data = flipped(&chunk.data, bit).into()).is_err(),
                "bit {bit}"
            );
        }
        for bit in 0..whole().sha256.len() * 8 {
            assert!(changed(|chunk| chunk.sha256 = flipped(&chunk.sha256, bit).into()).is_err());
        }
        for bit in 0..64 {
            assert!(!matches!(
                changed(|chunk| chunk.total_bytes ^= 1 << bit),
                Ok(Some(_))
            ));
            assert!(changed(|chunk| chunk.offset ^= 1 << bit).is_err());
        }
    }

    #[test]
    fn chunks_of_two_snapshots_give_no_view() {
        let whole = whole();
        let half = whole.data.len() / 2;
        let first = SnapshotChunk {
            data: whole.data.slice(..half),
            ..whole.clone()
        };
        let second = SnapshotChunk {
            data: whole.data.slice(half..),
            offset: half as u64,
            ..whole.clone()
        };
        assert!(matches!(
            assemble(&[first.clone(), second.clone()]),
            Ok(Some(_))
        ));
        let foreign = SnapshotChunk {
            sha256: sha256(b"another").to_vec().into(),
            ..second.clone()
        };
        for chunks in [[&first, &first], [&first, &foreign], [&second, &first]] {
            assert!(assemble(&chunks.map(Clone::clone)).is_err());
        }
    }
}
