//! API keys: tokens of programs, long-lived and shown once.

use serde::{Deserialize, Deserializer, Serialize};

use super::{
    claims::{Expected, TokenClaims},
    json::to_json,
};
use crate::{
    id::{ApiKeyId, Serial, TenantId, TenantSerial, UserId, UserSerial},
    key::CredentialKind,
    position::Revision,
    rejection::Rejection,
    view::Subject,
};

/// The longest scope, in bytes.
pub const SCOPE_BYTES_MAX: usize = 128;

/// The claims of an API key. Times are seconds since 1970 by the database's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyClaims {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The user who owns it, by the tenant's own id (`sub`).
    pub owner_id: UserId,
    /// The key (`jti`).
    pub api_key_id: ApiKeyId,
    /// The numbers by which revocations find the key.
    pub subject: Subject,
    /// The scopes that it grants (`scope`).
    pub scopes: Vec<String>,
    /// The audiences (`aud`).
    pub audiences: Vec<String>,
    /// The time of issue (`iat`).
    pub issued_at: u64,
    /// The time of expiry (`exp`). `None` for a key that does not expire.
    pub expires_at: Option<u64>,
}

impl ApiKeyClaims {
    /// Returns whether the key grants `scope`.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|own| own == scope)
    }
}

/// Returns whether `text` is one scope (RFC 6749, section 3.3): 1 to [`SCOPE_BYTES_MAX`] visible ASCII characters
/// without `"` and `\`.
#[must_use]
pub fn is_scope(text: &str) -> bool {
    (1..=SCOPE_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_scope_byte)
}

fn is_scope_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'"' && byte != b'\\'
}

#[derive(Serialize, Deserialize)]
struct WireClaims {
    iss: String,
    sub: String,
    aud: Vec<String>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "number"
    )]
    exp: Option<u64>,
    iat: u64,
    jti: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    scope: String,
    tenant: String,
    serial: u64,
    user_serial: u64,
    tenant_serial: u64,
    opened_revision: u64,
}

/// Reads a member that is there as a number. `null` would be a second way to leave it out.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    u64::deserialize(deserializer).map(Some)
}

impl TokenClaims for ApiKeyClaims {
    const TYPE: &'static str = "ak+jwt";
    const CREDENTIAL: CredentialKind = CredentialKind::ApiKey;

    fn tenant_id(&self) -> &TenantId {
        &self.tenant_id
    }

    fn credential_id(&self) -> String {
        self.api_key_id.to_string()
    }

    fn subject(&self) -> &Subject {
        &self.subject
    }

    fn issued_at(&self) -> u64 {
        self.issued_at
    }

    fn expires_at(&self) -> Option<u64> {
        self.expires_at
    }

    fn to_json(&self, issuer: &str) -> Vec<u8> {
        to_json(&WireClaims {
            iss: issuer.to_owned(),
            sub: self.owner_id.to_string(),
            aud: self.audiences.clone(),
            exp: self.expires_at,
            iat: self.issued_at,
            jti: self.api_key_id.to_string(),
            scope: self.scopes.join(" "),
            tenant: self.tenant_id.to_string(),
            serial: self.subject.serial.0,
            user_serial: self.subject.user.0,
            tenant_serial: self.subject.tenant.0,
            opened_revision: self.subject.opened.0,
        })
    }

    fn from_json(json: &[u8], expected: &Expected) -> Result<Self, Rejection> {
        let claims: WireClaims = serde_json::from_slice(json).map_err(|_| Rejection::Malformed)?;
        // Before the other claims, which may have a form of another issuer.
        expected.check(&claims.iss, &claims.aud)?;
        claims.into_claims().ok_or(Rejection::Malformed)
    }
}

impl WireClaims {
    fn into_claims(self) -> Option<ApiKeyClaims> {
        // Serial 0 is no credential: nothing could revoke a key that names it.
        if self.serial == 0 {
            return None;
        }
        if let Some(exp) = self.exp
            && exp <= self.iat
        {
            return None;
        }
        Some(ApiKeyClaims {
            tenant_id: TenantId::parse(self.tenant).ok()?,
            owner_id: UserId::parse(self.sub).ok()?,
            api_key_id: self.jti.parse().ok()?,
            subject: Subject {
                serial: Serial(self.serial),
                user: UserSerial(self.user_serial),
                tenant: TenantSerial(self.tenant_serial),
                opened: Revision(self.opened_revision),
            },
            scopes: parse_scopes(&self.scope)?,
            audiences: self.aud,
            issued_at: self.iat,
            expires_at: self.exp,
        })
    }
}

/// Parses scopes with one space between two of them. An empty text has no scopes.
fn parse_scopes(text: &str) -> Option<Vec<String>> {
    let mut scopes = Vec::new();
    if text.is_empty() {
        return Some(scopes);
    }
    for scope in text.split(' ') {
        // Two spaces in a row, or one at an end, give an empty scope, which is none.
        if !is_scope(scope) {
            return None;
        }
        scopes.push(scope.to_owned());
    }
    Some(scopes)
}
