//! Refresh tokens. They are derived and not stored, so a stolen database holds none.

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_contract::id::SessionId;

use crate::domain::{Micros, SecretKind, SecretRecord, TokenSubject, current_secret};

const BODY_BYTES: usize = 1 + 16 + 8;
const TAG_BYTES: usize = 32;

/// The key that refresh tokens are derived with. A token carries the key's number, so that a new key can replace it.
pub struct RefreshKey {
    number: u8,
    key: hmac::Key,
}

/// All keys of refresh tokens, at one time: one derives, and those before it still prove their tokens.
pub struct RefreshKeys {
    /// Every secret of the kind, also retired ones.
    records: Vec<SecretRecord>,
    /// The keys of those that are not retired.
    keys: Vec<RefreshKey>,
}

impl RefreshKeys {
    /// The keys of these secrets. `records` may also have secrets of another kind.
    pub(super) fn new(records: &[SecretRecord], keys: Vec<RefreshKey>) -> Self {
        let mut own = Vec::new();
        for record in records {
            if record.id.kind == SecretKind::Refresh {
                own.push(record.clone());
            }
        }
        Self { records: own, keys }
    }

    /// Derives the token of a session's generation, by the key that makes tokens at `now`. None: every key is retired.
    #[must_use]
    pub fn derive(&self, subject: TokenSubject, salt: &[u8; 16], now: Micros) -> Option<String> {
        let current = current_secret(&self.records, SecretKind::Refresh, now)?;
        let key = self.key(current.id.number)?;
        Some(key.derive(subject, salt))
    }

    /// Reads the session and generation that a token claims. They prove nothing before [`is_authentic`](Self::is_authentic).
    ///
    /// # Errors
    /// When it is malformed, or of a key that is retired or unknown.
    pub fn read(&self, token: &str) -> Result<TokenSubject, RefreshTokenError> {
        let number = number_of(token).ok_or(RefreshTokenError)?;
        self.key(number).ok_or(RefreshTokenError)?.read(token)
    }

    /// Returns true if the key whose number the token carries derived it for the session with this salt.
    #[must_use]
    pub fn is_authentic(&self, token: &str, salt: &[u8; 16]) -> bool {
        let key = number_of(token).and_then(|number| self.key(number));
        key.is_some_and(|key| key.is_authentic(token, salt))
    }

    /// Returns true if the token has the form of a refresh token and the number of a key that was unknown when these were
    /// read. Another authority may have made that key since.
    pub(super) fn lacks_key_of(&self, token: &str) -> bool {
        let Some(number) = number_of(token) else {
            return false;
        };
        !self.records.iter().any(|record| record.id.number == number)
    }

    fn key(&self, number: u8) -> Option<&RefreshKey> {
        self.keys.iter().find(|key| key.number == number)
    }
}

/// The number of the key that a token carries. None: it is no refresh token.
fn number_of(token: &str) -> Option<u8> {
    decode(token).map(|bytes| bytes[0])
}

/// A token that is not a refresh token of this key. It does not tell why, because an attacker would learn from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the refresh token is not valid")]
pub struct RefreshTokenError;

impl RefreshKey {
    /// The beginning of every refresh token. No access token has it.
    pub const PREFIX: &str = "prt_";

    /// Makes the key with this number.
    #[must_use]
    pub fn new(number: u8, secret: &[u8]) -> Self {
        Self {
            number,
            key: hmac::Key::new(hmac::HMAC_SHA256, secret),
        }
    }

    /// Derives the token of a session's generation.
    #[must_use]
    pub fn derive(&self, subject: TokenSubject, salt: &[u8; 16]) -> String {
        let body = self.body(subject);
        // The salt is in the session's row only. Without that row nobody can derive the token, not even with the key.
        let tag = hmac::sign(&self.key, &message(&body, salt));
        let text = URL_SAFE_NO_PAD.encode([&body, tag.as_ref()].concat());
        format!("{}{text}", Self::PREFIX)
    }

    /// Reads the session and generation that a token claims. They prove nothing before [`is_authentic`](Self::is_authentic).
    ///
    /// # Errors
    /// When it is malformed, or of another key.
    pub fn read(&self, token: &str) -> Result<TokenSubject, RefreshTokenError> {
        let bytes = decode(token).ok_or(RefreshTokenError)?;
        // The length was checked, so no index below can be out of bounds.
        if bytes[0] != self.number {
            return Err(RefreshTokenError);
        }
        let session = bytes[1..17].try_into().expect("16 bytes");
        let generation = bytes[17..25].try_into().expect("8 bytes");
        Ok(TokenSubject {
            session_id: SessionId::from_bytes(session),
            generation: u64::from_be_bytes(generation),
        })
    }

