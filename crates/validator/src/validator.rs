//! The validator: the hot path, and what a gateway asks about it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use opentelemetry::metrics::Meter;
use portcullis_contract::{
    position::Position,
    token::{Expected, TokenClaims, verify_as},
    verdict::{Rejection, check_view},
    view::View,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::AbortHandle,
};

use crate::{
    ApiKeyIdentity, Identity, RequestInfo,
    activity::Tracking,
    builder::Builder,
    cache::{Miss, TokenCache},
    clock::Mark,
    first_sight::{FirstSights, ForgedRates},
    identity::Admitted,
    state::{Bounds, Freshness, Mode, State},
    statistics::{Counters, Statistics, Verdicts},
    telemetry,
};

/// Admits or refuses tokens, by a view that one background task keeps. Cheap to clone; the task ends with the last
/// clone.
#[derive(Clone)]
pub struct Validator {
    shared: Arc<Shared>,
    /// Asks the reporter for its last report.
    close: mpsc::Sender<oneshot::Sender<()>>,
    _tasks: Arc<AbortOnDrop>,
}

pub(crate) struct Shared {
    pub(crate) state: ArcSwap<State>,
    pub(crate) position: watch::Sender<Option<Position>>,
    pub(crate) forks: AtomicU64,
    /// Set by [`Validator::accept_history`], and taken by the sync loop.
    pub(crate) accept_history: AtomicBool,
    expected: Expected,
    sessions: TokenCache,
    api_keys: TokenCache<ApiKeyIdentity>,
    mode: Mode,
    max_staleness: Duration,
    counters: Counters,
    first_sights: FirstSights,
    /// Of what is reported; none: nothing is.
    tracking: Option<Arc<Tracking>>,
    /// For operators.
    pub(crate) name: String,
}

