//! The master key, which seals every secret that the store keeps.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    hkdf, hmac,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::HeadCodes;

/// The 32 bytes in `keys.master_key_file`. They and the store together can sign tokens; neither alone can.
pub struct MasterKey(Zeroizing<[u8; 32]>);

/// Sealed bytes that this master key does not open for this purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored secret cannot be opened: is this the installation's master key?")]
pub struct Unsealable;

impl MasterKey {
    /// Makes a random key.
    #[must_use]
    pub fn generate() -> Self {
        Self(Zeroizing::new(super::random()))
    }

    /// Reads the base64 form; white space around it is ignored.
    #[must_use]
    pub fn from_base64(text: &str) -> Option<Self> {
        // An editor or `echo` puts a line break after the key.
        let bytes = Zeroizing::new(STANDARD.decode(text.trim()).ok()?);
        Some(Self(Zeroizing::new(bytes.as_slice().try_into().ok()?)))
    }

    /// Returns true if all bytes are equal, as in a file of zeros. Such a key was not made at random.
    pub(crate) fn is_constant(&self) -> bool {
        self.0.iter().all(|byte| *byte == self.0[0])
    }

    /// The base64 form, for a key file.
    #[must_use]
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.0.as_slice()))
    }

    /// Seals `secret` for `purpose`. It opens for no other purpose.
    #[must_use]
    pub fn seal(&self, purpose: &str, secret: &[u8]) -> Vec<u8> {
        // The purpose is authenticated with the secret, so a sealed secret cannot be moved into the place of another.
        let mut sealed = secret.to_vec();
        let nonce = self
            .aead()
            .seal_in_place_append_tag(Aad::from(purpose), &mut sealed)
            .expect("a random nonce and a short text always seal");
        [&nonce.as_ref()[..], &sealed].concat()
    }

    /// Opens sealed bytes.
    ///
    /// # Errors
    /// When this key did not seal them for this purpose.
    pub fn open(&self, purpose: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unsealable> {
        // A stored value may be of any length after damage; it must be refused and not panic.
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN).ok_or(Unsealable)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unsealable)?;
        let mut text = Zeroizing::new(sealed.to_vec());
        let length = self
            .aead()
            .open_in_place(nonce, Aad::from(purpose), &mut text)
            // A wrong key and altered bytes look the same here, so the error cannot tell them apart.
            .map_err(|_| Unsealable)?
            .len();
        // The buffer still ends with the tag, which is no part of the secret.
        text.truncate(length);
        Ok(text)
    }

    /// Makes the code over a checkpoint that only this key can make.
    #[must_use]
    pub fn authenticate(&self, checkpoint: &[u8]) -> Vec<u8> {
        hmac::sign(&self.checkpoint_key(), checkpoint)
            .as_ref()
            .to_vec()
    }

    /// Returns true if this key made `code` over `checkpoint`, in constant time.
    #[must_use]
    pub fn is_authentic(&self, checkpoint: &[u8], code: &[u8]) -> bool {
        hmac::verify(&self.checkpoint_key(), checkpoint, code).is_ok()
    }

    /// The codes over heads of the log.
    pub(crate) fn head_codes(&self) -> HeadCodes {
        HeadCodes::new(self.derive("head").as_slice())
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
        // A key of its own for each purpose: bytes that one purpose reveals tell nothing about another.
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"portcullis master key");
        let root = salt.extract(self.0.as_slice());
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
