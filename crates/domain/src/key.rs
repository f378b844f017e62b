//! Signing keys as the store keeps them.

use std::time::Duration;

use portcullis_contract::key::{Algorithm, CredentialKind, KeyId};

use super::{Micros, time::span};

/// A key whose creation lies further in the future than this was made by a wrong clock, and is corrected.
pub const KEY_AHEAD_MAX: Duration = Duration::from_secs(5 * 60);

/// A signing key to be trusted.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// The `kid`.
    pub id: KeyId,
    /// The kind of token that it signs.
    pub credential: CredentialKind,
    /// The one algorithm that it signs with.
    pub algorithm: Algorithm,
    /// The public key as the log carries it.
    pub public: Vec<u8>,
    /// The private key, sealed by the master key.
    pub sealed: Vec<u8>,
    /// The time from its creation to its first signature. Gates learn the key meanwhile.
    pub activation_delay: Duration,
}

/// A stored signing key.
#[derive(Clone, Debug)]
pub struct KeyRecord {
    /// The `kid`.
    pub id: KeyId,
    /// The kind of token that it signs.
    pub credential: CredentialKind,
    /// The one algorithm that it signs with.
    pub algorithm: Algorithm,
    /// The private key, sealed by the master key.
    pub sealed: Vec<u8>,
    /// The time of creation.
    pub created: Micros,
    /// The time from which it signs, unless a newer key does.
    pub signs_from: Micros,
    /// The time when trust in it ended.
    pub retired: Option<Micros>,
}

/// The key that signs tokens of a kind at `now`: the newest trusted key whose activation has passed. As long as any key of
/// the kind is trusted, one signs.
#[must_use]
pub fn current_key<'a>(
    keys: impl IntoIterator<Item = &'a KeyRecord>,
    credential: CredentialKind,
    now: Micros,
) -> Option<&'a KeyRecord> {
    let mut newest_active: Option<&KeyRecord> = None;
    let mut oldest: Option<&KeyRecord> = None;
    for key in keys {
        if key.credential != credential || key.retired.is_some() {
            continue;
        }
        let is_active = key.signs_from <= now;
        // Ties go to the later row. Authorities read the keys in the same order, so they agree on the key that signs.
        if is_active && newest_active.is_none_or(|newest| order(key) >= order(newest)) {
            newest_active = Some(key);
        }
        if oldest.is_none_or(|oldest| order(key) < order(oldest)) {
            oldest = Some(key);
        }
    }

    // Without an active key the clock was ahead when the keys were created and is not any more. The oldest key then signs:
    // gates have known it for longest.
    newest_active.or(oldest)
}

fn order(key: &KeyRecord) -> (Micros, Micros) {
    (key.signs_from, key.created)
}

/// The period in which `key` may have signed. Everything that it signed was issued then. No end while it may still sign.
#[must_use]
pub fn signing_window(keys: &[KeyRecord], key: &KeyRecord) -> (Micros, Option<Micros>) {
    // Not from `signs_from`: without an active key, `current_key` lets a key sign before its time. Nor from its creation:
    // if the clock was ahead then and was set back by less than the tolerance, the key signs before that too.
    let from = Micros(key.created.0.saturating_sub(span(KEY_AHEAD_MAX)));
    let mut until: Option<Micros> = None;
    for other in keys {
        // Strictly later: with equal times either key may have signed, so the window stays open.
        let is_later = other.credential == key.credential
            && other.id != key.id
            && other.signs_from > key.signs_from;
        if !is_later {
            continue;
        }
        // A later key that was retired may have handed the signing back to this one.
        if other.retired.is_some() {
            return (from, None);
        }
        let signs_from = other.signs_from;
        until = Some(until.map_or(signs_from, |until| until.min(signs_from)));
    }
    (from, until)
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
        keys.reverse();
        assert_eq!(current(&keys, 2_000), Some("new"), "in any order of rows");
        assert_eq!(current(&keys, 10), Some("old"));
        keys.reverse();
        keys[0].retired = Some(Micros(5));
        assert_eq!(current(&keys, 10), Some("new"));
        keys[1].retired = Some(Micros(5));
        assert_eq!(current(&keys, 3_000), None);
    }

    #[test]
    fn of_two_keys_of_one_time_all_authorities_choose_the_same() {
        let keys = [key("first", 1_000), key("second", 1_000)];
        assert_eq!(current(&keys, 1_000), Some("second"));
        assert_eq!(current(&keys, 999), Some("first"), "none is active");
    }

    #[test]
    fn a_key_is_corrected_when_its_clock_was_five_minutes_ahead() {
        assert_eq!(KEY_AHEAD_MAX, Duration::from_secs(300));
    }

    #[test]
    fn a_key_has_signed_until_a_later_one_did() {
        let tolerance = span(KEY_AHEAD_MAX);
        let (old, new) = (tolerance + 1_000, tolerance + 2_000);
        let mut keys = [key("old", old), key("new", new)];
        let window = signing_window(&keys, &keys[0]);
        assert_eq!(window, (Micros(940), Some(Micros(new))));
        assert_eq!(signing_window(&keys, &keys[1]), (Micros(1_940), None));
        keys[1].retired = Some(Micros(new + 500));
        assert_eq!(signing_window(&keys, &keys[0]), (Micros(940), None));
        // Two keys of one time: either may have signed ever since.
        let keys = [key("one", old), key("two", old)];
        assert_eq!(signing_window(&keys, &keys[0]), (Micros(940), None));
    }

    #[test]
    fn all_that_a_key_signs_falls_into_its_window() {
        let tolerance = span(KEY_AHEAD_MAX);
        let mut keys = [key("old", 2 * tolerance), key("new", 3 * tolerance)];
        keys[1].created = keys[1].signs_from;
        // The clock may be set back by the tolerance after either key was made: no key is corrected then.
        let steps = (tolerance - 60..4 * tolerance).step_by(999_983);
        let edges = [2, 3].map(|times| [times * tolerance - 1, times * tolerance]);
        for now in steps.chain(edges.concat()) {
            let Some(signer) = current_key(&keys, CredentialKind::Session, Micros(now)) else {
                panic!("one signs")
            };
            let (from, until) = signing_window(&keys, signer);
            let is_within = from.0 <= now && until.is_none_or(|until| Micros(now) < until);
            assert!(is_within, "{now} by {:?}", signer.id);
        }
    }
}
