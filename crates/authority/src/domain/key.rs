//! Signing keys as the store keeps them.

use std::time::Duration;

use portcullis_contract::key::{Algorithm, CredentialKind, KeyId};

use super::Micros;

/// A signing key to be made trusted.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Its `kid`.
    pub id: KeyId,
    /// What it signs.
    pub credential: CredentialKind,
    /// Its one algorithm.
    pub algorithm: Algorithm,
    /// The public key as the log carries it.
    pub public: Vec<u8>,
    /// The private key, sealed by the master key.
    pub sealed: Vec<u8>,
    /// How long after its creation it signs, so that gates know it first.
    pub activation_delay: Duration,
}

/// A stored signing key.
#[derive(Clone, Debug)]
pub struct KeyRecord {
    /// Its `kid`.
    pub id: KeyId,
    /// What it signs.
    pub credential: CredentialKind,
    /// Its one algorithm.
    pub algorithm: Algorithm,
    /// The private key, sealed by the master key.
    pub sealed: Vec<u8>,
    /// When it was made.
    pub created: Micros,
    /// From when it signs, unless a newer one does.
    pub signs_from: Micros,
    /// When trust in it ended.
    pub retired: Option<Micros>,
}

/// The key that signs tokens of a kind at `now`: the newest that is old enough and still trusted.
#[must_use]
pub fn current_key<'a>(
    keys: impl IntoIterator<Item = &'a KeyRecord>,
    credential: CredentialKind,
    now: Micros,
) -> Option<&'a KeyRecord> {
    let of_kind = keys.into_iter().filter(|key| key.credential == credential);
    let fit = of_kind.filter(|key| key.retired.is_none() && key.signs_from <= now);
    fit.max_by_key(|key| (key.signs_from, key.created))
}
