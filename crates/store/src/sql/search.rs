//! Searches take turns: few run at a time, and no asker has all of them.
//!
//! An asker is a tenant, or the installation as a whole. A free place goes to the asker who has the fewest places, and
//! among equals to the call that waited longest. So sixty searches of one tenant leave room for another's.

use std::{
    collections::{HashMap, VecDeque},
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use portcullis_contract::id::TenantId;
use tokio::{sync::oneshot, time::timeout};

use super::Connection;
use crate::store::StoreError;

/// The most searches that wait.
const WAITING_MAX: usize = 1_024;

/// The most searches of one asker that wait.
const ASKER_WAITING_MAX: usize = 128;

/// How long a search waits for its turn.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// The tenant whose rows are searched; none: the rows of all.
type Asker = Option<TenantId>;

/// The turns of one store.
pub(super) struct Searches(Arc<Shared>);

struct Shared {
    /// The most searches that run at once.
    running_max: usize,
    /// The most of one asker.
    asker_running_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: HashMap<Asker, usize>,
    /// In the order of arrival.
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    asker: Asker,
    admitted: oneshot::Sender<Turn>,
}

/// A place among the searches that run. Dropping it gives it to the next.
pub(super) struct Turn {
    shared: Arc<Shared>,
    asker: Asker,
}

/// A connection with the turn that it is used in.
pub(super) struct Search {
    // Given back before the turn is.
    pub(super) connection: Box<dyn Connection>,
    pub(super) _turn: Turn,
}

impl Searches {
    /// Turns for up to `running_max` searches at a time.
    pub(super) fn new(running_max: usize) -> Self {
        Self(Arc::new(Shared {
            running_max,
            asker_running_max: (running_max / 2).max(1),
            state: Mutex::default(),
        }))
    }

    /// Waits for a turn. Dropping the future withdraws the search.
    pub(super) async fn turn(&self, asker: Option<&TenantId>) -> Result<Turn, StoreError> {
        let (admitted, turn) = oneshot::channel();
        let waiting = Waiting {
            asker: asker.cloned(),
            admitted,
        };
        self.0.enqueue(waiting)?;
        Arc::clone(&self.0).admit();
        let turn = timeout(WAIT_MAX, turn).await.map_err(|_| overloaded())?;
        turn.map_err(|_| overloaded())
    }
}

impl Shared {
    fn enqueue(&self, waiting: Waiting) -> Result<(), StoreError> {
        let mut state = self.state();
        state.forget_withdrawn();
        let of_asker = |other: &&Waiting| other.asker == waiting.asker;
        let asker_waits = state.waiting.iter().filter(of_asker).count();
        if state.waiting.len() >= WAITING_MAX || asker_waits >= ASKER_WAITING_MAX {
            return Err(overloaded());
        }
        state.waiting.push_back(waiting);
        Ok(())
    }

    /// Gives the free places away.
    fn admit(self: Arc<Self>) {
        while let Some((waiting, turn)) = self.take_next() {
            // A caller that has just gone away drops its turn here, outside of the lock.
            let _ = waiting.send(turn);
        }
    }

    fn take_next(self: &Arc<Self>) -> Option<(oneshot::Sender<Turn>, Turn)> {
        let mut state = self.state();
        state.forget_withdrawn();
        if state.running.values().sum::<usize>() >= self.running_max {
            return None;
        }
        let (index, running) = state.next()?;
        if running >= self.asker_running_max {
            return None;
        }
        let Waiting { asker, admitted } = state.waiting.remove(index)?;
        *state.running.entry(asker.clone()).or_default() += 1;
        let turn = Turn {
            shared: Arc::clone(self),
            asker,
        };
        Some((admitted, turn))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Where the search stands whose asker has the fewest places, and how many those are.
    fn next(&self) -> Option<(usize, usize)> {
        let running_of = |waiting: &Waiting| self.running.get(&waiting.asker).copied().unwrap_or(0);
        self.waiting
            .iter()
            .map(running_of)
            .enumerate()
            .min_by_key(|(_, running)| *running)
    }

    fn forget_withdrawn(&mut self) {
        self.waiting.retain(|waiting| !waiting.admitted.is_closed());
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        if let Some(running) = state.running.get_mut(&self.asker) {
            *running -= 1;
            if *running == 0 {
                state.running.remove(&self.asker);
            }
        }
        drop(state);
        Arc::clone(&self.shared).admit();
    }
}

impl Deref for Search {
    type Target = dyn Connection;

    fn deref(&self) -> &Self::Target {
        &*self.connection
    }
}

impl DerefMut for Search {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut *self.connection
    }
}

fn overloaded() -> StoreError {
    StoreError::Overloaded("too many searches wait".into())
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, future::join_all};

    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).expect("an id")
    }

    #[tokio::test]
    async fn one_tenant_leaves_room_for_another() {
        let searches = Searches::new(4);
        let (loud, quiet) = (tenant("loud"), tenant("quiet"));
        let mut waiting: Vec<_> = (0..60)
            .map(|_| Box::pin(searches.turn(Some(&loud))))
            .collect();
        let mut turns = Vec::new();
        for search in &mut waiting {
            turns.extend(search.as_mut().now_or_never());
        }
        assert_eq!(turns.len(), 2, "half of the places");
        let first = searches.turn(Some(&quiet)).now_or_never();
        let second = searches.turn(None).now_or_never();
        assert!(first.is_some() && second.is_some());
    }

    #[tokio::test]
    async fn a_free_place_goes_to_whoever_has_fewest() {
        let searches = Searches::new(1);
        let (loud, quiet) = (tenant("loud"), tenant("quiet"));
        let running = searches.turn(Some(&loud)).await.expect("a turn");
        let mut crowd: Vec<_> = (0..3)
            .map(|_| Box::pin(searches.turn(Some(&loud))))
            .collect();
        for search in &mut crowd {
            assert!(futures::poll!(search.as_mut()).is_pending());
        }
        let mut other = Box::pin(searches.turn(Some(&quiet)));
        assert!(futures::poll!(other.as_mut()).is_pending());
        drop(running);
        // With one place all are equal again: the crowd's first came first.
        let first = crowd.remove(0).await.expect("a turn");
        let withdrawn = crowd.remove(0);
        drop(withdrawn);
        drop(first);
        let second = crowd.remove(0).await.expect("a turn");
        assert!(futures::poll!(other.as_mut()).is_pending());
        drop(second);
        other.await.expect("a turn");
    }

    #[tokio::test]
    async fn who_waits_is_bounded_and_withdrawn_searches_do_not_count() {
        let searches = Searches::new(1);
        let loud = tenant("loud");
        let running = searches.turn(Some(&loud)).await.expect("a turn");
        let mut crowd = Vec::new();
        for _ in 0..ASKER_WAITING_MAX {
            let mut search = Box::pin(searches.turn(Some(&loud)));
            assert!(futures::poll!(search.as_mut()).is_pending());
            crowd.push(search);
        }
        let refused = searches.turn(Some(&loud)).await;
        assert!(matches!(refused, Err(StoreError::Overloaded(_))));
        drop(crowd);
        drop(running);
        let turns = join_all((0..3).map(|_| async {
            drop(searches.turn(Some(&loud)).await?);
            Ok::<_, StoreError>(())
        }));
        assert!(turns.await.iter().all(Result::is_ok));
    }
}
