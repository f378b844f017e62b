//! The claims of a session's access token.

use serde::{Deserialize, Serialize};

use super::{
    claims::{Expected, TokenClaims},
    json::to_json,
};
use crate::{
    id::{Serial, SessionId, TenantId, TenantSerial, UserId, UserSerial},
    key::CredentialKind,
    position::Revision,
    rejection::Rejection,
    view::Subject,
};

/// The claims of a session's access token. Times are seconds since 1970 by the database's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The user, by the tenant's own id (`sub`).
    pub user_id: UserId,
    /// The session (`sid`).
    pub session_id: SessionId,
    /// The numbers by which revocations find the session.
    pub subject: Subject,
    /// The token's own id (`jti`).
    pub token_id: String,
    /// The audiences (`aud`).
    pub audiences: Vec<String>,
    /// The time of issue (`iat`).
    pub issued_at: u64,
    /// The time of expiry (`exp`).
    pub expires_at: u64,
    /// The time at which the user authenticated (`auth_time`).
    pub auth_time: u64,
    /// The methods of authentication (`amr`, RFC 8176).
    pub amr: Vec<String>,
    /// The authentication context class (`acr`); empty when unknown.
    pub acr: String,
    /// The client that the token was issued to (`client_id`, RFC 9068): the service that opened the session, or the
    /// client that it named. Empty in tokens of an older authority.
    pub client_id: String,
}

// Unknown claims are allowed here, unlike in the header: a later version may add claims that older gates do not need.
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
    #[serde(default, skip_serializing_if = "String::is_empty")]
    client_id: String,
    tenant: String,
    serial: u64,
    user_serial: u64,
    tenant_serial: u64,
    opened_revision: u64,
}

impl TokenClaims for Claims {
    /// The type that RFC 9068, section 2.1 demands.
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
        // A token for somebody else is reported as such, also when its other claims have a form that we do not know.
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
            client_id: claims.client_id.clone(),
            tenant: claims.tenant_id.to_string(),
            serial: claims.subject.serial.0,
            user_serial: claims.subject.user.0,
            tenant_serial: claims.subject.tenant.0,
            opened_revision: claims.subject.opened.0,
        }
    }

    fn into_claims(self) -> Option<Claims> {
        // Serial 0 is no credential: nothing could revoke a token that names it.
        // Nor is there a life that ends before it begins. No authority signs such a token.
        if self.serial == 0 || self.exp <= self.iat {
            return None;
        }
        Some(Claims {
            tenant_id: TenantId::parse(self.tenant).ok()?,
            user_id: UserId::parse(self.sub).ok()?,
            session_id: self.sid.parse().ok()?,
            subject: Subject {
                serial: Serial(self.serial),
                user: UserSerial(self.user_serial),
                tenant: TenantSerial(self.tenant_serial),
                opened: Revision(self.opened_revision),
            },
            token_id: self.jti,
            audiences: self.aud,
            issued_at: self.iat,
            expires_at: self.exp,
            auth_time: self.auth_time,
            amr: self.amr,
            acr: self.acr,
            client_id: self.client_id,
        })
    }
}