    /// Returns true if this key derived the token for the session with this salt. Takes the same time for every code.
    #[must_use]
    pub fn is_authentic(&self, token: &str, salt: &[u8; 16]) -> bool {
        let Some(bytes) = decode(token) else {
            return false;
        };
        let (body, tag) = bytes.split_at(BODY_BYTES);
        // `verify` compares in constant time: a guesser learns nothing from how long a refusal takes.
        body[0] == self.number && hmac::verify(&self.key, &message(body, salt), tag).is_ok()
    }

    fn body(&self, subject: TokenSubject) -> Vec<u8> {
        [
            &[self.number][..],
            &subject.session_id.to_bytes(),
            &subject.generation.to_be_bytes(),
        ]
        .concat()
    }
}

fn message(body: &[u8], salt: &[u8; 16]) -> Vec<u8> {
    // The text in front keeps a tag of this key from being one for another use of it.
    [b"portcullis refresh token", body, salt].concat()
}

fn decode(token: &str) -> Option<Vec<u8>> {
    let text = token.strip_prefix(RefreshKey::PREFIX)?;
    // Compared before decoding, so that a megabyte of garbage costs nothing.
    if text.len() != (BODY_BYTES + TAG_BYTES) * 4 / 3 {
        return None;
    }
    // The bytes fill whole groups of base64. So no bits are left over, and each token has one spelling.
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    (bytes.len() == BODY_BYTES + TAG_BYTES).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::SecretId;

    fn record(number: u8, makes_from: i64) -> SecretRecord {
        SecretRecord {
            id: SecretId {
                kind: SecretKind::Refresh,
                number,
            },
            sealed: Vec::new(),
            created: Micros(0),
            makes_from: Micros(makes_from),
            retired: None,
        }
    }

    #[test]
    fn a_token_of_an_older_key_is_good_until_that_key_is_retired() {
        let subject = TokenSubject {
            session_id: SessionId::generate(),
            generation: 7,
        };
        let salt = [1; 16];
        let mut records = [record(1, 0), record(2, 100)];
        let keys = |records: &[SecretRecord]| {
            let mut keys = Vec::new();
            for record in records.iter().filter(|record| record.retired.is_none()) {
                keys.push(RefreshKey::new(record.id.number, &[record.id.number; 32]));
            }
            RefreshKeys::new(records, keys)
        };
        let both = keys(&records);
        let old = both.derive(subject, &salt, Micros(99)).expect("a key");
        let new = both.derive(subject, &salt, Micros(100)).expect("a key");
        assert_ne!(old, new, "the new key derives from its time on");
        for token in [&old, &new] {
            assert_eq!(both.read(token), Ok(subject));
            assert!(both.is_authentic(token, &salt) && !both.is_authentic(token, &[2; 16]));
        }

        records[0].retired = Some(Micros(200));
        let after = keys(&records);
        assert!(after.read(&old).is_err() && !after.is_authentic(&old, &salt));
        assert!(after.is_authentic(&new, &salt));
        // A retired key is known to be gone: nobody need look for it.
        assert!(!after.lacks_key_of(&old));

        let before = keys(&records[1..]);
        assert!(before.lacks_key_of(&old), "an authority that has not heard");
        assert!(before.read(&old).is_err());
        assert!(!before.lacks_key_of("prt_") && !before.lacks_key_of(&old[..20]));
    }

    #[test]
    fn a_refresh_token_is_good_whole_for_its_session_salt_and_key_only() {
        let key = RefreshKey::new(1, b"secret");
        let subject = TokenSubject {
            session_id: SessionId::generate(),
            generation: 7,
        };
        let token = key.derive(subject, &[1; 16]);
        assert_eq!(key.read(&token), Ok(subject));
        assert!(key.is_authentic(&token, &[1; 16]));
        assert!(!key.is_authentic(&token, &[2; 16]));
        assert!(!RefreshKey::new(1, b"other").is_authentic(&token, &[1; 16]));
        let renumbered = RefreshKey::new(2, b"secret");
        assert!(renumbered.read(&token).is_err() && !renumbered.is_authentic(&token, &[1; 16]));
        for index in 0..token.len() {
            assert!(
                key.read(&token[..index]).is_err() && !key.is_authentic(&token[..index], &[1; 16])
            );
        }
        for bit in 0..token.len() * 8 {
            let mut flipped = token.clone().into_bytes();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // A request's strings are text; what is not does not get here.
            let Ok(flipped) = String::from_utf8(flipped) else {
                continue;
            };
            assert!(!key.is_authentic(&flipped, &[1; 16]), "bit {bit}");
        }
        for garbage in ["", "prt_", "é", &"A".repeat(1 << 20)] {
            assert!(key.read(garbage).is_err() && !key.is_authentic(garbage, &[1; 16]));
        }
    }
}
