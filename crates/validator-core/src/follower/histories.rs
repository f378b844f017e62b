//! Earlier histories of the log, with revocations that a gate keeps enforcing.

use std::sync::Arc;

use portcullis_contract::view::View;

/// The most histories beside the current one. More than this within two turns cannot be enforced.
pub(crate) const HISTORIES_MAX: usize = 8;
/// The turns of the current history after which no access token of an earlier one can be alive.
pub(crate) const TURNS_TO_FORGET: u64 = 2;

/// Views of histories that the authority no longer has.
///
/// Each is enforced until the current history has turned twice since the last fork: no access token that it could
/// match is alive then.
#[derive(Default)]
pub(crate) struct Histories {
    views: Vec<Arc<View>>,
    /// The revoked API keys and distrusted signing keys of all earlier histories.
    permanent: Option<Arc<View>>,
    /// The turns of the current history at the last fork.
    turns_at_fork: u64,
    /// Whether `views` lack revocations of an earlier history.
    lost: bool,
}

impl Histories {
    /// Keeps `old`, which a view with `turns` replaces. `whole` tells whether `old` has all revocations that its history
    /// was known to have.
    pub(crate) fn remember(&mut self, old: Arc<View>, whole: bool, turns: u64) {
        // Turns of two histories cannot be compared, so every kept history begins to wait anew.
        self.turns_at_fork = turns;
        // A view that was not understood whole may lack revocations. Enforcing it is not enough then.
        self.lost |= !whole;
        self.keep_permanent(&old);
        // Each kept view costs a look-up in every check and its memory, so their number is bounded.
        if self.views.len() < HISTORIES_MAX {
            self.views.push(old);
        } else {
            self.lost = true;
        }
    }

    fn keep_permanent(&mut self, old: &View) {
        // API keys live longer than two turns: a gate that forgot these would admit a key again that it has refused.
        let kept = match &self.permanent {
            Some(kept) => kept.with_permanent_of(old),
            None => View::empty(old.position().incarnation).with_permanent_of(old),
        };
        if kept.has_permanent() {
            self.permanent = Some(Arc::new(kept));
        }
    }

    /// Forgets the sessions of earlier histories once the current one has turned twice.
    pub(crate) fn forget_at(&mut self, turns: u64) {
        if turns.saturating_sub(self.turns_at_fork) >= TURNS_TO_FORGET {
            self.views.clear();
            self.lost = false;
        }
    }

    /// Forgets all earlier histories.
    pub(crate) fn accept_current(&mut self) {
        self.views.clear();
        self.permanent = None;
        self.lost = false;
    }

    /// Returns the views that are enforced beside the current one.
    pub(crate) fn views(&self) -> Vec<Arc<View>> {
        let mut views = self.views.clone();
        views.extend(self.permanent.clone());
        views
    }

    /// Returns whether a revocation that was seen is missing in the kept views. No token may be accepted then.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use portcullis_contract::position::Incarnation;

    use super::*;

    fn view(incarnation: u8) -> Arc<View> {
        Arc::new(View::empty(Incarnation([incarnation; 16])))
    }

    #[test]
    fn a_history_that_was_not_whole_is_missed_until_two_turns() {
        let mut histories = Histories::default();
        histories.remember(view(1), true, 5);
        assert!(!histories.is_incomplete());
        histories.remember(view(2), false, 5);
        assert!(histories.is_incomplete());

        histories.forget_at(6);
        assert!(histories.is_incomplete());
        assert_eq!(histories.views().len(), 2);
        histories.forget_at(7);
        assert!(!histories.is_incomplete());
        assert_eq!(histories.views().len(), 0);
    }

    #[test]
    fn a_bounded_number_of_histories_is_kept() {
        let mut histories = Histories::default();
        for number in 0..HISTORIES_MAX {
            histories.remember(view(number as u8), true, 0);
        }
        assert!(!histories.is_incomplete());
        histories.remember(view(99), true, 0);
        assert!(histories.is_incomplete());
        assert_eq!(histories.views().len(), HISTORIES_MAX);
    }
}
