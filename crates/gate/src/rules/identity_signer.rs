//! The signed identity: a short JWT for upstreams that trust nobody.

use std::time::Duration;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http::HeaderValue;
use portcullis_contract::{
    key::{Algorithm, KeyId, PrivateKey},
    token::Signer,
};
use portcullis_validator_core::{ApiKeyIdentity, Identity};
use serde::Serialize;

use super::{error::RulesError, model::SignedIdentity};
use crate::decision::Subject;

/// The `typ`: no reader takes it for a credential, and no gate takes it for a token.
const TYPE: &str = "portcullis-identity+jwt";
/// The bounds of the lifetime, in seconds. Short, because nobody can revoke it.
const LIFETIME_SECONDS: std::ops::RangeInclusive<u64> = 1..=60;
/// The longest issuer or audience, in bytes.
const NAME_BYTES_MAX: usize = 256;

const KEY_FORM: &str =
    "must be an Ed25519 private key in PEM: `openssl genpkey -algorithm ed25519`";

/// Signs identities for upstreams.
pub(crate) struct IdentitySigner {
    signer: Signer,
    /// The public half of the key.
    public: Vec<u8>,
    issuer: String,
    audience: String,
    lifetime_seconds: u64,
}

/// The claims. Times are seconds since 1970 by the database's clock.
#[derive(Serialize)]
struct WireClaims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    iat: u64,
    exp: u64,
    tenant: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<u64>,
    #[serde(skip_serializing_if = "str::is_empty")]
    acr: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    amr: &'a [String],
}

fn refused<T>(key: &str, problem: &str) -> Result<T, RulesError> {
    let key = format!("signed_identity.{key}");
    Err(RulesError::new(key, problem))
}

impl IdentitySigner {
    pub(crate) fn new(settings: &SignedIdentity) -> Result<Self, RulesError> {
        let key_id = match KeyId::parse(&settings.key_id) {
            Ok(key_id) => key_id,
            Err(error) => return refused("key_id", &error.to_string()),
        };
        let Some(key) = parse_pem(&settings.key.0) else {
            return refused("key", KEY_FORM);
        };
        check_name("issuer", &settings.issuer)?;
        check_name("audience", &settings.audience)?;
        Ok(Self {
            public: key.public_bytes().to_vec(),
            signer: Signer::new(key_id, key),
            issuer: settings.issuer.clone(),
            audience: settings.audience.clone(),
            lifetime_seconds: read_lifetime(settings.lifetime)?,
        })
    }

    /// Returns the public half as a JWK Set (RFC 7517), for upstreams.
    pub(crate) fn key_set(&self) -> String {
        let x = URL_SAFE_NO_PAD.encode(&self.public);
        let id = self.signer.key_id();
        format!(
            r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","use":"sig","alg":"EdDSA","kid":"{id}","x":"{x}"}}]}}"#
        )
    }

    /// Signs the identity of a subject. `None` when the library fails; the request must not go on then.
    pub(crate) fn sign(
        &self,
        subject: &Subject,
        audience: Option<&str>,
        now: u64,
    ) -> Option<HeaderValue> {
        let common = self.common_claims(audience.unwrap_or(&self.audience), now);
        let claims = match subject {
            Subject::Anyone => return None,
            Subject::Session(identity) => session_claims(identity, common),
            Subject::ApiKey(identity) => api_key_claims(identity, common),
        };
        let claims = serde_json::to_vec(&claims).ok()?;
        let token = self.signer.sign_json(TYPE, &claims).ok()?;
        HeaderValue::from_str(&token).ok()
    }

    fn common_claims<'a>(&'a self, audience: &'a str, now: u64) -> WireClaims<'a> {
        WireClaims {
            iss: &self.issuer,
            aud: audience,
            sub: "",
            iat: now,
            exp: now.saturating_add(self.lifetime_seconds),
            tenant: "",
            sid: None,
            api_key: None,
            scope: None,
            auth_time: None,
            acr: "",
            amr: &[],
        }
    }
}

fn session_claims<'a>(identity: &'a Identity, common: WireClaims<'a>) -> WireClaims<'a> {
    WireClaims {
        sub: identity.user_id.as_str(),
        // An upstream must not trust the identity for longer than the gate trusts the credential.
        exp: common.exp.min(identity.expires_at),
        tenant: identity.tenant_id.as_str(),
        sid: Some(identity.session_id.to_string()),
        auth_time: Some(identity.auth_time),
        acr: &identity.acr,
        amr: &identity.amr,
        ..common
    }
}

fn api_key_claims<'a>(identity: &'a ApiKeyIdentity, common: WireClaims<'a>) -> WireClaims<'a> {
    WireClaims {
        sub: identity.owner_id.as_str(),
        exp: common.exp.min(identity.expires_at.unwrap_or(u64::MAX)),
        tenant: identity.tenant_id.as_str(),
        api_key: Some(identity.api_key_id.to_string()),
        scope: Some(identity.scopes.join(" ")),
        ..common
    }
}

fn check_name(key: &str, text: &str) -> Result<(), RulesError> {
    if (1..=NAME_BYTES_MAX).contains(&text.len()) {
        return Ok(());
    }
    refused(key, "must be 1 to 256 bytes")
}

fn read_lifetime(lifetime: Duration) -> Result<u64, RulesError> {
    let seconds = lifetime.as_secs();
    // A part of a second would be lost: the times of a JWT are whole seconds here.
    if !LIFETIME_SECONDS.contains(&seconds) || lifetime.subsec_nanos() != 0 {
        return refused("lifetime", "must be 1 s to 60 s, in whole seconds");
    }
    Ok(seconds)
}

fn parse_pem(text: &str) -> Option<PrivateKey> {
    let (_, rest) = text.split_once("-----BEGIN PRIVATE KEY-----")?;
    let (body, _) = rest.split_once("-----END PRIVATE KEY-----")?;
    let body: String = body.split_ascii_whitespace().collect();
    let document = STANDARD.decode(body).ok()?;
    PrivateKey::from_pkcs8(Algorithm::Ed25519, &document).ok()
}
