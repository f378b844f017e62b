//! The key of form tokens, and of texts in addresses that only a console can have written.

use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use crate::done::Done;

/// The reader of the page that is read without a session.
pub(crate) const NOBODY: &str = "";
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
        // A key for each purpose: with one key the tag of a sealed text could pass for that of a form
        // token, or the reverse.
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
        // The tag covers the session. So a token that an attacker gets in a session of their own is
        // of no use in a form that another person's browser sends.
        let expected = self.tag(nonce, session_id);
        // In constant time: otherwise a tag could be guessed byte by byte.
        verify_slices_are_equal(expected.as_ref(), tag).is_ok()
    }

    fn tag(&self, nonce: &[u8], session_id: &str) -> hmac::Tag {
        hmac::sign(&self.tokens, &[nonce, session_id.as_bytes()].concat())
    }

    /// Seals an outcome for a reader into a text for an address. Only consoles of the installation can have written it.
    pub(crate) fn seal(&self, reader: &str, done: &Done) -> String {
        let text = serde_json::to_vec(done).unwrap_or_default();
        // Signed and not encrypted, unlike `Seal`: the text has the id of a sentence and counts,
        // and nothing about a person.
        let tag = self.seal_tag(reader, &text);
        let (text, tag) = (
            BASE64_URL_SAFE_NO_PAD.encode(&text),
            // Half of the tag, 128 bits, cannot be guessed either, and keeps the address short.
            BASE64_URL_SAFE_NO_PAD.encode(&tag.as_ref()[..16]),
        );
        format!("{text}.{tag}")
    }

    /// The tag covers the reader, so that nobody can send their own outcome to somebody else, who would take it for theirs.
    fn seal_tag(&self, reader: &str, text: &[u8]) -> hmac::Tag {
        // Neither ids nor this JSON have a line break, so no other reader and text give the same bytes.
        hmac::sign(&self.seals, &[reader.as_bytes(), b"\n", text].concat())
    }

    /// Opens such a text, if it is for this reader.
    pub(crate) fn open(&self, reader: &str, sealed: &str) -> Option<Done> {
        if sealed.len() > SEALED_BYTES_MAX {
            return None;
        }
        let (text, tag) = sealed.split_once('.')?;
        let text = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let tag = BASE64_URL_SAFE_NO_PAD.decode(tag).ok()?;
        // Compared before the text is parsed, so the parser sees only texts of a console.
        let expected = self.seal_tag(reader, &text);
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
        let sealed = key.seal("ada", &done);
        let opened = key.open("ada", &sealed).expect("our own");
        assert_eq!(opened, done);
        assert!(key.open("bob", &sealed).is_none(), "another reader");
        assert!(key.open("", &sealed).is_none(), "nobody");
        let other = FormKey::derive(b"another gate");
        assert!(other.open("ada", &sealed).is_none());
        let (text, tag) = sealed.split_once('.').expect("two parts");
        let forged = key.seal("ada", &Done::new("mine-done-others"));
        let (other, _) = forged.split_once('.').expect("two parts");
        assert!(key.open("ada", &format!("{other}.{tag}")).is_none());
        assert!(key.open("ada", text).is_none());
        assert!(key.open("ada", "").is_none());
    }
}
