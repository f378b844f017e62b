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
    // RFC 7519, section 4.1.4: not accepted on or after this time.
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        delta::{self, Change, Scope},
        id::{ApiKeyId, Serial, TenantId, TenantSerial, UserId, UserSerial},
        key::{Algorithm, CredentialKind, KeyId, PrivateKey, VerificationKey},
        position::{Incarnation, Revision},
        token::ApiKeyClaims,
        view::{Frame, Subject},
    };

    const KIND: CredentialKind = CredentialKind::ApiKey;

    /// A key that was issued at 1,000 s and lives to 2,000 s.
    fn identity(key: &Arc<VerificationKey>) -> Verified<ApiKeyClaims> {
        let claims = ApiKeyClaims {
            tenant_id: TenantId::parse("acme").expect("an id"),
            owner_id: UserId::parse("ada").expect("an id"),
            api_key_id: ApiKeyId::generate(),
            subject: Subject {
                serial: Serial(1),
                user: UserSerial(2),
                tenant: TenantSerial(3),
                opened: Revision(1),
            },
            scopes: vec![],
            audiences: vec![],
            issued_at: 1_000,
            expires_at: Some(2_000),
        };
        Verified {
            claims,
            key: Arc::clone(key),
        }
    }

    fn key() -> VerificationKey {
        let private = PrivateKey::generate(Algorithm::Ed25519);
        let id = KeyId::parse("k1").expect("an id");
        let key = VerificationKey::new(id, private.algorithm(), private.public_bytes(), KIND);
        key.expect("a good key")
    }

    fn apply(view: &View, changes: &[Change]) -> View {
        let frame = Frame {
            revision: Revision(view.position().revision.0 + 1),
            delta: delta::encode(changes, vec![]),
            audit_digest: [0; 32],
        };
        view.apply(&frame).expect("applies")
    }

    #[test]
    fn it_is_good_from_a_minute_before_its_issue_up_to_its_expiry() {
        let view = apply(&View::empty(Incarnation([1; 16])), &[Change::Trust(key())]);
        let identity = identity(&view.trusted_keys()[0]);
        for (now, expected) in [
            (939, Err(Rejection::NotYetValid)),
            (940, Ok(())),
            (1_000, Ok(())),
            (1_999, Ok(())),
            (2_000, Err(Rejection::Expired)),
            (u64::MAX, Err(Rejection::Expired)),
        ] {
            assert_eq!(verdict(&identity, &view, now), expected, "at {now}");
        }
    }

    #[test]
    fn the_first_reason_in_order_is_told() {
        let trusting = apply(&View::empty(Incarnation([1; 16])), &[Change::Trust(key())]);
        let identity = identity(&trusting.trusted_keys()[0]);
        let cut_off = apply(
            &trusting,
            &[Change::Cut {
                credential: KIND,
                scope: Scope::User(UserSerial(2)),
                exempt: None,
            }],
        );
        let revoke = Change::Revoke {
            credential: KIND,
            serials: vec![Serial(1)],
        };
        let revoked = apply(&cut_off, &[revoke]);
        let distrust = Change::Distrust(KeyId::parse("k1").expect("an id"));
        let distrusted = apply(&revoked, &[distrust]);
        for (view, expected) in [
            (&trusting, Ok(())),
            (&cut_off, Err(Rejection::SignedOut)),
            (&revoked, Err(Rejection::Revoked)),
            (&distrusted, Err(Rejection::DistrustedKey)),
        ] {
            assert_eq!(verdict(&identity, view, 1_500), expected);
            assert_eq!(check_view(&identity, view), expected);
            assert_eq!(verdict(&identity, view, 2_500), Err(Rejection::Expired));
        }
        // A view that does not know the key still knows what it revokes.
        assert_eq!(
            check_revocations(&identity, &distrusted),
            Err(Rejection::Revoked)
        );
    }
}
