//! The verdict: whether a verified token is good at a view and a time. A pure function.

use std::time::Duration;

use crate::{
    token::{TokenClaims, Verified},
    view::View,
};

/// How far the issuer's clock may be ahead of the reader's before a token is refused as from the future, in seconds.
/// It protects nothing by itself (`exp` has no tolerance at all); it only catches nonsense.
pub const ISSUED_AHEAD_SECONDS_MAX: u64 = 60;

/// Why a token was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There was no token.
    #[error("no token")]
    Missing,
    /// Larger than a token can be.
    #[error("the token is too large")]
    Oversized,
    /// Not a token of ours, in one of many ways.
    #[error("the token is malformed")]
    Malformed,
    /// A token of another type.
    #[error("the token is of another type")]
    WrongType,
    /// The header names another algorithm than its key has.
    #[error("the token's algorithm is not its key's")]
    WrongAlgorithm,
    /// No such key is trusted, or none yet.
    #[error("the token's key is not known")]
    UnknownKey,
    /// The key was retired.
    #[error("the token's key is no longer trusted")]
    DistrustedKey,
    /// Forged or damaged.
    #[error("the token's signature does not match")]
    BadSignature,
    /// From another issuer.
    #[error("the token is from another issuer")]
    WrongIssuer,
    /// For someone else.
    #[error("the token is for another audience")]
    WrongAudience,
    /// `iat` is in the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// Its session or API key was ended.
    #[error("the credential was revoked")]
    Revoked,
    /// Its user, its tenant or everyone was signed out after the session was opened; or an API key's owner disabled.
    #[error("the credential was cut off")]
    SignedOut,
    /// The validator cannot prove that it knows the latest revocations.
    #[error("the validator is stale")]
    Stale {
        /// How long ago it last could.
        age: Duration,
    },
    /// The validator has no view yet, or no longer understands the log.
    #[error("the validator is not ready")]
    Unready,
    /// The clocks of the validator and the database differ by more than allowed, so nobody knows what time it is.
    #[error("the validator's clock differs from the database's")]
    ClockSkew,
    /// Too many forged tokens came from the same source; a token that was not seen before is not checked for now.
    #[error("too many forged tokens from this source: retry after 1 s")]
    Busy,
}

impl Rejection {
    /// A word for machines.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Oversized => "oversized",
            Self::Malformed => "malformed",
            Self::WrongType => "wrong_type",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::UnknownKey => "unknown_key",
            Self::DistrustedKey => "distrusted_key",
            Self::BadSignature => "bad_signature",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::NotYetValid => "not_yet_valid",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::SignedOut => "signed_out",
            Self::Stale { .. } => "stale",
            Self::Unready => "unready",
            Self::ClockSkew => "clock_skew",
            Self::Busy => "busy",
        }
    }

    /// Whether the fault is not the token's: the gate cannot know. HTTP gates answer 503 then, else 401.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(
            self,
            Self::Stale { .. } | Self::Unready | Self::ClockSkew | Self::Busy
        )
    }
}

/// Decides about a verified token at `view` and `now` (seconds since 1970). Freshness is the caller's.
///
/// # Errors
/// The first reason found, in the order: time, key, revocation, cutoffs.
pub fn verdict<C: TokenClaims>(
    identity: &Verified<C>,
    view: &View,
    now: u64,
) -> Result<(), Rejection> {
    check_time(identity, now)?;
    check_standing(identity, view)
}

/// The part that depends on the time only. A gate reads its clock last, after [`check_standing`], so that a pause in
/// between is seen.
///
/// # Errors
/// [`Rejection::Expired`], [`Rejection::NotYetValid`].
pub fn check_time<C: TokenClaims>(identity: &Verified<C>, now: u64) -> Result<(), Rejection> {
    if identity
        .expires_at()
        .is_some_and(|expires_at| now >= expires_at)
    {
        return Err(Rejection::Expired);
    }
    if identity.issued_at() > now.saturating_add(ISSUED_AHEAD_SECONDS_MAX) {
        return Err(Rejection::NotYetValid);
    }
    Ok(())
}

/// The part that depends on the view only.
///
/// # Errors
/// [`Rejection::DistrustedKey`], [`Rejection::Revoked`], [`Rejection::SignedOut`].
pub fn check_standing<C: TokenClaims>(
    identity: &Verified<C>,
    view: &View,
) -> Result<(), Rejection> {
    if !view.trusts(&identity.key) {
        return Err(Rejection::DistrustedKey);
    }
    check_revocations(identity, view)
}

/// The part that is about revocations alone, for a view that may not know the key.
///
/// # Errors
/// [`Rejection::Revoked`], [`Rejection::SignedOut`].
pub fn check_revocations<C: TokenClaims>(
    identity: &Verified<C>,
    view: &View,
) -> Result<(), Rejection> {
    if view.is_revoked(C::CREDENTIAL, identity.subject()) {
        return Err(Rejection::Revoked);
    }
    if view.is_cut(C::CREDENTIAL, identity.subject()) {
        return Err(Rejection::SignedOut);
    }
    Ok(())
}
