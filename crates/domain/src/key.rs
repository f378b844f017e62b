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
///
/// When none is old enough, the clock was ahead when the keys were made and is not any more: then the oldest signs,
/// which gates have known for longest. As long as a key is trusted there is one that signs.
#[must_use]
pub fn current_key<'a>(
    keys: impl IntoIterator<Item = &'a KeyRecord>,
    credential: CredentialKind,
    now: Micros,
) -> Option<&'a KeyRecord> {
    let of_kind = keys.into_iter().filter(|key| key.credential == credential);
    let trusted: Vec<_> = of_kind.filter(|key| key.retired.is_none()).collect();
    let fit = trusted.iter().filter(|key| key.signs_from <= now);
    let newest = fit.max_by_key(|key| (key.signs_from, key.created));
    let oldest = trusted
        .iter()
        .min_by_key(|key| (key.signs_from, key.created));
    newest.or(oldest).copied()
}

/// From when, and until when, `key` can have signed: what it signed was made then. No end while it may sign still.
#[must_use]
pub fn signing_window(keys: &[KeyRecord], key: &KeyRecord) -> (Micros, Option<Micros>) {
    let others = keys
        .iter()
        .filter(|other| other.credential == key.credential && other.id != key.id);
    let later: Vec<_> = others
        .filter(|other| other.signs_from > key.signs_from)
        .collect();
    // A later key that was retired may have given the signing back.
    if later.iter().any(|other| other.retired.is_some()) {
        return (key.created, None);
    }
    let until = later.iter().map(|other| other.signs_from).min();
    (key.created, until)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str, signs_from: i64) -> KeyRecord {
        KeyRecord {
            id: KeyId::parse(id).expect("an id"),
            credential: CredentialKind::Session,
            algorithm: Algorithm::Ed25519,
            sealed: Vec::new(),
            created: Micros(signs_from - 60),
            signs_from: Micros(signs_from),
            retired: None,
        }
    }

    fn current(keys: &[KeyRecord], now: i64) -> Option<&str> {
        current_key(keys, CredentialKind::Session, Micros(now)).map(|key| key.id.as_str())
    }

    #[test]
    fn while_a_key_is_trusted_there_is_one_that_signs() {
        let mut keys = [key("old", 1_000), key("new", 2_000)];
        assert_eq!(current(&keys, 2_000), Some("new"));
        assert_eq!(current(&keys, 1_999), Some("old"));
        assert_eq!(current(&keys, 10), Some("old"), "the clock was ahead");
        keys[0].retired = Some(Micros(5));
        assert_eq!(current(&keys, 10), Some("new"));
        keys[1].retired = Some(Micros(5));
        assert_eq!(current(&keys, 3_000), None);
    }

    #[test]
    fn a_key_has_signed_until_a_later_one_did() {
        let mut keys = [key("old", 1_000), key("new", 2_000)];
        let window = signing_window(&keys, &keys[0]);
        assert_eq!(window, (Micros(940), Some(Micros(2_000))));
        assert_eq!(signing_window(&keys, &keys[1]), (Micros(1_940), None));
        keys[1].retired = Some(Micros(2_500));
        assert_eq!(signing_window(&keys, &keys[0]), (Micros(940), None));
    }
}
