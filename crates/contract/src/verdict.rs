//! The verdict: whether a verified token is good at a view and a time. Pure functions.

pub use crate::rejection::Rejection;
use crate::{
    token::{TokenClaims, Verified},
    view::View,
};

/// The most seconds by which the issuer's clock may be ahead before a token counts as issued in the future.
///
/// The bound only catches nonsense: `exp` has no tolerance at all, and that is the check that protects.
pub const ISSUED_AHEAD_SECONDS_MAX: u64 = 60;

/// Decides about a verified token at `view` and `now` (seconds since 1970). The caller checks freshness itself.
///
/// # Errors
/// The first reason found, in the order: time, key, revocation, cutoffs.
pub fn verdict<C: TokenClaims>(
    identity: &Verified<C>,
    view: &View,
    now: u64,
) -> Result<(), Rejection> {
    check_time(identity, now)?;
    check_view(identity, view)
}

/// Checks `iat` and `exp`. A gate reads its clock last, after [`check_view`], so that a pause in between is seen.
///
/// # Errors
/// [`Rejection::Expired`], [`Rejection::NotYetValid`].
pub fn check_time<C: TokenClaims>(identity: &Verified<C>, now: u64) -> Result<(), Rejection> {
    if let Some(expires_at) = identity.expires_at()
        && now >= expires_at
    {
        return Err(Rejection::Expired);
    }
    if identity.issued_at() > now.saturating_add(ISSUED_AHEAD_SECONDS_MAX) {
        return Err(Rejection::NotYetValid);
    }
    Ok(())
}

/// Checks that the view trusts the key and revokes nothing of the credential.
///
/// # Errors
/// [`Rejection::DistrustedKey`], [`Rejection::Revoked`], [`Rejection::SignedOut`].
pub fn check_view<C: TokenClaims>(identity: &Verified<C>, view: &View) -> Result<(), Rejection> {
    // A cached token was verified under an older view: its key may have been distrusted since.
    if !view.trusts(&identity.key) {
        return Err(Rejection::DistrustedKey);
    }
    check_revocations(identity, view)
}

/// Checks revocations and cutoffs only, for a view that may not know the key.
///
/// # Errors
/// [`Rejection::Revoked`], [`Rejection::SignedOut`].
pub fn check_revocations<C: TokenClaims>(
    identity: &Verified<C>,
    view: &View,
) -> Result<(), Rejection> {
    // A revoked session of a user who signed out is reported as revoked: the more exact reason wins.
    if view.is_revoked(C::CREDENTIAL, identity.subject()) {
        return Err(Rejection::Revoked);
    }
    if view.is_cut(C::CREDENTIAL, identity.subject()) {
        return Err(Rejection::SignedOut);
    }
    Ok(())
}
