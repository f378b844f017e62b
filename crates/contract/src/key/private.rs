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

/// Enough until 2030 (NIST SP 800-57, part 1, table 2), and keys rotate; a larger one signs four times slower.
const RSA_KEY_SIZE: KeySize = KeySize::Rsa2048;

/// A private key, opened once and used often.
pub struct PrivateKey(Pair);

enum Pair {
    Ed25519(Ed25519KeyPair),
    Es256(EcdsaKeyPair),
    Rs256(rsa::KeyPair),
}

/// The cryptographic library failed to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the private key does not sign")]
pub struct SignError;

impl PrivateKey {
    /// A new key. For RSA this takes a good part of a second: not on a thread that serves others.
    #[must_use]
    pub fn generate(algorithm: Algorithm) -> Self {
        let pair = match algorithm {
            Algorithm::Ed25519 => Ed25519KeyPair::generate().map(Pair::Ed25519),
            Algorithm::Es256 => {
                EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Pair::Es256)
            }
            Algorithm::Rs256 => rsa::KeyPair::generate(RSA_KEY_SIZE).map(Pair::Rs256),
        };
        Self(pair.expect("the system has randomness"))
    }

    /// Opens a PKCS#8 document.
    ///
    /// # Errors
    /// When it does not hold a key of `algorithm`, or one whose public half no verifier takes.
    pub fn from_pkcs8(algorithm: Algorithm, pkcs8: &[u8]) -> Result<Self, InvalidKey> {
        let pair = match algorithm {
            Algorithm::Ed25519 => Ed25519KeyPair::from_pkcs8(pkcs8).map(Pair::Ed25519),
            Algorithm::Es256 => {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).map(Pair::Es256)
            }
            Algorithm::Rs256 => rsa::KeyPair::from_pkcs8(pkcs8).map(Pair::Rs256),
        };
        let key = Self(pair.map_err(|_| InvalidKey::PrivateKey)?);
        public::parse(algorithm, key.public_bytes())?;
        Ok(key)
    }

    /// The PKCS#8 document of this key.
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

    /// The one algorithm of this key.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match &self.0 {
            Pair::Ed25519(_) => Algorithm::Ed25519,
            Pair::Es256(_) => Algorithm::Es256,
            Pair::Rs256(_) => Algorithm::Rs256,
        }
    }

    /// The public half, as the log carries it.
    #[must_use]
    pub fn public_bytes(&self) -> &[u8] {
        match &self.0 {
            Pair::Ed25519(pair) => pair.public_key().as_ref(),
            Pair::Es256(pair) => pair.public_key().as_ref(),
            Pair::Rs256(pair) => pair.public_key().as_ref(),
        }
    }

    /// Signs `message`. ES256 gives r and s, 32 bytes each, as JWS wants them.
    ///
    /// # Errors
    /// When the library fails.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let random = SystemRandom::new();
        match &self.0 {
            Pair::Ed25519(pair) => Ok(pair
                .try_sign(message)
                .map_err(|_| SignError)?
                .as_ref()
                .to_vec()),
            Pair::Es256(pair) => Ok(pair
                .sign(&random, message)
                .map_err(|_| SignError)?
                .as_ref()
                .to_vec()),
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map_err(|_| SignError)?;
                Ok(signature)
            }
        }
    }
}
