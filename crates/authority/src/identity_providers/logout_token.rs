//! Logout tokens (OpenID Connect Back-Channel Logout 1.0, sections 2.4 and 2.6), verified in full.
//!
//! A token of another kind of the same provider must never pass: an ID token is in the hands of every client. So the type,
//! the event and the missing nonce are all demanded.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{
    Algorithm, DecodingKey, Header, Validation, dangerous::insecure_decode_claims, decode,
    decode_header,
};
use portcullis_contract::position::sha256;
use serde_json::{Map, Value};

use super::{IdentityProviders, Provider, keys::NoKey};
use crate::{
    config::LogoutAlgorithm,
    domain::{ProviderLogout, ProviderSession},
};

/// The longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 8 << 10;
/// The largest difference between the clocks of a provider and the authority.
const SKEW_MAX: Duration = Duration::from_secs(60);
/// The oldest token that counts, whatever its `exp`. The specification recommends an `exp` of two minutes.
const AGE_MAX: Duration = Duration::from_secs(10 * 60);
/// How long a token has to be remembered so that it counts once: then it is too old.
const REMEMBERED_FOR: Duration = Duration::from_secs(13 * 60);
/// The longest `sid`, `sub` and `jti`, in bytes. A session keeps no longer ones.
const ID_BYTES_MAX: usize = 256;
/// The most audiences of a token.
const AUDIENCES_MAX: usize = 64;
/// The member of `events` that makes a token a logout token.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

type Claims = Map<String, Value>;

/// A logout token that passed every check.
#[derive(Debug)]
pub(crate) struct LogoutToken {
    /// The sessions that end.
    pub(crate) logout: ProviderLogout,
    /// Stands for the token among those that counted.
    pub(crate) digest: [u8; 32],
    /// How long it must be remembered.
    pub(crate) keep: Duration,
}

/// Why a logout token ends nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogoutRefusal {
    /// The check that it failed. The text never repeats the token.
    Invalid(&'static str),
    /// The keys of its provider cannot be read now.
    Unavailable,
}

use LogoutRefusal::Invalid;

/// Verifies a logout token at `now`.
pub(super) async fn verify(
    providers: &IdentityProviders,
    token: &str,
    now: SystemTime,
) -> Result<LogoutToken, LogoutRefusal> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Invalid("the token is too long"));
    }
    let header = decode_header(token).map_err(|_| Invalid("the token is malformed"))?;
    let unverified: Claims =
        insecure_decode_claims(token).map_err(|_| Invalid("the token is malformed"))?;
    let provider = find_provider(providers, &unverified)?;
    // Before the key is looked up: a token that cannot pass must not make the authority call the
    // provider.
    check_header(provider, &header)?;
    let claims = verify_signature(provider, &header, token).await?;
    check_times(&claims, now)?;
    check_kind(&claims)?;
    read(provider, &claims)
}

/// Finds the provider that the token names. Nothing of it is verified yet, and nothing is believed but the name.
fn find_provider<'a>(
    providers: &'a IdentityProviders,
    claims: &Claims,
) -> Result<&'a Provider, LogoutRefusal> {
    let issuer = claims.get("iss").and_then(Value::as_str);
    let issuer = issuer.ok_or(Invalid("iss: required"))?;
    if !providers.knows_issuer(issuer) {
        return Err(Invalid("iss: must be a configured identity provider"));
    }
    let provider = providers.find(issuer, &audiences(claims)?);
    provider.ok_or(Invalid("aud: must name a configured client"))
}

fn audiences(claims: &Claims) -> Result<Vec<String>, LogoutRefusal> {
    match claims.get("aud") {
        Some(Value::String(one)) => Ok(vec![one.clone()]),
        Some(Value::Array(many)) if many.len() <= AUDIENCES_MAX => {
            let texts = many.iter().map(|one| one.as_str().map(str::to_owned));
            let texts: Option<Vec<_>> = texts.collect();
            texts.ok_or(Invalid("aud: must be a text or a list of texts"))
        }
        None => Err(Invalid("aud: required")),
        Some(_) => Err(Invalid("aud: must be a text or a list of texts")),
    }
}

fn check_header(provider: &Provider, header: &Header) -> Result<(), LogoutRefusal> {
    let kind = header.typ.as_deref().map(str::to_ascii_lowercase);
    let is_accepted = match kind.as_deref() {
        Some("logout+jwt" | "application/logout+jwt") => true,
        // Older providers send these. The event then tells a logout token from others.
        None | Some("jwt") => !provider.requires_type,
        Some(_) => false,
    };
    if !is_accepted {
        return Err(Invalid("typ: must be logout+jwt"));
    }
    // An extension that this code does not know could change the meaning of everything else (RFC 7515, section 4.1.11).
    if header.crit.is_some() {
        return Err(Invalid("crit: must be unset"));
    }
    let is_allowed = provider
        .algorithms
        .iter()
        .any(|allowed| algorithm(*allowed) == header.alg);
    if !is_allowed {
        return Err(Invalid(
            "alg: must be an algorithm of the identity provider",
        ));
    }
    Ok(())
}

