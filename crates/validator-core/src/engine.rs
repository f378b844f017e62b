//! The engine: the hot path, and the questions that a gateway asks about it.

use std::sync::Arc;

use portcullis_contract::{
    position::Position,
    rejection::Rejection,
    token::{Expected, TokenClaims, verify_as},
    view::View,
};

use crate::{
    activity::RequestInfo,
    cache::{Miss, TokenCache},
    clock::Mark,
    first_sight::FirstSights,
    identity::{Admitted, ApiKeyIdentity, Identity},
    judge::Judge,
    reports::Reports,
    settings::{BuildError, Settings},
    state::{Freshness, Mode, State},
    statistics::{Counters, Statistics},
    sync::{AtomicBool, AtomicU64, Ordering},
    tracking::Tracking,
};

/// The decision about tokens, by a view that a [`Follower`](crate::Follower) keeps.
///
/// All methods take `&self`, never await and never wait for a writer. Share one engine between all threads.
pub struct Engine {
    pub(crate) judge: Arc<Judge>,
    pub(crate) forks: AtomicU64,
    /// Set by [`Engine::accept_history`] and taken by the follower.
    pub(crate) accept_history: AtomicBool,
    expected: Expected,
    sessions: TokenCache,
    api_keys: TokenCache<ApiKeyIdentity>,
    counters: Counters,
    first_sights: FirstSights,
    /// `None` when the use of tokens is not reported.
    tracking: Option<Arc<Tracking>>,
}

impl Engine {
    /// Makes an engine that is not ready yet, and its reports of activity when they are wanted.
    ///
    /// # Errors
    /// When a setting is missing or out of its bounds.
    pub fn new(settings: Settings) -> Result<(Self, Option<Reports>), BuildError> {
        // An engine that cannot admit anything, or that admits too much, is refused before it exists.
        settings.check()?;
        let mut tracking = None;
        let mut reports = None;
        if settings.track_activity {
            // The channel lives as long as the engine: credentials wait in it while the reporter is between two rounds.
            let (bound, incoming) = Tracking::new(settings.activity_tokens_max);
            let bound = Arc::new(bound);
            reports = Some(Reports::new(Arc::clone(&bound), incoming));
            tracking = Some(bound);
        }
        let engine = Self {
            judge: Arc::new(Judge::new(&settings)),
            forks: AtomicU64::new(0),
            accept_history: AtomicBool::new(false),
            expected: settings.expected,
            sessions: TokenCache::new(settings.cached_tokens_max),
            api_keys: TokenCache::new(settings.cached_api_keys_max),
            counters: Counters::new(),
            first_sights: FirstSights::new(settings.forged),
            tracking,
        };
        Ok((engine, reports))
    }

    /// Decides about the access token of a session.
    ///
    /// Allocates nothing for a known token. An admitted request counts as use of the session, unless it is
    /// [in the background](RequestInfo::background). An API key is refused here ([`Rejection::WrongType`]).
    ///
    /// # Errors
    /// The reason for the refusal. [`Rejection::is_unavailable`] tells a dead token from a gate that cannot know.
    pub fn check(
        &self,
        token: &str,
        request: &RequestInfo<'_>,
    ) -> Result<Arc<Identity>, Rejection> {
        self.decide_and_count(&self.sessions, token, request, &Mark::now)
    }

    /// Decides as [`check`](Self::check) does, by a clock that the host reads itself.
    ///
    /// The clock is read once, and last: a pause before it makes the verdict stricter. It has to be the clock by which the
    /// host sends its probes.
    ///
    /// # Errors
    /// As for [`check`](Self::check).
    pub fn check_by_clock(
        &self,
        token: &str,
        request: &RequestInfo<'_>,
        clock: impl Fn() -> Mark,
    ) -> Result<Arc<Identity>, Rejection> {
        self.decide_and_count(&self.sessions, token, request, &clock)
    }

    /// Decides about an API key. An access token is refused here.
    ///
    /// # Errors
    /// The reason for the refusal, as for [`check`](Self::check).
    pub fn check_api_key(
        &self,
        key: &str,
        request: &RequestInfo<'_>,
    ) -> Result<Arc<ApiKeyIdentity>, Rejection> {
        self.check_api_key_by_clock(key, request, Mark::now)
    }

