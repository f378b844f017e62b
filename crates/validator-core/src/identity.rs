//! Who an admitted request speaks for.

use std::{fmt, ops::Deref, sync::OnceLock};

use portcullis_contract::token::{ApiKeyClaims, Claims, Verified};

use crate::activity::Activity;

/// Who a verified token speaks for, and the key that says so; read it as what the token says.
pub struct Admitted<C> {
    verified: Verified<C>,
    /// Unset: its use is not tracked.
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

    #[inline]
    pub(crate) fn activity(&self) -> Option<&Activity> {
        self.activity.get()
    }

    /// Begins to track its use. False: someone else did.
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
    /// Without where it was used.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.verified.fmt(f)
    }
}
