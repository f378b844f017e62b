//! Refresh tokens: the only authentic text is the one that is derived.

use portcullis_authority::{domain::TokenSubject, keys::RefreshKey};
use portcullis_contract::id::SessionId;

use crate::Seed;

const SALT: [u8; 16] = [3; 16];

fn key() -> RefreshKey {
    RefreshKey::new(1, b"a secret of the fuzzer's")
}

/// Throws bytes at the reader.
pub fn check(data: &[u8]) -> bool {
    let Ok(token) = std::str::from_utf8(data) else {
        return false;
    };
    let (key, read) = (key(), key().read(token));
    let derived = read.is_ok_and(|subject| key.derive(subject, &SALT) == token);
    assert_eq!(
        key.is_authentic(token, &SALT),
        derived,
        "a text that was not derived is authentic, or the reverse"
    );
    derived
}

/// Good tokens, and some of other keys, salts and forms.
pub fn seeds() -> Vec<Seed> {
    let subject = |generation| TokenSubject {
        session_id: SessionId::from_bytes([7; 16]),
        generation,
    };
    let good = key().derive(subject(1), &SALT);
    vec![
        Seed::bad(
            "other-number",
            RefreshKey::new(2, b"a secret of the fuzzer's").derive(subject(1), &SALT),
        ),
        Seed::bad("other-salt", key().derive(subject(1), &[4; 16])),
        Seed::bad(
            "other-secret",
            RefreshKey::new(1, b"another").derive(subject(1), &SALT),
        ),
        Seed::bad("truncated", &good[..good.len() - 1]),
        Seed::bad("no-prefix", &good[4..]),
        Seed::good("last", key().derive(subject(u64::MAX), &SALT)),
        Seed::good("good", good),
    ]
}
