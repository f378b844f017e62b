//! Private keys of each algorithm.

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    rsa::{self, KeySize},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    },
};
use zeroize::Zeroizing;

use super::{Algorithm, InvalidKey, public};

/// The size of new RSA keys: enough until 2030 (NIST SP 800-57, part 1, table 2), and keys rotate. A larger one signs
/// four times slower.
const RSA_KEY_SIZE: KeySize = KeySize::Rsa2048;

/// A private key that was parsed once and signs often.
pub struct PrivateKey(Pair);

enum Pair {
    Ed25519(Ed25519KeyPair),
    Es256(EcdsaKeyPair),
    Rs256(rsa::KeyPair),
}

/// The error of the cryptographic library when it cannot sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the private key does not sign")]
pub struct SignError;

impl PrivateKey {
    /// Makes a new key. For RSA this takes a good part of a second, so keep it off threads that serve others.
    ///
    /// # Panics
    /// When the system has no randomness.
    #[must_use]
    pub fn generate(algorithm: Algorithm) -> Self {
        let pair = match algorithm {
            Algorithm::Ed25519 => Ed25519KeyPair::generate().map(Pair::Ed25519),
            Algorithm::Es256 => {
                // RFC 7518, section 3.4: r and s of a fixed length. The other form of the library
                // is ASN.1.
                EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Pair::Es256)
            }
            Algorithm::Rs256 => rsa::KeyPair::generate(RSA_KEY_SIZE).map(Pair::Rs256),
        };
        Self(pair.expect("the system has randomness"))
    }

    /// Parses a PKCS#8 document.
    ///
    /// # Errors
    /// When the document has no key of `algorithm`, or one with a public half that every verifier refuses.
    pub fn from_pkcs8(algorithm: Algorithm, pkcs8: &[u8]) -> Result<Self, InvalidKey> {
        let pair = match algorithm {
            Algorithm::Ed25519 => Ed25519KeyPair::from_pkcs8(pkcs8).map(Pair::Ed25519),
            Algorithm::Es256 => {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).map(Pair::Es256)
            }
            Algorithm::Rs256 => rsa::KeyPair::from_pkcs8(pkcs8).map(Pair::Rs256),
        };
        let key = Self(pair.map_err(|_| InvalidKey::PrivateKey)?);
        // Such a key would sign tokens that every gate refuses: better to fail here, where an operator sees it.
        public::parse(algorithm, key.public_bytes())?;
        Ok(key)
    }

    /// Writes the key as a PKCS#8 document.
    ///
    /// # Panics
    /// When memory runs out.
    #[must_use]
    pub fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        let document = match &self.0 {
            Pair::Ed25519(pair) => pair.to_pkcs8().map(|document| document.as_ref().to_vec()),
            Pair::Es256(pair) => pair.to_pkcs8v1().map(|document| document.as_ref().to_vec()),
            Pair::Rs256(pair) => pair.as_der().map(|document| document.as_ref().to_vec()),
        };
        Zeroizing::new(document.expect("a key pair has an encoding"))
    }

    /// The algorithm of the key.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match &self.0 {
            Pair::Ed25519(_) => Algorithm::Ed25519,
            Pair::Es256(_) => Algorithm::Es256,
            Pair::Rs256(_) => Algorithm::Rs256,
        }
    }

    /// Returns the public half as the log carries it.
    #[must_use]
    pub fn public_bytes(&self) -> &[u8] {
        match &self.0 {
            Pair::Ed25519(pair) => pair.public_key().as_ref(),
            Pair::Es256(pair) => pair.public_key().as_ref(),
            Pair::Rs256(pair) => pair.public_key().as_ref(),
        }
    }

    /// Signs `message`. A signature by ES256 is r and s, 32 bytes each, in the form of JWS.
    ///
    /// # Errors
    /// When the library fails.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        match &self.0 {
            Pair::Ed25519(pair) => match pair.try_sign(message) {
                Ok(signature) => Ok(signature.as_ref().to_vec()),
                Err(_) => Err(SignError),
            },
            Pair::Es256(pair) => match pair.sign(&SystemRandom::new(), message) {
                Ok(signature) => Ok(signature.as_ref().to_vec()),
                Err(_) => Err(SignError),
            },
            Pair::Rs256(pair) => {
                // The library writes a signature of exactly the modulus' length, and fails for any other buffer.
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(
                    &RSA_PKCS1_SHA256,
                    &SystemRandom::new(),
                    message,
                    &mut signature,
                )
                .map_err(|_| SignError)?;
                Ok(signature)
            }
        }
    }
}
