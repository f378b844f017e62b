//! The validator: the hot path, and what a gateway asks about it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use portcullis_contract::{
    position::Position,
    token::{Expected, Identity, verify},
    verdict::{Rejection, check_standing, check_time},
};
use tokio::{sync::watch, task::AbortHandle};

use crate::{
    builder::Builder,
    cache::TokenCache,
    clock::Mark,
    state::{Freshness, Mode, State},
};

/// Admits or refuses tokens, by a view that one background task keeps. Cheap to clone; the task ends with the last
/// clone.
#[derive(Clone)]
pub struct Validator {
    shared: Arc<Shared>,
    _sync: Arc<AbortOnDrop>,
}

pub(crate) struct Shared {
    pub(crate) state: ArcSwap<State>,
    pub(crate) position: watch::Sender<Option<Position>>,
    pub(crate) forks: AtomicU64,
    expected: Expected,
    cache: TokenCache,
    mode: Mode,
    max_staleness: Duration,
    accepted_stale: AtomicU64,
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// Tokens that the cache holds now.
    pub cached_tokens: usize,
    /// Requests that best-effort mode accepted although it was stale.
    pub accepted_stale: u64,
    /// Times that another history was met. Not zero: an alarm.
    pub forks: u64,
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Shared {
    pub(crate) fn new(expected: Expected, cache: TokenCache, mode: Mode, max_staleness: Duration) -> Self {
        Self {
            state: ArcSwap::from_pointee(State::new()),
            position: watch::Sender::new(None),
            forks: AtomicU64::new(0),
            expected,
            cache,
            mode,
            max_staleness,
            accepted_stale: AtomicU64::new(0),
        }
    }

    fn check(&self, token: &str) -> Result<Arc<Identity>, Rejection> {
        // The proof of freshness is loaded with the view, before anything is looked up in it.
        let state = self.state.load();
        let view = state.usable_view()?;
        let digest = self.cache.digest(token);
        let identity = match self.cache.get(digest) {
            Some(known) => known,
            None => self.first_sight(token, digest, &state)?,
        };
        check_standing(&identity, view)?;
        if !state.remembered.is_empty() {
            state.check_remembered(&identity)?;
        }
        // The clock is read last: a pause before this line makes the proof older.
        let now = Mark::now();
        check_time(&identity, now.unix_seconds())?;
        self.check_freshness(&state, &now)?;
        Ok(identity)
    }

    #[cold]
    fn first_sight(&self, token: &str, digest: u128, state: &State) -> Result<Arc<Identity>, Rejection> {
        let verified = verify(token, state.usable_view()?, &self.expected);
        let identity = Arc::new(verified.map_err(|rejection| self.excuse(rejection, state))?);
        self.cache.insert(digest, Arc::clone(&identity));
        Ok(identity)
    }

    /// A key that a stale view does not know may be a new one: that is not the token's fault.
    fn excuse(&self, rejection: Rejection, state: &State) -> Rejection {
        match (rejection, state.freshness(&Mark::now(), self.max_staleness)) {
            (Rejection::UnknownKey, Freshness::Stale { age }) => Rejection::Stale { age },
            (Rejection::UnknownKey, Freshness::Unready { .. }) => Rejection::Unready,
            (rejection, _) => rejection,
        }
    }

    fn check_freshness(&self, state: &State, now: &Mark) -> Result<(), Rejection> {
        match (state.freshness(now, self.max_staleness), self.mode) {
            (Freshness::Fresh { .. }, _) => Ok(()),
            (Freshness::Stale { age }, Mode::BestEffort { stale_max }) if age <= stale_max => {
                self.accepted_stale.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            (Freshness::Stale { age }, _) => Err(Rejection::Stale { age }),
            (Freshness::Unready { .. }, _) => Err(Rejection::Unready),
        }
    }
}

impl Validator {
    /// A validator of the authority at `endpoint`, for example `http://127.0.0.1:7400`.
    #[must_use]
    pub fn builder(endpoint: impl Into<String>) -> Builder {
        Builder::new(endpoint.into())
    }

    pub(crate) fn new(shared: Arc<Shared>, sync: AbortHandle) -> Self {
        Self { shared, _sync: Arc::new(AbortOnDrop(sync)) }
    }

    /// Decides about an access token. Does no I/O, never awaits and never waits for a writer; allocates nothing when
    /// the token was seen before.
    ///
    /// # Errors
    /// Why the token is refused; [`Rejection::is_unavailable`] tells a dead token from a gate that cannot know.
    pub fn check(&self, token: &str) -> Result<Arc<Identity>, Rejection> {
        self.shared.check(token)
    }

    /// How much this validator knows now.
    #[must_use]
    pub fn freshness(&self) -> Freshness {
        self.shared.state.load().freshness(&Mark::now(), self.shared.max_staleness)
    }

    /// Whether it would accept a good token now.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.shared.check_freshness(&self.shared.state.load(), &Mark::now()).is_ok()
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

    /// What has been applied. Every delta and every proof of freshness wakes the receiver.
    #[must_use]
    pub fn position(&self) -> watch::Receiver<Option<Position>> {
        self.shared.position.subscribe()
    }

    /// Counts since the start.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        Statistics {
            cached_tokens: self.shared.cache.len(),
            accepted_stale: self.shared.accepted_stale.load(Ordering::Relaxed),
            forks: self.shared.forks.load(Ordering::Relaxed),
        }
    }
}