struct AbortOnDrop(Vec<AbortHandle>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

impl Shared {
    pub(crate) fn new(
        expected: Expected,
        sessions: TokenCache,
        api_keys: TokenCache<ApiKeyIdentity>,
        bounds: Bounds,
        tracking: Option<Arc<Tracking>>,
        name: String,
    ) -> Self {
        Self {
            state: ArcSwap::from_pointee(State::new(bounds.clock_skew_max)),
            position: watch::Sender::new(None),
            forks: AtomicU64::new(0),
            accept_history: AtomicBool::new(false),
            expected,
            sessions,
            api_keys,
            mode: bounds.mode,
            max_staleness: bounds.max_staleness,
            counters: Counters::new(),
            first_sights: FirstSights::new(ForgedRates::default()),
            tracking,
            name,
        }
    }

    pub(crate) fn forged_rates(mut self, rates: ForgedRates) -> Self {
        self.first_sights = FirstSights::new(rates);
        self
    }

    fn check<C: TokenClaims>(
        &self,
        cache: &TokenCache<Admitted<C>>,
        token: &str,
        request: &RequestInfo<'_>,
    ) -> Result<Arc<Admitted<C>>, Rejection> {
        let verdict = self.decide(cache, token, request);
        self.counters.verdict(verdict.as_ref().err());
        verdict
    }

    #[inline]
    fn decide<C: TokenClaims>(
        &self,
        cache: &TokenCache<Admitted<C>>,
        token: &str,
        request: &RequestInfo<'_>,
    ) -> Result<Arc<Admitted<C>>, Rejection> {
        // The proof of freshness is loaded with the view, before anything is looked up in it.
        let state = self.state.load();
        let view = state
            .usable_view()
            .inspect_err(|_| self.counters.unlooked())?;
        match cache.get(token, |known| self.admit(known, &state, view, request)) {
            Ok(verdict) => verdict,
            Err(miss) => self.admit(
                &self.first_sight(cache, token, &state, request, miss)?,
                &state,
                view,
                request,
            ),
        }
    }

    /// Decides about a token that was found good once.
    #[inline]
    fn admit<C: TokenClaims>(
        &self,
        identity: &Arc<Admitted<C>>,
        state: &State,
        view: &View,
        request: &RequestInfo<'_>,
    ) -> Result<Arc<Admitted<C>>, Rejection> {
        check_view(identity, view)?;
        if !state.remembered.is_empty() {
            state.check_remembered(identity)?;
        }
        // The clock is read last: a pause before this line makes the proof older.
        let now = Mark::now();
        state.check_time(identity, &now)?;
        self.check_freshness(state, &now)?;
        match identity.activity() {
            Some(activity) => activity.note(&now, request),
            None => self.track(identity, &now, request),
        }
        Ok(Arc::clone(identity))
    }

    /// The first use of a token that is seen, or for which there was no room.
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
            Some(activity) => activity.note(now, request),
            None => self.counters.untracked(),
        }
    }

    #[cold]
    fn first_sight<C: TokenClaims>(
        &self,
        cache: &TokenCache<Admitted<C>>,
        token: &str,
        state: &State,
        request: &RequestInfo<'_>,
        miss: Miss,
    ) -> Result<Arc<Admitted<C>>, Rejection> {
        self.counters.miss();
        let view = state.usable_view()?;
        let admission = match miss {
            Miss::Unknown => Some(self.first_sights.admit(token, request, &Mark::now())?),
            // It may well be known.
            Miss::Contended => None,
        };
        let verified = verify_as(token, view, &self.expected).map_err(|rejection| {
            if let Some(admission) = &admission {
                self.first_sights.record_bad(admission, rejection);
            }
            self.excuse(rejection, state)
        })?;
        let identity = Arc::new(Admitted::new(verified));
        cache.insert(token, Arc::clone(&identity));
        Ok(identity)
    }

    /// A key that a stale view does not know may be a new one: that is not the token's fault.
    fn excuse(&self, rejection: Rejection, state: &State) -> Rejection {
        let now = Mark::now();
        match (rejection, state.freshness(&now, self.max_staleness)) {
            (Rejection::UnknownKey, Freshness::Stale { age }) => Rejection::Stale { age },
            (Rejection::UnknownKey, Freshness::Unready { .. }) => state.unavailable(&now),
            (rejection, _) => rejection,
        }
    }

    pub(crate) fn statistics(&self) -> Statistics {
        let state = self.state.load();
        let now = Mark::now();
        let (activity_tracked, activity_reported) = self
            .tracking
            .as_ref()
            .map(|tracking| tracking.counts())
            .unwrap_or_default();
        let mut statistics = Statistics {
            activity_tracked,
            activity_reported,
            activity_dropped: 0,
            cached_tokens: self.sessions.len() + self.api_keys.len(),
            accepted_stale: 0,
            forks: self.forks.load(Ordering::Relaxed),
            verdicts: Verdicts::default(),
            cache_hits: 0,
            cache_misses: 0,
            applied_revision: state.view.as_ref().map(|view| view.position().revision.0),
            freshness_age: state.fresh_as_of.map(|proof| now.since(&proof)),
            clock_skew_micros: state
                .database_clock
                .map(|clock| clock.skew(&now).ahead_micros),
        };
        self.counters.add_to(&mut statistics);
        statistics
    }

    fn check_freshness(&self, state: &State, now: &Mark) -> Result<(), Rejection> {
        match (state.freshness(now, self.max_staleness), self.mode) {
            (Freshness::Fresh { .. }, _) => Ok(()),
            (Freshness::Stale { age }, Mode::BestEffort { stale_max }) if age <= stale_max => {
                self.counters.accepted_stale();
                Ok(())
            }
            (Freshness::Stale { age }, _) => Err(Rejection::Stale { age }),
            (Freshness::Unready { .. }, _) => Err(state.unavailable(now)),
        }
    }
}

impl Validator {
    /// A validator of the authority at `endpoint`, for example `http://127.0.0.1:7400`.
    pub fn builder(endpoint: impl Into<String>) -> Builder {
        Builder::new(endpoint.into())
    }

