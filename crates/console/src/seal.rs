//! Sealed values: the memory of a page in its address, which nobody else can read or change.
//!
//! A search contains names, and an address is kept in histories and logs. So an address has the search encrypted.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    hmac,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_serving::config::ConfigError;
use serde::{Serialize, de::DeserializeOwned};

use crate::problem::Problem;

/// The longest sealed text that is opened, in bytes: more than any of ours, and less than servers allow an address.
const SEALED_BYTES_MAX: usize = 8_192;
/// Keeps the key apart from other keys of the same secret.
const PURPOSE: &[u8] = b"portcullis console: sealed addresses";

/// Seals values into addresses, and opens them again.
pub(crate) struct Seal(RandomizedNonceKey);

/// The reader and the page to which a sealed value belongs. It opens for no other.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) tenant: &'a str,
    pub(crate) user_id: &'a str,
    pub(crate) page: &'a str,
}

impl Seal {
    /// Derives the key from a secret that all consoles of an installation have, so that each opens the seals of the
    /// others, also after a restart.
    pub(crate) fn derive(secret: &[u8]) -> Result<Self, ConfigError> {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        // A tag of HMAC-SHA256 has 32 bytes, exactly those of a key of AES-256, so it needs no
        // further expansion.
        let key = hmac::sign(&secret, PURPOSE);
        match RandomizedNonceKey::new(&AES_256_GCM, key.as_ref()) {
            Ok(key) => Ok(Self(key)),
            Err(_) => Err(ConfigError::new("authority.bearer", "yields no key")),
        }
    }

    /// Seals a value for a reader and a page.
    pub(crate) fn close<T: Serialize>(
        &self,
        context: Context<'_>,
        value: &T,
    ) -> Result<String, SealFailed> {
        let mut text = serde_json::to_vec(value).map_err(|_| SealFailed)?;
        // The nonce is random and not a counter: all consoles have the same key, and two counters
        // would use a nonce twice, which breaks AES-GCM.
        let nonce = self
            .0
            .seal_in_place_append_tag(context.aad(), &mut text)
            .map_err(|_| SealFailed)?;
        // The nonce is no secret. It stands in front, because `open` needs it before anything else.
        Ok(URL_SAFE_NO_PAD.encode([nonce.as_ref().as_slice(), &text].concat()))
    }

    /// Opens a value. None: it was made for another reader or page, with another secret, or by nobody.
    pub(crate) fn open<T: DeserializeOwned>(
        &self,
        context: Context<'_>,
        sealed: &str,
    ) -> Option<T> {
        // Compared before decoding, so that a huge text costs nothing.
        if sealed.len() > SEALED_BYTES_MAX {
            return None;
        }
        let mut bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, text) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let opened = self.0.open_in_place(nonce, context.aad(), text).ok()?;
        // An older console may have sealed another form of the value. Its page then begins anew, as
        // for a seal that does not open.
        serde_json::from_slice(opened).ok()
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Seal")
    }
}

impl Context<'_> {
    // No id contains a zero byte, so that no two contexts have the same text. The session is not part of it: whoever signs
    // in again in the middle of a search comes back to the search.
    fn aad(self) -> Aad<Vec<u8>> {
        let parts = [self.tenant, self.user_id, self.page];
        Aad::from(parts.join("\0").into_bytes())
    }
}

/// A value that cannot be sealed. Ours all can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SealFailed;

impl From<SealFailed> for Problem {
    fn from(_: SealFailed) -> Self {
        Self::internal()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: Context<'_> = Context {
        tenant: "acme",
        user_id: "ada",
        page: "users",
    };

    fn seal(secret: &[u8]) -> Seal {
        Seal::derive(secret).expect("a key")
    }

    #[test]
    fn a_sealed_value_opens_for_its_reader_and_page_only() {
        let sealed = seal(b"secret").close(ADA, &"José").expect("sealed");
        let open = |secret, context| seal(secret).open::<String>(context, &sealed);
        // Another console of the installation, or the same one after a restart.
        assert_eq!(open(b"secret", ADA).as_deref(), Some("José"));

        let others = [
            Context {
                user_id: "eve",
                ..ADA
            },
            Context {
                tenant: "other",
                ..ADA
            },
            Context {
                page: "sessions",
                ..ADA
            },
        ];
        for other in others {
            assert_eq!(open(b"secret", other), None);
        }
        assert_eq!(open(b"another", ADA), None);
    }

    #[test]
    fn a_sealed_value_shows_nothing_and_cannot_be_changed() {
        let seal = seal(b"secret");
        let sealed = seal.close(ADA, &"walker").expect("sealed");
        let bytes = URL_SAFE_NO_PAD.decode(&sealed).expect("base64");
        assert!(!bytes.windows(6).any(|window| window == b"walker"));
        assert_ne!(
            sealed,
            seal.close(ADA, &"walker").expect("sealed"),
            "a nonce"
        );

        for index in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[index] ^= 1;
            let changed = URL_SAFE_NO_PAD.encode(changed);
            assert_eq!(seal.open::<String>(ADA, &changed), None, "byte {index}");
            let cut = URL_SAFE_NO_PAD.encode(&bytes[..index]);
            assert_eq!(seal.open::<String>(ADA, &cut), None, "cut at {index}");
        }
        for garbage in ["", "é", "A", &"A".repeat(1 << 20)] {
            assert_eq!(seal.open::<String>(ADA, garbage), None);
        }
    }
}
