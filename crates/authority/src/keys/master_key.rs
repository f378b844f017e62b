//! A master key, which seals secrets that the store keeps.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    hkdf, hmac,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use crate::store::MASTER_KEY_ID_BYTES;

/// What a token or a server derives a master key from: HMAC-SHA-256 by its own key over this text. Another text is
/// another master key.
pub(super) const DERIVED_FROM: &[u8] = b"portcullis master key";

/// 32 random bytes. They and the store together can sign tokens; neither alone can.
pub struct MasterKey {
    bytes: Zeroizing<[u8; 32]>,
    id: MasterKeyId,
}

/// The name of a master key. It is derived from the key, and tells nothing about it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MasterKeyId(pub [u8; MASTER_KEY_ID_BYTES]);

impl fmt::Display for MasterKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for MasterKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Bytes that are not whole, or that this key did not seal for this purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotOpened;

impl MasterKey {
    /// Makes a random key.
    #[must_use]
    pub fn generate() -> Self {
        Self::new(Zeroizing::new(super::random()))
    }

    /// Reads the base64 form; white space around it is ignored.
    #[must_use]
    pub fn from_base64(text: &str) -> Option<Self> {
        // An editor or `echo` puts a line break after the key.
        let bytes = Zeroizing::new(STANDARD.decode(text.trim()).ok()?);
        Some(Self::new(Zeroizing::new(bytes.as_slice().try_into().ok()?)))
    }

    /// The key that a token or a server derived from one of its own. None: it is not of 32 bytes.
    pub(super) fn from_derived(bytes: &[u8]) -> Option<Self> {
        Some(Self::new(Zeroizing::new(bytes.try_into().ok()?)))
    }

    fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        let derived = derive(&bytes, "id");
        let (id, _) = derived.split_first_chunk().expect("32 bytes");
        Self {
            id: MasterKeyId(*id),
            bytes,
        }
    }

    /// Its name, which sealed bytes carry.
    #[must_use]
    pub fn id(&self) -> MasterKeyId {
        self.id
    }

    /// Returns true if all bytes are equal, as in a file of zeros. Such a key was not made at random.
    pub(crate) fn is_constant(&self) -> bool {
        self.bytes.iter().all(|byte| *byte == self.bytes[0])
    }

    /// The base64 form, for a key file.
    #[must_use]
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.bytes.as_slice()))
    }

    /// Seals `secret` for `purpose`. It opens for no other purpose.
    pub(super) fn seal(&self, purpose: &str, secret: &[u8]) -> Vec<u8> {
        // The purpose is authenticated with the secret, so a sealed secret cannot be moved into the place of another.
        let mut sealed = secret.to_vec();
        let nonce = self
            .aead()
            .seal_in_place_append_tag(Aad::from(purpose), &mut sealed)
            .expect("a random nonce and a short text always seal");
        [&self.id.0[..], nonce.as_ref(), &sealed].concat()
    }

    /// Opens sealed bytes, which begin with the id of this key.
    pub(super) fn open(
        &self,
        purpose: &str,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, NotOpened> {
        // A stored value may be of any length after damage; it must be refused and not panic.
        let sealed = sealed.strip_prefix(&self.id.0[..]).ok_or(NotOpened)?;
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN).ok_or(NotOpened)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| NotOpened)?;
        let mut text = Zeroizing::new(sealed.to_vec());
        let length = self
            .aead()
            .open_in_place(nonce, Aad::from(purpose), &mut text)
            .map_err(|_| NotOpened)?
            .len();
        // The buffer still ends with the tag, which is no part of the secret.
        text.truncate(length);
        Ok(text)
    }

    /// Makes the code over a checkpoint that only this key can make.
    pub(super) fn authenticate(&self, checkpoint: &[u8]) -> Vec<u8> {
        let code = hmac::sign(&self.checkpoint_key(), checkpoint);
        [&self.id.0[..], code.as_ref()].concat()
    }

    /// Returns true if this key made `code` over `checkpoint`, in constant time.
    pub(super) fn is_authentic(&self, checkpoint: &[u8], code: &[u8]) -> bool {
        let Some(code) = code.strip_prefix(&self.id.0[..]) else {
            return false;
        };
        hmac::verify(&self.checkpoint_key(), checkpoint, code).is_ok()
    }

    /// The key of the codes over heads of the log.
    pub(super) fn head_key(&self) -> Zeroizing<[u8; 32]> {
        self.derive("head")
    }

    fn aead(&self) -> RandomizedNonceKey {
        // All authorities seal with this key and share no counter, so nonces have to be random.
        RandomizedNonceKey::new(&AES_256_GCM, self.derive("seal").as_slice())
            .expect("the key has 32 bytes")
    }

    fn checkpoint_key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.derive("checkpoint").as_slice())
    }

    fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        derive(&self.bytes, purpose)
    }
}

fn derive(master: &[u8; 32], purpose: &str) -> Zeroizing<[u8; 32]> {
    // A key of its own for each purpose: bytes that one purpose reveals tell nothing about another.
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"portcullis master key");
    let root = salt.extract(master);
    let info = [purpose.as_bytes()];
    let output = root
        .expand(&info, hkdf::HKDF_SHA256)
        .expect("32 bytes are one block");
    let mut key = Zeroizing::new([0; 32]);
    output
        .fill(key.as_mut_slice())
        .expect("the key is as long as the output");
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_secret_opens_only_whole_for_its_key_and_purpose() {
        let key = MasterKey::generate();
        let sealed = key.seal("a", b"secret");
        assert_eq!(key.open("a", &sealed).expect("opens").as_slice(), b"secret");
        assert!(key.open("b", &sealed).is_err());
        assert!(MasterKey::generate().open("a", &sealed).is_err());
        for length in 0..sealed.len() {
            assert!(key.open("a", &sealed[..length]).is_err());
            let mut flipped = sealed.clone();
            flipped[length] ^= 1;
            assert!(key.open("a", &flipped).is_err());
        }
    }

    #[test]
    fn the_id_is_the_keys_own_and_stands_before_what_it_makes() {
        let key = MasterKey::generate();
        let again = MasterKey::from_base64(&key.to_base64()).expect("a key");
        assert_eq!(key.id(), again.id());
        assert_ne!(key.id(), MasterKey::generate().id());
        assert!(key.seal("a", b"secret").starts_with(&key.id().0));
        assert!(key.authenticate(b"view").starts_with(&key.id().0));
        // Sixteen digits of hexadecimal, as operators meet it.
        assert_eq!(key.id().to_string().len(), 16);
    }

    #[test]
    fn a_master_key_is_exactly_32_bytes_of_base64() {
        let key = MasterKey::generate();
        assert!(MasterKey::from_base64(&format!(" {}\n", key.to_base64().as_str())).is_some());
        for text in [
            "",
            "short",
            &"A".repeat(42),
            &"A".repeat(64),
            &"?".repeat(44),
        ] {
            assert!(MasterKey::from_base64(text).is_none(), "{text}");
        }
    }
}
