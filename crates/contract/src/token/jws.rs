//! The JWS compact form: header, claims and signature, written and checked.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use super::{
    access::Claims,
    api_key::ApiKeyClaims,
    claims::{Expected, TokenClaims, Verified},
    json,
};
use crate::{
    key::{CredentialKind, KeyId, PrivateKey, SignError, VerificationKey},
    rejection::Rejection,
    view::View,
};

/// The largest token of any kind that is looked at, in bytes.
pub const ACCESS_TOKEN_BYTES_MAX: usize = 8 * 1024;

/// The header of a token. A member that is not listed here makes the token malformed: it could change its meaning.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<'a> {
    typ: &'a str,
    alg: &'a str,
    kid: &'a str,
}

/// A private key that signs tokens.
pub struct Signer {
    pub(super) id: KeyId,
    pub(super) key: PrivateKey,
}

impl Signer {
    /// Makes a signer whose tokens name the key `id`.
    #[must_use]
    pub fn new(id: KeyId, key: PrivateKey) -> Self {
        Self { id, key }
    }

    /// The key's `kid`.
    #[must_use]
    pub fn key_id(&self) -> &KeyId {
        &self.id
    }

    /// Signs a token with these claims.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn sign<C: TokenClaims>(&self, issuer: &str, claims: &C) -> Result<String, SignError> {
        self.sign_json(C::TYPE, &claims.to_json(issuer))
    }

    /// Signs a token of another type, whose claims are this JSON. The caller answers for both: a key that signs
    /// credentials signs nothing else.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn sign_json(&self, typ: &str, claims: &[u8]) -> Result<String, SignError> {
        // The key names the algorithm here too. A caller that chose it could sign what no gate
        // accepts.
        let header = json::to_json(&Header {
            typ,
            alg: self.key.algorithm().jose_name(),
            kid: self.id.as_str(),
        });
        let header = URL_SAFE_NO_PAD.encode(header);
        let claims = URL_SAFE_NO_PAD.encode(claims);
        let message = format!("{header}.{claims}");

        let signature = self.key.sign(message.as_bytes())?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// Returns the kind of credential that a token claims to be by its `typ`, or `None` for any other text. Nothing is
/// verified: it only tells a gate that takes both kinds which check to make.
#[must_use]
pub fn claimed_kind(token: &str) -> Option<CredentialKind> {
    // Bounded here as well: nobody has verified this text yet.
    if token.len() > ACCESS_TOKEN_BYTES_MAX {
        return None;
    }
    let (header, _) = token.split_once('.')?;
    let header = decode_part(header).ok()?;
    match read_header(&header).ok()?.typ {
        Claims::TYPE => Some(CredentialKind::Session),
        ApiKeyClaims::TYPE => Some(CredentialKind::ApiKey),
        _ => None,
    }
}

/// Reads the access token of a session, by [`verify_as`].
///
/// # Errors
/// The same as [`verify_as`].
pub fn verify(
    token: &str,
    view: &View,
    expected: &Expected,
) -> Result<Verified<Claims>, Rejection> {
    verify_as(token, view, expected)
}

/// Reads a token and checks all that does not change with time: form, type, key, signature, issuer, audience.
///
/// # Errors
/// A rejection that stays the same at any later time, except [`Rejection::UnknownKey`].
pub fn verify_as<C: TokenClaims>(
    token: &str,
    view: &View,
    expected: &Expected,
) -> Result<Verified<C>, Rejection> {
    // The bound comes first: without it a large text would be decoded before it is refused.
    if token.len() > ACCESS_TOKEN_BYTES_MAX {
        return Err(Rejection::Oversized);
    }
    // From the right, so that a fourth part stays in the claims, where base64 refuses its dot.
    let (message, signature) = token.rsplit_once('.').ok_or(Rejection::Malformed)?;
    let (header, claims) = message.split_once('.').ok_or(Rejection::Malformed)?;

    // No claim is read before the signature is found good: hostile bytes reach the header's parser only.
    let key = find_key::<C>(header, view)?;
    if !key.verify(message.as_bytes(), signature) {
        return Err(Rejection::BadSignature);
    }

    // The signature is good, but claims of our own signer from an older version may still be malformed.
    let claims = decode_part(claims)?;
    if !json::is_object(&claims) || json::reject_duplicate_members(&claims).is_err() {
        return Err(Rejection::Malformed);
    }
    Ok(Verified {
        claims: C::from_json(&claims, expected)?,
        key,
    })
}

fn find_key<C: TokenClaims>(header: &str, view: &View) -> Result<Arc<VerificationKey>, Rejection> {
    let header = decode_part(header)?;
    let header = read_header(&header)?;
    if header.typ != C::TYPE {
        return Err(Rejection::WrongType);
    }

    let id = KeyId::parse(header.kid).map_err(|_| Rejection::Malformed)?;
    // Asked before trust, so that a retired key is reported as retired. A client signs in again instead of waiting.
    if view.distrusts(&id) {
        return Err(Rejection::DistrustedKey);
    }
    let key = view.trusted_key(id.as_str()).ok_or(Rejection::UnknownKey)?;

    // The key decides about the algorithm. A header that could choose it would turn a public key into a shared secret.
    if !key.algorithm.is_named(header.alg) {
        return Err(Rejection::WrongAlgorithm);
    }
    // A key signs one kind of credential, so a key of one kind cannot make the other.
    if key.credential != C::CREDENTIAL {
        return Err(Rejection::WrongType);
    }
    Ok(Arc::clone(key))
}

fn read_header(header: &[u8]) -> Result<Header<'_>, Rejection> {
    if !json::is_object(header) {
        return Err(Rejection::Malformed);
    }
    serde_json::from_slice(header).map_err(|_| Rejection::Malformed)
}

fn decode_part(part: &str) -> Result<Vec<u8>, Rejection> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| Rejection::Malformed)
}
