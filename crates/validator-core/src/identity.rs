//! Identities: the person or the program that an admitted request speaks for.

use std::{fmt, ops::Deref, sync::OnceLock};

use portcullis_contract::token::{ApiKeyClaims, Claims, Verified};

use crate::activity::Activity;

/// The holder of a token that was admitted. Dereferences to the token's claims and its key.
pub struct Admitted<C> {
    verified: Verified<C>,
    /// The use of the token. Unset while it is not tracked.
    activity: OnceLock<Activity>,
}

/// A person, by the access token of their session.
pub type Identity = Admitted<Claims>;

/// A program, by its API key.
pub type ApiKeyIdentity = Admitted<ApiKeyClaims>;

impl<C> Admitted<C> {
    pub(crate) fn new(verified: Verified<C>) -> Self {
        Self {
            verified,
            activity: OnceLock::new(),
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

impl<C> Deref for Admitted<C> {
    type Target = Verified<C>;

    fn deref(&self) -> &Verified<C> {
        &self.verified
    }
}

impl<C: fmt::Debug> fmt::Debug for Admitted<C> {
    /// Leaves out the activity: addresses and pages are personal data and do not belong into logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.verified.fmt(f)
    }
}
