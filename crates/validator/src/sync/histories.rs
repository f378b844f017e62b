//! Other histories of the log, whose revocations a gate keeps enforcing.

use std::sync::Arc;

use portcullis_contract::view::View;

/// Histories that are kept beside the current one. More than this within two turns cannot be enforced.
pub(super) const HISTORIES_MAX: usize = 8;
/// Turns of the current history after which no token of an earlier one can be alive.
pub(super) const TURNS_TO_FORGET: u64 = 2;

/// Views of histories that the authority no longer has. Each is enforced until the current history has turned twice
/// since the last fork: no token that it could match is alive then.
#[derive(Default)]
pub(super) struct Histories {
    views: Vec<Arc<View>>,
    /// The turns of the current history when it began to be followed.
    turns_at_fork: u64,
    /// Whether revocations of an earlier history are not in `views`.
    lost: bool,
}

impl Histories {
    /// Keeps `old`, in whose place comes a view with `turns`. `whole` says whether `old` holds all that its history
    /// was known to revoke.
    pub(super) fn remember(&mut self, old: Arc<View>, whole: bool, turns: u64) {
        // Turns of two histories cannot be compared, so all that is kept begins to wait anew.
        self.turns_at_fork = turns;
        self.lost |= !whole;
        if self.views.len() < HISTORIES_MAX {
            self.views.push(old);
        } else {
            self.lost = true;
        }
    }

    /// Forgets everything once the current history has turned twice.
    pub(super) fn forget_at(&mut self, turns: u64) {
        if turns.saturating_sub(self.turns_at_fork) >= TURNS_TO_FORGET {
            self.accept_current();
        }
    }

    /// Forgets everything: the operator vouches for the current history.
    pub(super) fn accept_current(&mut self) {
        self.views.clear();
        self.lost = false;
    }

    pub(super) fn views(&self) -> &[Arc<View>] {
        &self.views
    }

    /// Whether the kept views are not all that was ever seen revoked: no token may be accepted then.
    pub(super) fn is_incomplete(&self) -> bool {
        self.lost
    }
}
