//! Identities: the person or the program that an admitted request speaks for.

use std::{
    fmt,
    ops::Deref,
    sync::{Arc, OnceLock},
};

use portcullis_contract::{
    rejection::Rejection,
    token::{ApiKeyClaims, Claims, TokenClaims, Verified},
};

use crate::{
    activity::Activity,
    ended::{Ended, Judged, Waiting},
    judge::Judge,
};

/// The holder of a token that was admitted. Dereferences to the token's claims and its key.
pub struct Admitted<C> {
    verified: Verified<C>,
    /// The use of the token. Unset while it is not tracked.
    activity: OnceLock<Activity>,
    /// Of the engine that admitted it.
    judge: Arc<Judge>,
}

/// A person, by the access token of their session.
pub type Identity = Admitted<Claims>;

/// A program, by its API key.
pub type ApiKeyIdentity = Admitted<ApiKeyClaims>;

impl<C> Admitted<C> {
    pub(crate) fn new(verified: Verified<C>, judge: Arc<Judge>) -> Self {
        Self {
            verified,
            activity: OnceLock::new(),
            judge,
        }
    }

    // Read in every check: one load, and no lock once it is set.
    #[inline]
    pub(crate) fn activity(&self) -> Option<&Activity> {
        self.activity.get()
    }

    /// Begins to track the use of the token. Returns false when another thread did.
    pub(crate) fn begin_activity(&self) -> bool {
        self.activity.set(Activity::default()).is_ok()
    }
}

impl<C: TokenClaims> Admitted<C> {
    /// Waits for the end of this identity, for a stream that outlives its request. Resolves with the reason.
    ///
    /// The end is the moment from which a request with the same token would be refused, so a stream keeps the same
    /// promise as requests do:
    ///
    /// - The session or API key was revoked, or a cutoff covers it
    ///   ([`Revoked`](portcullis_contract::rejection::Rejection::Revoked),
    ///   [`SignedOut`](portcullis_contract::rejection::Rejection::SignedOut)), or its signing key is distrusted.
    /// - The token expired ([`Expired`](portcullis_contract::rejection::Rejection::Expired)). The session may live:
    ///   admit the client's next token, and wait for the end of that identity.
    /// - The gate cannot know
    ///   ([`is_unavailable`](portcullis_contract::rejection::Rejection::is_unavailable)): a strict gate is stale, or any
    ///   gate is not ready, or it ended.
    ///
    /// Waiting is no use of the session. Check the token again at each message that a person caused, and that counts.
    pub fn ended(self: &Arc<Self>) -> Ended {
        let identity = Arc::<Self>::clone(self);
        Ended::new(identity, false)
    }

    /// Waits as [`ended`](Self::ended), for a stream of a request that was [strict](crate::RequestInfo::strict): it also
    /// ends when an engine in best-effort mode has no proof of freshness.
    pub fn ended_strictly(self: &Arc<Self>) -> Ended {
        let identity = Arc::<Self>::clone(self);
        Ended::new(identity, true)
    }
}

impl<C: TokenClaims> Judged for Admitted<C> {
    fn waiting(&self) -> &Waiting {
        &self.judge.waiting
    }

    fn rejection(&self, strict: bool) -> Option<Rejection> {
        self.judge.rejection(&self.verified, strict)
    }
}

impl<C> Deref for Admitted<C> {
    type Target = Verified<C>;

    fn deref(&self) -> &Verified<C> {
        &self.verified
    }
}

impl<C: fmt::Debug> fmt::Debug for Admitted<C> {
    /// Leaves out the engine, and the activity: addresses and pages are personal data and do not belong into logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.verified.fmt(f)
    }
}
