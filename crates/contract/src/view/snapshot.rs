//! The encoded view: the content of a checkpoint, and the first message for a validator without a cursor.

use std::{collections::HashSet, sync::Arc};

use prost::{Message, bytes::Bytes};

use super::{Generation, SnapshotError, View};
use crate::{
    key::{KeyId, VerificationKey},
    position::Position,
    v1,
};

impl View {
    /// Encodes the view. Equal views of one process give equal bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let [current, previous] = &self.sessions;
        let snapshot = v1::Snapshot {
            incarnation: self.position.incarnation.0.to_vec().into(),
            revision: self.position.revision.0,
            chain: self.position.chain.0.to_vec().into(),
            turns: self.turns,
            current: Some(current.encode()),
            previous: Some(previous.encode()),
            permanent: Some(self.permanent.encode()),
            trusted_keys: self
                .trusted
                .iter()
                .map(|key| v1::TrustedKey::from(&**key))
                .collect(),
            distrusted_key_ids: self.distrusted.iter().map(ToString::to_string).collect(),
        };
        snapshot.encode_to_vec().into()
    }

    /// Decodes a view, wholly or not at all.
    ///
    /// The caller checks integrity: a chunked snapshot carries its SHA-256, a checkpoint its authentication code.
    ///
    /// # Errors
    /// When a part of the bytes has no meaning here.
    pub fn decode(bytes: Bytes) -> Result<Self, SnapshotError> {
        let length = bytes.len();
        let snapshot = v1::Snapshot::decode(bytes).map_err(|_| SnapshotError::Malformed)?;
        // prost skips fields that it does not know. The writer is canonical, so a shorter encoding gives that away.
        if snapshot.encoded_len() != length {
            return Err(SnapshotError::Unknown);
        }

        // The lengths are checked here, so that a position always has them.
        let position =
            Position::from_parts(&snapshot.incarnation, snapshot.revision, &snapshot.chain)
                .map_err(|_| SnapshotError::Malformed)?;
        let view = Self {
            position,
            turns: snapshot.turns,
            sessions: [
                decode_generation(snapshot.current.as_ref())?,
                decode_generation(snapshot.previous.as_ref())?,
            ],
            permanent: decode_generation(snapshot.permanent.as_ref())?,
            trusted: decode_trusted(&snapshot.trusted_keys)?,
            distrusted: decode_distrusted(&snapshot.distrusted_key_ids)?,
        };
        view.check_keys()?;
        Ok(view)
    }

    /// Checks that each `kid` stands once: a key is either trusted or distrusted, and one `kid` is one key.
    fn check_keys(&self) -> Result<(), SnapshotError> {
        // A snapshot that both trusts and distrusts a key would leave it to the order of checks which one counts.
        let mut ids = HashSet::new();
        for key in &self.trusted {
            if !ids.insert(&key.id) {
                return Err(SnapshotError::Malformed);
            }
        }
        for id in &self.distrusted {
            if !ids.insert(id) {
                return Err(SnapshotError::Malformed);
            }
        }
        Ok(())
    }
}

fn decode_generation(generation: Option<&v1::Generation>) -> Result<Generation, SnapshotError> {
    Generation::decode(generation.ok_or(SnapshotError::Malformed)?)
}

fn decode_trusted(keys: &[v1::TrustedKey]) -> Result<Vec<Arc<VerificationKey>>, SnapshotError> {
    let mut trusted = Vec::with_capacity(keys.len());
    for key in keys {
        // A later version may know more algorithms. A gate that skipped the key would refuse its tokens.
        let key = VerificationKey::try_from(key).map_err(|_| SnapshotError::Unknown)?;
        trusted.push(Arc::new(key));
    }
    Ok(trusted)
}

fn decode_distrusted(ids: &[String]) -> Result<Vec<KeyId>, SnapshotError> {
    let mut distrusted = Vec::with_capacity(ids.len());
    for id in ids {
        distrusted.push(KeyId::parse(id).map_err(|_| SnapshotError::Malformed)?);
    }
    Ok(distrusted)
}
