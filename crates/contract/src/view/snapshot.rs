//! The encoded view: what a checkpoint holds and a validator without a cursor receives.

use std::{collections::HashSet, sync::Arc};

use prost::{Message, bytes::Bytes};

use super::{Generation, View};
use crate::{
    key::{KeyId, VerificationKey},
    position::Position,
    v1,
};

/// Why bytes are not a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Truncated, altered, or never one.
    #[error("the snapshot is malformed")]
    Malformed,
    /// Written by a later version: something in it has no meaning here.
    #[error("the snapshot holds something this version does not know")]
    Unknown,
}

impl View {
    /// The view as bytes: equal views of one process give equal bytes.
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

    /// The view that `bytes` hold, wholly or not at all. Their integrity is checked outside: a chunked snapshot
    /// carries its SHA-256, a checkpoint its authentication code.
    ///
    /// # Errors
    /// When any part of them does not mean anything here.
    pub fn decode(bytes: Bytes) -> Result<Self, SnapshotError> {
        let length = bytes.len();
        let snapshot = v1::Snapshot::decode(bytes).map_err(|_| SnapshotError::Malformed)?;
        // The writer is canonical: a shorter encoding means that something was skipped.
        if snapshot.encoded_len() != length {
            return Err(SnapshotError::Unknown);
        }
        let position =
            Position::from_parts(&snapshot.incarnation, snapshot.revision, &snapshot.chain)
                .map_err(|_| SnapshotError::Malformed)?;
        let view = Self {
            position,
            turns: snapshot.turns,
            sessions: [
                generation(snapshot.current.as_ref())?,
                generation(snapshot.previous.as_ref())?,
            ],
            permanent: generation(snapshot.permanent.as_ref())?,
            trusted: snapshot
                .trusted_keys
                .iter()
                .map(trusted_key)
                .collect::<Result<_, _>>()?,
            distrusted: snapshot
                .distrusted_key_ids
                .iter()
                .map(|id| key_id(id))
                .collect::<Result<_, _>>()?,
        };
        view.with_each_key_once()
    }

    /// A key is trusted or distrusted, and one `kid` is one key.
    fn with_each_key_once(self) -> Result<Self, SnapshotError> {
        let mut ids = HashSet::new();
        let mut all = self
            .trusted
            .iter()
            .map(|key| &key.id)
            .chain(&self.distrusted);
        match all.all(|id| ids.insert(id)) {
            true => Ok(self),
            false => Err(SnapshotError::Malformed),
        }
    }
}

fn generation(generation: Option<&v1::Generation>) -> Result<Generation, SnapshotError> {
    Generation::decode(generation.ok_or(SnapshotError::Malformed)?)
}

fn trusted_key(key: &v1::TrustedKey) -> Result<Arc<VerificationKey>, SnapshotError> {
    VerificationKey::try_from(key)
        .map(Arc::new)
        .map_err(|_| SnapshotError::Unknown)
}

fn key_id(id: &str) -> Result<KeyId, SnapshotError> {
    KeyId::parse(id).map_err(|_| SnapshotError::Malformed)
}
