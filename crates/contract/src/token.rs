//! Access tokens: signed JWTs in the profile of RFC 9068, written and read strictly. API keys are tokens too, of another
//! kind.
//!
//! A signature proves who wrote a token, not that it is harmless. So every member of the header is known and wanted (no
//! `crit`, `jwk`, `jku`, `zip`, `enc`), `typ` is exactly the kind's, and so is the kind of the key; the algorithm is the
//! key's, no member stands twice, the size is bounded, and `iss`, `sub` and `aud` are there.

mod api_key;
mod json;

use std::{ops::Deref, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::{
    id::{Serial, SessionId, TenantId, TenantSerial, UserId, UserSerial},
    key::{CredentialKind, KeyId, PrivateKey, SignError, VerificationKey},
    position::Revision,
    verdict::Rejection,
    view::{Subject, View},
};

pub use self::api_key::{ApiKeyClaims, SCOPE_BYTES_MAX, is_scope};

/// The largest token of any kind that is looked at, in bytes.
pub const ACCESS_TOKEN_BYTES_MAX: usize = 8 * 1024;

/// What a kind of token says. The kind pins the `typ` and the keys, so that no token passes for one of another kind.
pub trait TokenClaims: Sized + Send + Sync + 'static {
    /// The `typ` of the header.
    const TYPE: &'static str;
    /// What the token is, and so what its key signs and what revokes it.
    const CREDENTIAL: CredentialKind;

    /// The tenant.
    fn tenant_id(&self) -> &TenantId;

    /// The session or the API key.
    fn credential_id(&self) -> String;

    /// The numbers that revocations go by.
    fn subject(&self) -> &Subject;

    /// When it was issued, in seconds since 1970 by the database's clock.
    fn issued_at(&self) -> u64;

    /// From when it is dead, in seconds since 1970; none: it does not expire.
    fn expires_at(&self) -> Option<u64>;

    /// The claims as JSON.
    fn to_json(&self, issuer: &str) -> Vec<u8>;

    /// Reads claims in which no member stands twice.
    ///
    /// # Errors
    /// [`Rejection::Malformed`], [`Rejection::WrongIssuer`], [`Rejection::WrongAudience`].
    fn from_json(json: &[u8], expected: &Expected) -> Result<Self, Rejection>;
}

/// What an access token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The user, by the tenant's own id (`sub`).
    pub user_id: UserId,
    /// The session (`sid`).
    pub session_id: SessionId,
    /// The numbers that revocations go by.
    pub subject: Subject,
    /// The token's own id (`jti`).
    pub token_id: String,
    /// Who the token is for (`aud`).
    pub audiences: Vec<String>,
    /// When it was issued, in seconds since 1970 by the database's clock (`iat`).
    pub issued_at: u64,
    /// From when it is dead, in seconds since 1970 (`exp`).
    pub expires_at: u64,
    /// When the user authenticated, in seconds since 1970 (`auth_time`).
    pub auth_time: u64,
    /// How (`amr`, RFC 8176).
    pub amr: Vec<String>,
    /// The authentication context class (`acr`); empty when unknown.
    pub acr: String,
}

/// Who a verified token speaks for, and the key that says so.
#[derive(Clone, Debug)]
pub struct Verified<C> {
    /// What the token says.
    pub claims: C,
    /// The key that signed it. Each verdict asks anew whether it is trusted.
    pub key: Arc<VerificationKey>,
}

/// A person, by the access token of their session.
pub type Identity = Verified<Claims>;

/// A program, by its API key.
pub type ApiKeyIdentity = Verified<ApiKeyClaims>;

impl<C> Deref for Verified<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.claims
    }
}

/// What a token of any kind must say to be meant for the reader.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The exact `iss`.
    pub issuer: String,
    /// One of the token's `aud`; none: whoever it is for.
    pub audience: Option<String>,
}

impl Expected {
    fn check(&self, issuer: &str, audiences: &[String]) -> Result<(), Rejection> {
        if issuer != self.issuer {
            return Err(Rejection::WrongIssuer);
        }
        if self
            .audience
            .as_ref()
            .is_some_and(|audience| !audiences.contains(audience))
        {
            return Err(Rejection::WrongAudience);
        }
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<'a> {
    typ: &'a str,
    alg: &'a str,
    kid: &'a str,
}

#[derive(Serialize, Deserialize)]
struct WireClaims {
    iss: String,
    sub: String,
    aud: Vec<String>,
    exp: u64,
    iat: u64,
    jti: String,
    sid: String,
    auth_time: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    amr: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    acr: String,
    tenant: String,
    serial: u64,
    user_serial: u64,
    tenant_serial: u64,
    opened_revision: u64,
}

/// A private key that signs tokens.
pub struct Signer {
    id: KeyId,
    key: PrivateKey,
}

impl Signer {
    /// A signer whose tokens name `id`.
    #[must_use]
    pub fn new(id: KeyId, key: PrivateKey) -> Self {
        Self { id, key }
    }

    /// The key's `kid`.
    #[must_use]
    pub fn key_id(&self) -> &KeyId {
        &self.id
    }

