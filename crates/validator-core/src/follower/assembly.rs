//! A snapshot in the making.

use portcullis_contract::{
    position::sha256,
    v1::{SnapshotChunk, SnapshotPart},
    view::View,
};

use super::follower::ProtocolError;

/// The pieces received so far. What is in force stays in force until the whole is there and checked. A stream that ends
/// leaves them to the next one, which asks for the rest.
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
        Ok(Self {
            bytes: Vec::new(),
            total_bytes: chunk.total_bytes,
            sha256: chunk.sha256.to_vec(),
        })
    }

    /// The part that is there, for a hello.
    pub(super) fn part(&self) -> SnapshotPart {
        SnapshotPart {
            sha256: self.sha256.clone().into(),
            total_bytes: self.total_bytes,
            offset: self.bytes.len() as u64,
        }
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
