//! Verification keys: one key, one algorithm, checked before use.

use std::fmt;

use curve25519_dalek::edwards::CompressedEdwardsY;
use jsonwebtoken::DecodingKey;

use crate::v1;

/// A `kid`: 1 to 64 letters, digits, `-` or `_`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(String);

impl KeyId {
    /// Checks a `kid`.
    ///
    /// # Errors
    /// When it is not 1 to 64 letters, digits, `-` or `_`.
    pub fn parse(id: impl Into<String>) -> Result<Self, InvalidKey> {
        let id = id.into();
        let plain = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
        if id.is_empty() || id.len() > 64 || !id.bytes().all(plain) {
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

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The signature algorithms that keys may have. The key decides, never the token's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// EdDSA over Curve25519 (RFC 8032, RFC 8037).
    Ed25519,
}

impl Algorithm {
    /// The name in token headers.
    #[must_use]
    pub fn jose_name(self) -> &'static str {
        match self {
            Self::Ed25519 => "EdDSA",
        }
    }

    /// Whether `name` in a header means this algorithm. `Ed25519` is the fully specified name of RFC 9864.
    #[must_use]
    pub fn is_named(self, name: &str) -> bool {
        match self {
            Self::Ed25519 => name == "EdDSA" || name == "Ed25519",
        }
    }

    pub(crate) fn jose(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Ed25519 => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

/// What kind of credential a token, a key's tokens or a revocation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CredentialKind {
    /// A sign-in of a person.
    Session,
    /// A credential of a program.
    ApiKey,
}

/// A public key that is fit for use.
pub struct VerificationKey {
    /// Its `kid`.
    pub id: KeyId,
    /// The one algorithm it is used with.
    pub algorithm: Algorithm,
    /// What its tokens are.
    pub credential: CredentialKind,
    public: Vec<u8>,
    decoding: DecodingKey,
}

impl VerificationKey {
    /// Checks a public key of `algorithm`.
    ///
    /// # Errors
    /// When it is not fit for use.
    pub fn new(id: KeyId, algorithm: Algorithm, public: &[u8], credential: CredentialKind) -> Result<Self, InvalidKey> {
        match algorithm {
            Algorithm::Ed25519 => Self::ed25519(id, public, credential),
        }
    }

    /// Checks an Ed25519 public key.
    ///
    /// # Errors
    /// When it is not 32 bytes, not a point of the curve, or of small order: such a key accepts forged signatures.
    pub fn ed25519(id: KeyId, public: &[u8], credential: CredentialKind) -> Result<Self, InvalidKey> {
        let point = CompressedEdwardsY::from_slice(public).map_err(|_| InvalidKey::PublicKey)?;
        let point = point.decompress().ok_or(InvalidKey::PublicKey)?;
        if point.is_small_order() {
            return Err(InvalidKey::PublicKey);
        }
        let decoding = DecodingKey::from_ed_der(public);
        Ok(Self { id, algorithm: Algorithm::Ed25519, credential, public: public.to_vec(), decoding })
    }

    /// The public key as the log carries it.
    #[must_use]
    pub fn public_bytes(&self) -> &[u8] {
        &self.public
    }

    /// Whether `signature` (base64url) is this key's over `message`.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &str) -> bool {
        jsonwebtoken::crypto::verify(signature, message, &self.decoding, self.algorithm.jose()).unwrap_or(false)
    }

    /// Whether both are the same key.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.id == other.id && self.public == other.public && self.credential == other.credential
    }
}

impl fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerificationKey").field("id", &self.id).field("algorithm", &self.algorithm).finish()
    }
}

/// Why a key was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// Not a `kid`.
    #[error("a key id is 1 to 64 letters, digits, - or _")]
    Id,
    /// Not a usable public key of the algorithm.
    #[error("not a usable public key")]
    PublicKey,
    /// An algorithm or kind of credential that this version does not know.
    #[error("an unknown kind of key")]
    Kind,
}

impl TryFrom<&v1::TrustedKey> for VerificationKey {
    type Error = InvalidKey;

    fn try_from(key: &v1::TrustedKey) -> Result<Self, InvalidKey> {
        let id = KeyId::parse(&key.id)?;
        let credential = CredentialKind::try_from(key.credential()).map_err(|_| InvalidKey::Kind)?;
        match key.algorithm() {
            v1::SigningAlgorithm::Ed25519 => Self::ed25519(id, &key.public_key, credential),
            v1::SigningAlgorithm::Unspecified => Err(InvalidKey::Kind),
        }
    }
}

impl From<&VerificationKey> for v1::TrustedKey {
    fn from(key: &VerificationKey) -> Self {
        let algorithm = match key.algorithm {
            Algorithm::Ed25519 => v1::SigningAlgorithm::Ed25519,
        };
        Self {
            id: key.id.to_string(),
            algorithm: algorithm.into(),
            public_key: key.public.clone().into(),
            credential: v1::CredentialKind::from(key.credential).into(),
        }
    }
}

/// A kind of credential that this version does not know.
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
