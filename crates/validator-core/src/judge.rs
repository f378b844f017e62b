//! The judge: the decision about a token whose signature was verified.

use std::time::Duration;

use portcullis_contract::{
    rejection::Rejection,
    token::{TokenClaims, Verified},
    verdict::check_view,
    view::View,
};

use crate::{
    clock::Mark,
    ended::Waiting,
    settings::Settings,
    state::{Freshness, Mode, State},
    sync::{ArcSwap, AtomicBool, Ordering},
};

/// The state of an engine and the rules by which it judges. Identities share it to learn of their end.
pub(crate) struct Judge {
    pub(crate) state: ArcSwap<State>,
    pub(crate) waiting: Waiting,
    mode: Mode,
    max_staleness: Duration,
    /// Set when nobody keeps the state any more.
    closed: AtomicBool,
}

/// A decision for a token.
pub(crate) struct Acceptance {
    /// The time at which it was judged.
    pub(crate) now: Mark,
    /// Whether the state was too old to prove anything, and the mode is best effort.
    pub(crate) is_stale: bool,
}

impl Judge {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            state: ArcSwap::from_pointee(State::new(settings.clock_skew_max)),
            waiting: Waiting::new(),
            mode: settings.mode,
            max_staleness: settings.max_staleness,
            closed: AtomicBool::new(false),
        }
    }

    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    pub(crate) fn max_staleness(&self) -> Duration {
        self.max_staleness
    }

    /// Decides by one state, and by the view in it. `strict` tightens best effort.
    #[inline]
    pub(crate) fn judge<C: TokenClaims>(
        &self,
        identity: &Verified<C>,
        state: &State,
        view: &View,
        strict: bool,
        clock: impl Fn() -> Mark,
    ) -> Result<Acceptance, Rejection> {
        check_view(identity, view)?;
        // Nearly always empty. The test keeps the call, and its loop, off the hot path.
        if !state.remembered.is_empty() {
            state.check_remembered(identity)?;
        }

        // The clock is read last: a pause of this thread before this line makes the proof older, never younger.
        let now = clock();
        state.check_time(identity, &now)?;
        let is_stale = self.check_freshness(state, &now, strict)?;
        Ok(Acceptance { now, is_stale })
    }

    /// Returns whether the state is stale, if it may still be used.
    #[inline]
    pub(crate) fn check_freshness(
        &self,
        state: &State,
        now: &Mark,
        strict: bool,
    ) -> Result<bool, Rejection> {
        match (state.freshness(now, self.max_staleness), self.mode) {
            (Freshness::Fresh { .. }, _) => Ok(false),
            (Freshness::Stale { age }, Mode::BestEffort { stale_max })
                if age <= stale_max && !strict =>
            {
                Ok(true)
            }
            (Freshness::Stale { age }, _) => Err(Rejection::Stale { age }),
            (Freshness::Unready { .. }, _) => Err(state.unavailable(now)),
        }
    }

    pub(crate) fn freshness(&self, state: &State, now: &Mark) -> Freshness {
        state.freshness(now, self.max_staleness)
    }

    /// Returns the reason for which a check of this token would refuse it now, or a strict check.
    pub(crate) fn rejection<C: TokenClaims>(
        &self,
        identity: &Verified<C>,
        strict: bool,
    ) -> Option<Rejection> {
        if self.closed.load(Ordering::SeqCst) {
            return Some(Rejection::Unready);
        }
        let state = self.state.load();
        let view = match state.usable_view() {
            Ok(view) => view,
            Err(rejection) => return Some(rejection),
        };
        self.judge(identity, &state, view, strict, Mark::now).err()
    }

    /// Ends every identity for good: no state will follow.
    pub(crate) fn close(&self) {
        // Before the wakers: a future that they wake sees it.
        self.closed.store(true, Ordering::SeqCst);
        self.waiting.wake_ended();
    }
}