    /// Decides as [`check_api_key`](Self::check_api_key) does, by a clock that the host reads itself: the one of
    /// [`check_by_clock`](Self::check_by_clock).
    ///
    /// # Errors
    /// As for [`check_api_key`](Self::check_api_key).
    pub fn check_api_key_by_clock(
        &self,
        key: &str,
        request: &RequestInfo<'_>,
        clock: impl Fn() -> Mark,
    ) -> Result<Arc<ApiKeyIdentity>, Rejection> {
        self.decide_and_count(&self.api_keys, key, request, &clock)
    }

    /// Counts a request that was refused before there was a token to check.
    pub fn record_refused(&self, rejection: &Rejection) {
        self.counters.record_refused(rejection);
    }

    #[inline]
    fn decide_and_count<C: TokenClaims>(
        &self,
        cache: &TokenCache<Admitted<C>>,
        token: &str,
        request: &RequestInfo<'_>,
        clock: &impl Fn() -> Mark,
    ) -> Result<Arc<Admitted<C>>, Rejection> {
        // Every way out of a decision passes here, so that no verdict is missed in the counts.
        let verdict = self.decide(cache, token, request, clock);
        self.counters.record_verdict(verdict.as_ref().err());
        verdict
    }

    #[inline]
    fn decide<C: TokenClaims>(
        &self,
        cache: &TokenCache<Admitted<C>>,
        token: &str,
        request: &RequestInfo<'_>,
        clock: &impl Fn() -> Mark,
    ) -> Result<Arc<Admitted<C>>, Rejection> {
        // The proof of freshness is loaded with the view, before anything is looked up in it. Loaded afterwards, it
        // could be about a newer view than the one that answered.
        let state = self.judge.state.load();
        let view = match state.usable_view() {
            Ok(view) => view,
            Err(rejection) => {
                self.counters.record_not_looked_up();
                return Err(rejection);
            }
        };

        let admit = |known: &Arc<Admitted<C>>| self.admit(known, &state, view, request, clock);
        match cache.get(token, admit) {
            Ok(verdict) => verdict,
            Err(miss) => {
                let identity = self.verify_unknown(cache, token, &state, request, miss)?;
                self.admit(&identity, &state, view, request, clock)
            }
        }
    }

    /// Decides about a token with a good signature.
    #[inline]
    fn admit<C: TokenClaims>(
        &self,
        identity: &Arc<Admitted<C>>,
        state: &State,
        view: &View,
        request: &RequestInfo<'_>,
        clock: &impl Fn() -> Mark,
    ) -> Result<Arc<Admitted<C>>, Rejection> {
        let acceptance = self
            .judge
            .judge(identity, state, view, request.strict, clock)?;
        if acceptance.is_stale {
            // Counted, because an operator has to see that the bound is not kept.
            self.counters.record_accepted_stale();
        }

        if !request.background {
            match identity.activity() {
                Some(activity) => activity.record_request(&acceptance.now, request),
                None => self.track(identity, &acceptance.now, request),
            }
        }
        // The reference count is written last, and only for an admitted token.
        Ok(Arc::clone(identity))
    }

    /// Begins to track an identity, at its first use or when there was no room before.
    #[cold]
    fn track<C: TokenClaims>(
        &self,
        identity: &Arc<Admitted<C>>,
        now: &Mark,
        request: &RequestInfo<'_>,
    ) {
        let Some(tracking) = &self.tracking else {
            return;
        };
        match tracking.track(identity) {
            Some(activity) => activity.record_request(now, request),
            None => self.counters.record_untracked(),
        }
    }

    /// Verifies a token that the cache does not have, and adds it.
    #[cold]
    fn verify_unknown<C: TokenClaims>(
        &self,
        cache: &TokenCache<Admitted<C>>,
        token: &str,
        state: &State,
        request: &RequestInfo<'_>,
        miss: Miss,
    ) -> Result<Arc<Admitted<C>>, Rejection> {
        self.counters.record_miss();
        // The same state as in `decide`: a newer one could trust a key that the proof of this one does not cover.
        let view = state.usable_view()?;
        let admission = match miss {
            Miss::Unknown => {
                Some(
                    self.first_sights
                        .admit(C::CREDENTIAL, token, request, &Mark::now())?,
                )
            }
            // The token may well be known, so its source must not pay for the writer that was in the way.
            Miss::Contended => None,
        };

        match verify_as(token, view, &self.expected) {
            Ok(verified) => {
                let identity = Arc::new(Admitted::new(verified, Arc::clone(&self.judge)));
                // Only good tokens are kept. Forged ones would push them out, and cost their sender nothing.
                cache.insert(token, Arc::clone(&identity));
                Ok(identity)
            }
            Err(rejection) => {
                if let Some(admission) = &admission {
                    self.first_sights.record_bad(admission, rejection);
                }
                Err(self.blame(rejection, state))
            }
        }
    }

