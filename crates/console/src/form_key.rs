//! The key of form tokens, and of texts in addresses that only a console can have written.

use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::done::Done;

/// The most bytes of a sealed text.
const SEALED_BYTES_MAX: usize = 1_024;
/// The bytes that make each token another one. A page is compressed, and a token that were the same in each could be
/// found out by its length.
const NONCE_BYTES: usize = 16;

/// The key of form tokens. All consoles with the same gate credential have the same one, so a form may be answered by
/// another console than the one that made it.
pub(crate) struct FormKey {
    tokens: hmac::Key,
    seals: hmac::Key,
}

fn derived(root: &hmac::Key, purpose: &[u8]) -> hmac::Key {
    let tag = hmac::sign(root, purpose);
    hmac::Key::new(hmac::HMAC_SHA256, tag.as_ref())
}

impl FormKey {
    /// Derives the keys from a secret of the installation, which cannot be found out from them.
    pub(crate) fn derive(secret: &[u8]) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, secret);
        Self {
            tokens: derived(&root, b"portcullis console: form tokens, version 1"),
            seals: derived(&root, b"portcullis console: seals, version 1"),
        }
    }

    /// A new token for forms of a session.
    pub(crate) fn token(&self, session_id: &str) -> String {
        let nonce: [u8; NONCE_BYTES] = portcullis_contract::random();
        let mut token = nonce.to_vec();
        token.extend(self.tag(&nonce, session_id).as_ref());
        BASE64_URL_SAFE_NO_PAD.encode(token)
    }

    /// Whether a token is for forms of this session.
    pub(crate) fn admits(&self, token: &str, session_id: &str) -> bool {
        let Ok(bytes) = BASE64_URL_SAFE_NO_PAD.decode(token) else {
            return false;
        };
        let Some((nonce, tag)) = bytes.split_at_checked(NONCE_BYTES) else {
            return false;
        };
        let expected = self.tag(nonce, session_id);
        // In constant time: otherwise a tag could be guessed byte by byte.
        verify_slices_are_equal(expected.as_ref(), tag).is_ok()
    }

    fn tag(&self, nonce: &[u8], session_id: &str) -> hmac::Tag {
        hmac::sign(&self.tokens, &[nonce, session_id.as_bytes()].concat())
    }

    /// A text for an address that only this console can have written.
    pub(crate) fn seal(&self, done: &Done) -> String {
        let text = serde_json::to_vec(done).unwrap_or_default();
        let tag = hmac::sign(&self.seals, &text);
        let (text, tag) = (
            BASE64_URL_SAFE_NO_PAD.encode(&text),
            BASE64_URL_SAFE_NO_PAD.encode(&tag.as_ref()[..16]),
        );
        format!("{text}.{tag}")
    }

    /// Opens such a text.
    pub(crate) fn open(&self, sealed: &str) -> Option<Done> {
        if sealed.len() > SEALED_BYTES_MAX {
            return None;
        }
        let (text, tag) = sealed.split_once('.')?;
        let text = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let tag = BASE64_URL_SAFE_NO_PAD.decode(tag).ok()?;
        let expected = hmac::sign(&self.seals, &text);
        verify_slices_are_equal(&expected.as_ref()[..16], &tag).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_session_and_its_installation() {
        let key = FormKey::derive(b"gate");
        let token = key.token("ses_1");
        assert!(key.admits(&token, "ses_1"));
        assert!(FormKey::derive(b"gate").admits(&token, "ses_1"));
        assert!(!key.admits(&token, "ses_2"));
        assert!(!FormKey::derive(b"another gate").admits(&token, "ses_1"));
        assert!(!key.admits("", "ses_1"));
        assert!(!key.admits(&token[..token.len() - 2], "ses_1"));
        assert!(!key.admits("not a token", "ses_1"));
        // Each is another one, so that a page tells nothing by its compressed length.
        assert_ne!(token, key.token("ses_1"));
    }

    #[test]
    fn a_seal_opens_only_as_it_was_closed() {
        let key = FormKey::derive(b"gate");
        let done = Done::new("mine-done-one");
        let sealed = key.seal(&done);
        let opened = key.open(&sealed).expect("our own");
        assert_eq!(opened, done);
        assert!(FormKey::derive(b"another gate").open(&sealed).is_none());
        let (text, tag) = sealed.split_once('.').expect("two parts");
        let forged = key.seal(&Done::new("mine-done-others"));
        let (other, _) = forged.split_once('.').expect("two parts");
        assert!(key.open(&format!("{other}.{tag}")).is_none());
        assert!(key.open(text).is_none());
        assert!(key.open("").is_none());
    }
}
