//! Access tokens: signed JWTs in the profile of RFC 9068, written and read strictly.
//!
//! A signature proves who wrote a token, not that it is harmless. So every member of the header is known and wanted (no
//! `crit`, `jwk`, `jku`, `zip`, `enc`), `typ` is exactly `at+jwt`, the algorithm is the key's, no member stands twice,
//! the size is bounded, and `iss`, `sub` and `aud` are there.

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

/// The largest access token that is looked at, in bytes.
pub const ACCESS_TOKEN_BYTES_MAX: usize = 8 * 1024;

/// The `typ` of access tokens (RFC 9068, section 2.1).
pub const ACCESS_TOKEN_TYPE: &str = "at+jwt";

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
pub struct Identity {
    /// What the token says.
    pub claims: Claims,
    /// The key that signed it. Each verdict asks anew whether it is trusted.
    pub key: Arc<VerificationKey>,
}

impl Deref for Identity {
    type Target = Claims;

    fn deref(&self) -> &Claims {
        &self.claims
    }
}

/// What a token must say to be meant for the reader.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The exact `iss`.
    pub issuer: String,
    /// One of the token's `aud`; none: whoever it is for.
    pub audience: Option<String>,
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

/// A private key that signs access tokens.
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
    pub fn sign(&self, issuer: &str, claims: &Claims) -> Result<String, SignError> {
        let alg = self.key.algorithm().jose_name();
        let header = Header { typ: ACCESS_TOKEN_TYPE, alg, kid: self.id.as_str() };
        let message = format!("{}.{}", encode_part(&header), encode_part(&WireClaims::new(issuer, claims)));
        let signature = self.key.sign(message.as_bytes())?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// Reads a token and checks all that does not change with time: form, type, key, signature, issuer, audience.
///
/// # Errors
/// One of the rejections that no other moment could lift, except [`Rejection::UnknownKey`].
pub fn verify(token: &str, view: &View, expected: &Expected) -> Result<Identity, Rejection> {
    if token.len() > ACCESS_TOKEN_BYTES_MAX {
        return Err(Rejection::Oversized);
    }
    let (message, signature) = token.rsplit_once('.').ok_or(Rejection::Malformed)?;
    let (header, claims) = message.split_once('.').ok_or(Rejection::Malformed)?;
    let key = key_of(header, view)?;
    if !key.verify(message.as_bytes(), signature) {
        return Err(Rejection::BadSignature);
    }
    Ok(Identity { claims: read_claims(claims, expected)?, key })
}

fn key_of(header: &str, view: &View) -> Result<Arc<VerificationKey>, Rejection> {
    let header = decode_part(header)?;
    let header: Header<'_> = serde_json::from_slice(&header).map_err(|_| Rejection::Malformed)?;
    if header.typ != ACCESS_TOKEN_TYPE {
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
    if key.credential != CredentialKind::Session {
        return Err(Rejection::WrongType);
    }
    Ok(Arc::clone(key))
}

fn read_claims(part: &str, expected: &Expected) -> Result<Claims, Rejection> {
    let bytes = decode_part(part)?;
    json::reject_duplicate_members(&bytes).map_err(|_| Rejection::Malformed)?;
    let claims: WireClaims = serde_json::from_slice(&bytes).map_err(|_| Rejection::Malformed)?;
    if claims.iss != expected.issuer {
        return Err(Rejection::WrongIssuer);
    }
    if expected.audience.as_ref().is_some_and(|audience| !claims.aud.contains(audience)) {
        return Err(Rejection::WrongAudience);
    }
    claims.into_claims().ok_or(Rejection::Malformed)
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

fn encode_part(part: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(part).expect("plain structs serialize"))
}

fn decode_part(part: &str) -> Result<Vec<u8>, Rejection> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Rejection::Malformed)
}

#[cfg(test)]
mod tests;
