//! Authentic checkpoints: a stored view is used only if this installation wrote it.

use portcullis_contract::view::{SnapshotError, View};
use prost::bytes::Bytes;

use super::{MasterKeys, Unsealable};

/// Why stored bytes are not a checkpoint to start from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The master key did not make the code beside it: it was altered, or another installation wrote it.
    #[error("it is not authentic: it was altered, or another installation wrote it")]
    NotAuthentic,
    /// Another master key made the code beside it.
    #[error(transparent)]
    OtherKey(Unsealable),
    /// It is authentic and cannot be read, because a later version wrote it.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

impl MasterKeys {
    /// Reads the view in a checkpoint. Its code is checked before any byte is decoded, because a view with a changed
    /// bit may lack a revocation.
    ///
    /// # Errors
    /// When none of these keys made the code over these bytes, or they are no view.
    pub fn open_checkpoint(&self, checkpoint: Bytes, code: &[u8]) -> Result<View, CheckpointError> {
        // Before anything is decoded: bytes that were altered must not even reach the decoder.
        match self.verify(&checkpoint, code) {
            Ok(()) => {}
            Err(Unsealable::Damaged) => return Err(CheckpointError::NotAuthentic),
            Err(other_key) => return Err(CheckpointError::OtherKey(other_key)),
        }
        Ok(View::decode(checkpoint)?)
    }
}

#[cfg(test)]
mod tests {
    use portcullis_contract::{
        delta::{self, Change},
        id::Serial,
        key::CredentialKind,
        position::{Incarnation, Revision},
        view::Frame,
    };

    use super::*;
    use crate::keys::MasterKey;

    #[test]
    fn a_checkpoint_opens_whole_and_unaltered_only() {
        let master = MasterKeys::from(MasterKey::generate());
        let revoke = Change::Revoke {
            credential: CredentialKind::Session,
            serials: vec![Serial(7)],
        };
        let delta = delta::encode(&[revoke], Vec::new());
        let frame = Frame {
            revision: Revision(1),
            delta,
            audit_digest: [0; 32],
        };
        let bytes = View::empty(Incarnation([1; 16]))
            .apply(&frame)
            .expect("the first batch")
            .encode();
        let code = master.authenticate(&bytes);
        let refused = |bytes: Bytes, code: &[u8]| {
            matches!(
                master.open_checkpoint(bytes, code),
                Err(CheckpointError::NotAuthentic | CheckpointError::OtherKey(_))
            )
        };

        assert_eq!(
            master
                .open_checkpoint(bytes.clone(), &code)
                .expect("whole")
                .encode(),
            bytes
        );
        for length in 0..bytes.len() {
            assert!(refused(bytes.slice(..length), &code));
        }
        for length in 0..code.len() {
            assert!(refused(bytes.clone(), &code[..length]));
        }
        for bit in 0..bytes.len() * 8 {
            assert!(refused(flipped(&bytes, bit).into(), &code));
        }
        for bit in 0..code.len() * 8 {
            assert!(refused(bytes.clone(), &flipped(&code, bit)));
        }
        assert!(refused(
            bytes.clone(),
            &MasterKeys::from(MasterKey::generate()).authenticate(&bytes)
        ));
        assert!(refused([&bytes[..], &[0]].concat().into(), &code));
    }

    #[test]
    fn an_authentic_checkpoint_of_a_later_version_is_not_taken_for_damage() {
        let master = MasterKeys::from(MasterKey::generate());
        // Field 100, which this version does not know.
        let bytes = [
            &View::empty(Incarnation([1; 16])).encode()[..],
            &[0xa0, 6, 1],
        ]
        .concat();
        let code = master.authenticate(&bytes);
        let opened = master.open_checkpoint(bytes.into(), &code);
        assert_eq!(
            opened.err(),
            Some(CheckpointError::Snapshot(SnapshotError::Unknown))
        );
    }

    fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    }
}
