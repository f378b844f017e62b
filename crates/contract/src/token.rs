//! Access tokens: signed JWTs in the profile of RFC 9068, written and read strictly. API keys are tokens of another
//! kind.
//!
//! A signature proves the writer of a token, not that the token is harmless. So every member of the header is known and
//! wanted (no `crit`, `jwk`, `jku`, `zip`, `enc`); `typ` is exactly the kind's, and so is the kind of the key; the
//! algorithm is the key's; no member stands twice; the size is bounded; and `iss`, `sub` and `aud` are there.

mod access;
mod api_key;
mod claims;
mod json;
mod jws;

pub use self::{
    access::Claims,
    api_key::{ApiKeyClaims, SCOPE_BYTES_MAX, is_scope},
    claims::{Expected, TokenClaims, Verified},
    jws::{ACCESS_TOKEN_BYTES_MAX, Signer, claimed_kind, verify, verify_as},
};

/// A person, by the access token of their session.
pub type Identity = Verified<Claims>;

#[cfg(test)]
mod tests;
