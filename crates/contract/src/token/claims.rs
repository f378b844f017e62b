//! The rules that every kind of token shares.

use std::{ops::Deref, sync::Arc};

use crate::{
    id::TenantId,
    key::{CredentialKind, VerificationKey},
    rejection::Rejection,
    view::Subject,
};

/// The claims of one kind of token. The kind pins the `typ` and the keys, so that no token passes for another kind.
pub trait TokenClaims: Sized + Send + Sync + 'static {
    /// The `typ` of the header.
    const TYPE: &'static str;
    /// The kind of credential: it decides which keys sign the token and which revocations end it.
    const CREDENTIAL: CredentialKind;

    /// The tenant.
    fn tenant_id(&self) -> &TenantId;

    /// The session or the API key.
    fn credential_id(&self) -> String;

    /// The numbers by which revocations find the credential.
    fn subject(&self) -> &Subject;

    /// The time of issue, in seconds since 1970 by the database's clock.
    fn issued_at(&self) -> u64;

    /// The time of expiry, in seconds since 1970. `None` for a token that does not expire.
    fn expires_at(&self) -> Option<u64>;

    /// Writes the claims as JSON.
    fn to_json(&self, issuer: &str) -> Vec<u8>;

    /// Reads claims in which no member stands twice.
    ///
    /// # Errors
    /// [`Rejection::Malformed`], [`Rejection::WrongIssuer`], [`Rejection::WrongAudience`].
    fn from_json(json: &[u8], expected: &Expected) -> Result<Self, Rejection>;
}

/// The claims of a token whose signature is good, and the key that signed it.
#[derive(Clone, Debug)]
pub struct Verified<C> {
    /// The token's claims.
    pub claims: C,
    /// The key that signed it. Each verdict asks anew whether the key is trusted.
    pub key: Arc<VerificationKey>,
}

impl<C> Deref for Verified<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.claims
    }
}

/// The issuer and audience that a token must name to be meant for the reader.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The exact `iss`.
    pub issuer: String,
    /// One of the token's `aud`. `None` accepts every audience.
    pub audience: Option<String>,
}

impl Expected {
    /// Checks `iss` and `aud`.
    pub(super) fn check(&self, issuer: &str, audiences: &[String]) -> Result<(), Rejection> {
        if issuer != self.issuer {
            return Err(Rejection::WrongIssuer);
        }
        // The authority itself reads tokens of every audience. A gate always has one: `Settings` demands it.
        if let Some(audience) = &self.audience
            && !audiences.contains(audience)
        {
            return Err(Rejection::WrongAudience);
        }
        Ok(())
    }
}