fn algorithm(allowed: LogoutAlgorithm) -> Algorithm {
    match allowed {
        LogoutAlgorithm::RS256 => Algorithm::RS256,
        LogoutAlgorithm::PS256 => Algorithm::PS256,
        LogoutAlgorithm::ES256 => Algorithm::ES256,
        LogoutAlgorithm::ES384 => Algorithm::ES384,
        LogoutAlgorithm::EdDSA => Algorithm::EdDSA,
    }
}

async fn verify_signature(
    provider: &Provider,
    header: &Header,
    token: &str,
) -> Result<Claims, LogoutRefusal> {
    let key = find_key(provider, header).await?;
    let verified = decode::<Claims>(token, &key, &signature_only(header.alg))
        .map_err(|_| Invalid("the signature does not match"))?;
    Ok(verified.claims)
}

async fn find_key(provider: &Provider, header: &Header) -> Result<DecodingKey, LogoutRefusal> {
    const UNKNOWN: LogoutRefusal = Invalid("kid: must be a key of the identity provider");
    match provider.keys.find(header.kid.as_deref(), header.alg).await {
        Ok(key) => DecodingKey::from_jwk(&key).map_err(|_| UNKNOWN),
        Err(NoKey::Unknown) => Err(UNKNOWN),
        Err(NoKey::Unavailable) => Err(LogoutRefusal::Unavailable),
    }
}

fn signature_only(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    // The claims are checked one by one: the library knows nothing of `iat`, `nonce`, `jti` and `events`.
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation
}

fn check_times(claims: &Claims, now: SystemTime) -> Result<(), LogoutRefusal> {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let issued = time(claims, "iat").ok_or(Invalid("iat: required"))?;
    if issued > now + SKEW_MAX {
        return Err(Invalid("iat: must not be in the future"));
    }
    if issued + AGE_MAX + SKEW_MAX < now {
        return Err(Invalid("iat: must be of the last ten minutes"));
    }
    let expires = time(claims, "exp").ok_or(Invalid("exp: required"))?;
    if expires + SKEW_MAX <= now {
        return Err(Invalid("exp: must not have passed"));
    }
    check_beginning(claims, now)
}

/// Checks the time from which the token counts, if it names one.
fn check_beginning(claims: &Claims, now: Duration) -> Result<(), LogoutRefusal> {
    if !claims.contains_key("nbf") {
        return Ok(());
    }
    let begins = time(claims, "nbf").ok_or(Invalid("nbf: must be a time"))?;
    if begins > now + SKEW_MAX {
        return Err(Invalid("nbf: must not be in the future"));
    }
    Ok(())
}

/// A time in seconds since 1970. None: it is missing, or no such number.
fn time(claims: &Claims, name: &str) -> Option<Duration> {
    let value = claims.get(name)?;
    let seconds = match value.as_u64() {
        Some(seconds) => seconds as f64,
        None => value.as_f64()?,
    };
    // A sum of two times must not overflow.
    let is_plausible = (0.0..1e12).contains(&seconds);
    is_plausible.then(|| Duration::from_secs_f64(seconds))
}

/// Checks that this is a logout token, and not another token of the same provider.
fn check_kind(claims: &Claims) -> Result<(), LogoutRefusal> {
    if claims.contains_key("nonce") {
        return Err(Invalid("nonce: must be unset"));
    }
    let event = claims.get("events").and_then(|events| events.get(EVENT));
    if !event.is_some_and(Value::is_object) {
        return Err(Invalid(
            "events: must have the event of a back-channel logout",
        ));
    }
    Ok(())
}

fn read(provider: &Provider, claims: &Claims) -> Result<LogoutToken, LogoutRefusal> {
    let Some(token_id) = text(claims, "jti", Invalid("jti: must be 1 to 256 bytes"))? else {
        return Err(Invalid("jti: required"));
    };
    let session_id = text(claims, "sid", Invalid("sid: must be 1 to 256 bytes"))?;
    let subject = text(claims, "sub", Invalid("sub: must be 1 to 256 bytes"))?;
    if session_id.is_none() && subject.is_none() {
        return Err(Invalid("sid: required unless sub is set"));
    }
    let issuer = &provider.issuer;
    Ok(LogoutToken {
        // Another provider may draw the same `jti`, and must not make this token look used.
        digest: sha256(format!("{issuer}\0{}\0{token_id}", provider.client_id).as_bytes()),
        keep: REMEMBERED_FOR,
        logout: ProviderLogout {
            named: ProviderSession {
                issuer: issuer.clone(),
                session_id: session_id.unwrap_or_default(),
                subject: subject.unwrap_or_default(),
            },
            tenant: provider.tenant.clone(),
        },
    })
}

/// A text, if the claim is there. An empty or long one is as bad as one that is no text.
fn text(
    claims: &Claims,
    name: &str,
    wrong: LogoutRefusal,
) -> Result<Option<String>, LogoutRefusal> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() && text.len() <= ID_BYTES_MAX => {
            Ok(Some(text.clone()))
        }
        Some(_) => Err(wrong),
    }
}

#[cfg(test)]
mod tests;
