//! Keys: one key, one algorithm, checked before use.

mod private;
mod public;

use std::fmt;

use aws_lc_rs::signature::ParsedPublicKey;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

pub use self::{
    private::{PrivateKey, SignError},
    public::PublicNumbers,
};
use crate::v1;

/// The longest `kid`, in bytes.
const KEY_ID_BYTES_MAX: usize = 64;

/// A `kid`: 1 to 64 letters, digits, `-` or `_`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(String);

impl KeyId {
    /// Parses a `kid`.
    ///
    /// # Errors
    /// When it is not 1 to 64 letters, digits, `-` or `_`.
    pub fn parse(id: impl Into<String>) -> Result<Self, InvalidKey> {
        let id = id.into();
        if !(1..=KEY_ID_BYTES_MAX).contains(&id.len()) || !id.bytes().all(is_key_id_byte) {
            return Err(InvalidKey::Id);
        }
        Ok(Self(id))
    }

    /// The id as it stands in token headers.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_key_id_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The signature algorithms that keys may have. The key decides, never the token's header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
pub enum Algorithm {
    /// EdDSA over Curve25519 (RFC 8032, RFC 8037).
    #[default]
    #[serde(rename = "EdDSA")]
    Ed25519,
    /// ECDSA over P-256 with SHA-256 (RFC 7518, section 3.4).
    #[serde(rename = "ES256")]
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518, section 3.3).
    #[serde(rename = "RS256")]
    Rs256,
}

impl Algorithm {
    /// All algorithms.
    pub const ALL: [Self; 3] = [Self::Ed25519, Self::Es256, Self::Rs256];

    /// The algorithm's name in token headers and in the configuration.
    #[must_use]
    pub fn jose_name(self) -> &'static str {
        match self {
            Self::Ed25519 => "EdDSA",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }

    /// Returns whether `name` in a header means this algorithm. `Ed25519` is the fully specified name of RFC 9864.
    #[must_use]
    pub fn is_named(self, name: &str) -> bool {
        name == self.jose_name() || self == Self::Ed25519 && name == "Ed25519"
    }
}

/// The kind of credential that a token, a key or a revocation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CredentialKind {
    /// A person's sign-in.
    Session,
    /// A program's credential.
    ApiKey,
}

/// A public key that was checked and is ready for use.
pub struct VerificationKey {
    /// The `kid` that tokens name.
    pub id: KeyId,
    /// The one algorithm that the key is used with.
    pub algorithm: Algorithm,
    /// The kind of credential that the key signs.
    pub credential: CredentialKind,
    public: ParsedPublicKey,
}

impl VerificationKey {
    /// Checks a public key of `algorithm`, in the encoding that the log has (`TrustedKey.public_key`).
    ///
    /// # Errors
    /// When the key would fail every check, or would accept forged signatures.
    pub fn new(
        id: KeyId,
        algorithm: Algorithm,
        public: &[u8],
        credential: CredentialKind,
    ) -> Result<Self, InvalidKey> {
        Ok(Self {
            id,
            algorithm,
            credential,
            public: public::parse(algorithm, public)?,
        })
    }

    /// Returns the public key as the log carries it.
    #[must_use]
    pub fn public_bytes(&self) -> &[u8] {
        self.public.as_ref()
    }

    /// Returns the public key as JWKs carry it.
    #[must_use]
    pub fn public_numbers(&self) -> PublicNumbers {
        PublicNumbers::of(self.algorithm, self.public_bytes())
    }

    /// Returns whether `signature` (base64url) is this key's over `message`.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &str) -> bool {
        // Without padding and strictly: one signature has one text, so that a cache cannot be filled with variants of it.
        match URL_SAFE_NO_PAD.decode(signature) {
            Ok(signature) => self.public.verify_sig(message, &signature).is_ok(),
            Err(_) => false,
        }
    }

    /// Returns whether both are the same key.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.id == other.id
            && self.algorithm == other.algorithm
            && self.credential == other.credential
            && self.public_bytes() == other.public_bytes()
    }
}

impl fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerificationKey")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .finish()
    }
}

/// The reason for which a key was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// The text is not a `kid`.
    #[error("a key id is 1 to 64 letters, digits, - or _")]
    Id,
    /// The bytes are not a usable public key of the algorithm.
    #[error("not a usable public key")]
    PublicKey,
    /// The bytes are not a private key of the algorithm.
    #[error("not a private key of its algorithm")]
    PrivateKey,
    /// This version does not know the algorithm or the kind of credential.
    #[error("an unknown kind of key")]
    Kind,
}

impl TryFrom<&v1::TrustedKey> for VerificationKey {
    type Error = InvalidKey;

    fn try_from(key: &v1::TrustedKey) -> Result<Self, InvalidKey> {
        let id = KeyId::parse(&key.id)?;
        // A kind of a later version is an error: taken for a session's key, it would sign what it must not.
        let credential =
            CredentialKind::try_from(key.credential()).map_err(|_| InvalidKey::Kind)?;
        Self::new(id, key.algorithm().try_into()?, &key.public_key, credential)
    }
}

impl TryFrom<v1::SigningAlgorithm> for Algorithm {
    type Error = InvalidKey;

    fn try_from(algorithm: v1::SigningAlgorithm) -> Result<Self, InvalidKey> {
        match algorithm {
            v1::SigningAlgorithm::Ed25519 => Ok(Self::Ed25519),
            v1::SigningAlgorithm::Es256 => Ok(Self::Es256),
            v1::SigningAlgorithm::Rs256 => Ok(Self::Rs256),
            v1::SigningAlgorithm::Unspecified => Err(InvalidKey::Kind),
        }
    }
}

impl From<Algorithm> for v1::SigningAlgorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Ed25519 => Self::Ed25519,
            Algorithm::Es256 => Self::Es256,
            Algorithm::Rs256 => Self::Rs256,
        }
    }
}

impl From<&VerificationKey> for v1::TrustedKey {
    fn from(key: &VerificationKey) -> Self {
        Self {
            id: key.id.to_string(),
            algorithm: v1::SigningAlgorithm::from(key.algorithm).into(),
            public_key: key.public_bytes().to_vec().into(),
            credential: v1::CredentialKind::from(key.credential).into(),
        }
    }
}

/// The error for a kind of credential that this version does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an unknown kind of credential")]
pub struct UnknownCredentialKind;

impl TryFrom<v1::CredentialKind> for CredentialKind {
    type Error = UnknownCredentialKind;

    fn try_from(kind: v1::CredentialKind) -> Result<Self, UnknownCredentialKind> {
        match kind {
            v1::CredentialKind::Session => Ok(Self::Session),
            v1::CredentialKind::ApiKey => Ok(Self::ApiKey),
            v1::CredentialKind::Unspecified => Err(UnknownCredentialKind),
        }
    }
}

impl From<CredentialKind> for v1::CredentialKind {
    fn from(kind: CredentialKind) -> Self {
        match kind {
            CredentialKind::Session => Self::Session,
            CredentialKind::ApiKey => Self::ApiKey,
        }
    }
}

#[cfg(test)]
mod tests;