    /// Signs a token that says `claims`.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn sign<C: TokenClaims>(&self, issuer: &str, claims: &C) -> Result<String, SignError> {
        let alg = self.key.algorithm().jose_name();
        let header = to_json(&Header {
            typ: C::TYPE,
            alg,
            kid: self.id.as_str(),
        });
        let [header, claims] =
            [header, claims.to_json(issuer)].map(|part| URL_SAFE_NO_PAD.encode(part));
        let message = format!("{header}.{claims}");
        let signature = self.key.sign(message.as_bytes())?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// Reads the access token of a session: [`verify_as`] that kind.
///
/// # Errors
/// As [`verify_as`].
pub fn verify(token: &str, view: &View, expected: &Expected) -> Result<Identity, Rejection> {
    verify_as(token, view, expected)
}

/// Reads a token of a kind and checks all that does not change with time: form, type, key, signature, issuer, audience.
///
/// # Errors
/// One of the rejections that no other moment could lift, except [`Rejection::UnknownKey`].
pub fn verify_as<C: TokenClaims>(
    token: &str,
    view: &View,
    expected: &Expected,
) -> Result<Verified<C>, Rejection> {
    if token.len() > ACCESS_TOKEN_BYTES_MAX {
        return Err(Rejection::Oversized);
    }
    let (message, signature) = token.rsplit_once('.').ok_or(Rejection::Malformed)?;
    let (header, claims) = message.split_once('.').ok_or(Rejection::Malformed)?;
    let key = key_of::<C>(header, view)?;
    if !key.verify(message.as_bytes(), signature) {
        return Err(Rejection::BadSignature);
    }
    let claims = decode_part(claims)?;
    json::reject_duplicate_members(&claims).map_err(|_| Rejection::Malformed)?;
    Ok(Verified {
        claims: C::from_json(&claims, expected)?,
        key,
    })
}

fn key_of<C: TokenClaims>(header: &str, view: &View) -> Result<Arc<VerificationKey>, Rejection> {
    let header = decode_part(header)?;
    let header: Header<'_> = serde_json::from_slice(&header).map_err(|_| Rejection::Malformed)?;
    if header.typ != C::TYPE {
        return Err(Rejection::WrongType);
    }
    let id = KeyId::parse(header.kid).map_err(|_| Rejection::Malformed)?;
    if view.distrusts(&id) {
        return Err(Rejection::DistrustedKey);
    }
    let key = view.trusted_key(id.as_str()).ok_or(Rejection::UnknownKey)?;
    if !key.algorithm.is_named(header.alg) {
        return Err(Rejection::WrongAlgorithm);
    }
    if key.credential != C::CREDENTIAL {
        return Err(Rejection::WrongType);
    }
    Ok(Arc::clone(key))
}

impl TokenClaims for Claims {
    /// RFC 9068, section 2.1.
    const TYPE: &'static str = "at+jwt";
    const CREDENTIAL: CredentialKind = CredentialKind::Session;

    fn tenant_id(&self) -> &TenantId {
        &self.tenant_id
    }

    fn credential_id(&self) -> String {
        self.session_id.to_string()
    }

    fn subject(&self) -> &Subject {
        &self.subject
    }

    fn issued_at(&self) -> u64 {
        self.issued_at
    }

    fn expires_at(&self) -> Option<u64> {
        Some(self.expires_at)
    }

    fn to_json(&self, issuer: &str) -> Vec<u8> {
        to_json(&WireClaims::new(issuer, self))
    }

    fn from_json(json: &[u8], expected: &Expected) -> Result<Self, Rejection> {
        let claims: WireClaims = serde_json::from_slice(json).map_err(|_| Rejection::Malformed)?;
        expected.check(&claims.iss, &claims.aud)?;
        claims.into_claims().ok_or(Rejection::Malformed)
    }
}

impl WireClaims {
    fn new(issuer: &str, claims: &Claims) -> Self {
        Self {
            iss: issuer.to_owned(),
            sub: claims.user_id.to_string(),
            aud: claims.audiences.clone(),
            exp: claims.expires_at,
            iat: claims.issued_at,
            jti: claims.token_id.clone(),
            sid: claims.session_id.to_string(),
            auth_time: claims.auth_time,
            amr: claims.amr.clone(),
            acr: claims.acr.clone(),
            tenant: claims.tenant_id.to_string(),
            serial: claims.subject.serial.0,
            user_serial: claims.subject.user.0,
            tenant_serial: claims.subject.tenant.0,
            opened_revision: claims.subject.opened.0,
        }
    }

    fn into_claims(self) -> Option<Claims> {
        let subject = Subject {
            serial: Serial(self.serial),
            user: UserSerial(self.user_serial),
            tenant: TenantSerial(self.tenant_serial),
            opened: Revision(self.opened_revision),
        };
        if self.serial == 0 || self.exp <= self.iat {
            return None;
        }
        Some(Claims {
            tenant_id: TenantId::parse(self.tenant).ok()?,
            user_id: UserId::parse(self.sub).ok()?,
            session_id: self.sid.parse().ok()?,
            subject,
            token_id: self.jti,
            audiences: self.aud,
            issued_at: self.iat,
            expires_at: self.exp,
            auth_time: self.auth_time,
            amr: self.amr,
            acr: self.acr,
        })
    }
}

fn to_json(part: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(part).expect("plain structs serialize")
}

fn decode_part(part: &str) -> Result<Vec<u8>, Rejection> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| Rejection::Malformed)
}

#[cfg(test)]
mod tests;