    pub(crate) fn new(
        shared: Arc<Shared>,
        tasks: Vec<AbortHandle>,
        close: mpsc::Sender<oneshot::Sender<()>>,
    ) -> Self {
        Self {
            shared,
            close,
            _tasks: Arc::new(AbortOnDrop(tasks)),
        }
    }

    /// Decides about the access token of a session. Does no I/O, never awaits and never waits for a writer; allocates nothing when
    /// the token was seen before. A request that is admitted counts as use of the session. An API key is refused here ([`Rejection::WrongType`]).
    ///
    /// # Errors
    /// Why the token is refused; [`Rejection::is_unavailable`] tells a dead token from a gate that cannot know.
    pub fn check(&self, token: &str) -> Result<Arc<Identity>, Rejection> {
        self.check_request(token, &RequestInfo::default())
    }

    /// As [`check`](Self::check), for a request of which more is known: what the authority shows of the session's last use.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn check_request(
        &self,
        token: &str,
        request: &RequestInfo<'_>,
    ) -> Result<Arc<Identity>, Rejection> {
        self.shared.check(&self.shared.sessions, token, request)
    }

    /// Decides about an API key, as [`check`](Self::check) does about an access token, which is refused here. A request
    /// that is admitted counts as use of the key.
    ///
    /// # Errors
    /// Why the key is refused.
    pub fn check_api_key(&self, key: &str) -> Result<Arc<ApiKeyIdentity>, Rejection> {
        self.check_api_key_request(key, &RequestInfo::default())
    }

    /// As [`check_api_key`](Self::check_api_key), for a request of which more is known: whom forged keys are counted for.
    ///
    /// # Errors
    /// As [`check_api_key`](Self::check_api_key).
    pub fn check_api_key_request(
        &self,
        key: &str,
        request: &RequestInfo<'_>,
    ) -> Result<Arc<ApiKeyIdentity>, Rejection> {
        self.shared.check(&self.shared.api_keys, key, request)
    }

    /// How much this validator knows now.
    #[must_use]
    pub fn freshness(&self) -> Freshness {
        self.shared
            .state
            .load()
            .freshness(&Mark::now(), self.shared.max_staleness)
    }

    /// Whether it would accept a good token now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.shared
            .check_freshness(&self.shared.state.load(), &Mark::now())
            .is_ok()
    }

    /// Waits until it is ready.
    pub async fn ready(&self) {
        let mut position = self.position();
        while !self.is_ready() {
            // Each proof marks the position as changed, also when it is the same.
            if position.changed().await.is_err() {
                return;
            }
        }
    }

    /// Reports the use of sessions for the last time, and says that this gate ends. Call it when no more requests are
    /// admitted, before the process ends: without it the authority waits for this gate's reports for a while, and no
    /// session ends as idle meanwhile. Takes a few seconds at most, and nothing when no authority is connected.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.close.send(done).await.is_ok() {
            // An error means that the reporter has ended, which is as good.
            let _ = closed.await;
        }
    }

    /// What has been applied. Every delta and every proof of freshness wakes the receiver.
    #[must_use]
    pub fn position(&self) -> watch::Receiver<Option<Position>> {
        self.shared.position.subscribe()
    }

    /// Accepts the authority's present history as the only one, at the next probe.
    ///
    /// A gate that has met another history enforces the old one as well, until the present one has turned twice. After
    /// too many of them it is not ready until then. An operator who knows that the present history holds every
    /// revocation ends both with this call; a restart of the gate does the same. What only an earlier history revoked
    /// is accepted again.
    pub fn accept_history(&self) {
        self.shared.accept_history.store(true, Ordering::Release);
    }

    /// Counts since the start.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.shared.statistics()
    }

    /// Registers the same counts as observable instruments of an OpenTelemetry meter, which reads them when it wants
    /// to. Once for each meter.
    pub fn observe(&self, meter: &Meter) {
        telemetry::observe(&self.shared, meter);
    }

    /// Counts a request that was refused before there was one token to check.
    pub(crate) fn refused(&self, rejection: &Rejection) {
        self.shared.counters.refused(rejection);
    }
}
