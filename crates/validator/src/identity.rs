//! Who an admitted request speaks for.

use std::{fmt, ops::Deref, sync::OnceLock};

use portcullis_contract::token;

use crate::activity::Activity;

/// Who a verified token speaks for, and the key that says so; read it as what the token says.
pub struct Identity {
    verified: token::Identity,
    /// Unset: its use is not tracked.
    activity: OnceLock<Activity>,
}

impl Identity {
    pub(crate) fn new(verified: token::Identity) -> Self {
        Self { verified, activity: OnceLock::new() }
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

impl Deref for Identity {
    type Target = token::Identity;

    fn deref(&self) -> &token::Identity {
        &self.verified
    }
}

impl fmt::Debug for Identity {
    /// Without where it was used.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.verified.fmt(f)
    }
}