    /// Blames the gate instead of the token when the key may be one that a stale view does not know yet.
    fn blame(&self, rejection: Rejection, state: &State) -> Rejection {
        // Any other rejection is certain, however stale the view is: revocations are never taken back.
        if rejection != Rejection::UnknownKey {
            return rejection;
        }
        // Read anew: verifying the signature took time.
        let now = Mark::now();
        match self.judge.freshness(state, &now) {
            Freshness::Fresh { .. } => rejection,
            Freshness::Stale { age } => Rejection::Stale { age },
            Freshness::Unready { .. } => state.unavailable(&now),
        }
    }

    /// The knowledge of this engine now.
    #[must_use]
    pub fn freshness(&self) -> Freshness {
        let state = self.judge.state.load();
        self.judge.freshness(&state, &Mark::now())
    }

    /// Returns whether the engine would accept a good token now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let state = self.judge.state.load();
        self.judge
            .check_freshness(&state, &Mark::now(), false)
            .is_ok()
    }

    /// The behaviour without a proof of freshness.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.judge.mode()
    }

    /// The time by the database's clock, which gave tokens their times, in seconds since 1970.
    ///
    /// `None` before the first proof of freshness, and while this machine's clock differs too much from it.
    #[must_use]
    pub fn unix_seconds(&self) -> Option<u64> {
        self.unix_seconds_at(&Mark::now())
    }

    /// The same at an instant of a clock that the host reads itself.
    #[must_use]
    pub fn unix_seconds_at(&self, now: &Mark) -> Option<u64> {
        self.judge.state.load().unix_seconds(now)
    }

    /// The position that has been applied. `None` before the first view.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        let state = self.judge.state.load();
        Some(state.view.as_ref()?.position())
    }

    /// Accepts the authority's present history as the only one, at the next probe.
    ///
    /// An engine that has met another history enforces the old one as well, until the present one has turned twice.
    /// After too many of them it is not ready until then. It keeps the API keys that the old one revoked, and the
    /// signing keys that it distrusted, without such an end. An operator who knows that the present history has every
    /// revocation ends all of this with this call; a restart of the gate does the same. A revocation that only an
    /// earlier history has is lost by it.
    pub fn accept_history(&self) {
        self.accept_history.store(true, Ordering::Release);
    }

    /// Wakes every [`Ended`](crate::Ended) future whose identity has ended.
    ///
    /// The host calls it after [`Event::Published`](crate::Event::Published), and several times a second: tokens expire
    /// and a view grows stale without any message. It judges each stream that waits, about 0.2 µs each.
    pub fn wake_ended(&self) {
        self.judge.waiting.wake_ended();
    }

    /// Resolves when at least one [`Ended`](crate::Ended) future waits.
    ///
    /// A host that waits for it before each call of [`wake_ended`](Self::wake_ended) needs no timer while it has no
    /// streams. Only the task that polled it last is woken.
    pub fn streams_wait(&self) -> impl Future<Output = ()> {
        self.judge.waiting.some()
    }

    /// Ends every [`Ended`](crate::Ended) future with [`Rejection::Unready`], for a host that ends: nobody will learn of
    /// revocations any more. Dropping the engine does the same.
    pub fn close(&self) {
        self.judge.close();
    }

    /// Counts since the start.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let state = self.judge.state.load();
        let now = Mark::now();
        let mut statistics = Statistics {
            cached_tokens: self.sessions.len() + self.api_keys.len(),
            forks: self.forks.load(Ordering::Relaxed),
            streams: self.judge.waiting.len(),
            applied_revision: state.view.as_ref().map(|view| view.position().revision.0),
            max_staleness: self.judge.max_staleness(),
            freshness_age: state.fresh_as_of.map(|proof| now.since(&proof)),
            clock_skew_micros: state
                .database_clock
                .map(|clock| clock.skew(&now).ahead_micros),
            ..Statistics::default()
        };
        if let Some(tracking) = &self.tracking {
            statistics.activity_tracked = tracking.tracked();
            statistics.activity_reported = tracking.reported();
        }
        self.counters.add_to(&mut statistics);
        statistics
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // A stream must not live on because the gate that would end it is gone.
        self.close();
    }
}

#[cfg(test)]
mod tests;
