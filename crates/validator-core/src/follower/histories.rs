//! Other histories of the log, whose revocations a gate keeps enforcing.

use std::sync::Arc;

use portcullis_contract::view::View;

/// Histories that are kept beside the current one. More than this within two turns cannot be enforced.
pub(super) const HISTORIES_MAX: usize = 8;
/// Turns of the current history after which no access token of an earlier one can be alive.
pub(super) const TURNS_TO_FORGET: u64 = 2;

/// Views of histories that the authority no longer has. Each is enforced until the current history has turned twice
/// since the last fork: no access token that it could match is alive then.
#[derive(Default)]
pub(super) struct Histories {
    views: Vec<Arc<View>>,
    /// The revoked API keys and distrusted signing keys of all earlier histories. API keys live longer than two turns, so
    /// a gate that forgot these would admit a key again that it has refused.
    permanent: Option<Arc<View>>,
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
        self.keep_permanent(&old);
        if self.views.len() < HISTORIES_MAX {
            self.views.push(old);
        } else {
            self.lost = true;
        }
    }

    fn keep_permanent(&mut self, old: &View) {
        let kept = match &self.permanent {
            Some(kept) => kept.with_permanent_of(old),
            None => View::empty(old.position().incarnation).with_permanent_of(old),
        };
        if kept.has_permanent() {
            self.permanent = Some(Arc::new(kept));
        }
    }

    /// Forgets sessions once the current history has turned twice.
    pub(super) fn forget_at(&mut self, turns: u64) {
        if turns.saturating_sub(self.turns_at_fork) >= TURNS_TO_FORGET {
            self.views.clear();
            self.lost = false;
        }
    }

    /// Forgets everything: the operator vouches for the current history.
    pub(super) fn accept_current(&mut self) {
        self.views.clear();
        self.permanent = None;
        self.lost = false;
    }

    /// The views that are enforced beside the current one.
    pub(super) fn views(&self) -> Vec<Arc<View>> {
        self.views.iter().chain(&self.permanent).cloned().collect()
    }

    /// Whether the kept views are not all that was ever seen revoked: no token may be accepted then.
    pub(super) fn is_incomplete(&self) -> bool {
        self.lost
    }
}
