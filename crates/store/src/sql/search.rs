//! Turns of searches: few run at a time, and no tenant has them all.
//!
//! The asker of a search is a tenant, or the whole installation. The next turn goes to the asker with the fewest running
//! searches, and among equals to the search that has waited longest. So sixty searches of one tenant leave room for one
//! of another.
//!
//! Turns alone would let one tenant keep the database's processors busy for ever, and sign-ins share those. So an asker has
//! half of one connection's time over time: searches beyond it begin after a rest.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use portcullis_contract::id::TenantId;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout},
};

use crate::StoreError;

/// The most searches that wait, of all askers.
const WAITING_MAX: usize = 1_024;

/// The most searches of one asker that wait.
const ASKER_WAITING_MAX: usize = 128;

/// The longest time that a search waits for its turn.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// An asker may search for one second in this many, over time.
const SECONDS_PER_SEARCHED: u32 = 2;

/// The search time that an asker may have used beyond its share before its turns rest.
const EXCESS_MAX: Duration = Duration::from_secs(5);

/// The longest rest after a search.
const REST_MAX: Duration = Duration::from_secs(5);

/// The tenant whose rows are searched. None: the rows of all tenants.
type Asker = Option<TenantId>;

/// The turns of one store.
pub(super) struct Searches(Arc<TurnQueue>);

struct TurnQueue {
    /// The most searches that run at once.
    running_max: usize,
    /// The most of one asker that run at once.
    asker_running_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: usize,
    shares: HashMap<Asker, Share>,
    /// In the order of arrival.
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    asker: Asker,
    admitted: oneshot::Sender<Turn>,
}

/// An asker's share of the searches. One that has and owes nothing is forgotten.
struct Share {
    /// Turns that run or rest.
    turns: usize,
    /// Search time beyond the asker's share, at `as_of`.
    excess: Duration,
    as_of: Instant,
}

/// The turn of a search. Dropping it admits the next search.
pub(super) struct Turn {
    queue: Arc<TurnQueue>,
    asker: Asker,
    begun: Instant,
}

impl Searches {
    /// Turns for up to `running_max` searches at a time.
    pub(super) fn new(running_max: usize) -> Self {
        Self(Arc::new(TurnQueue {
            running_max,
            // Half, so that one tenant with long searches leaves room for all others.
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
        // There may be a free turn already.
        Arc::clone(&self.0).admit();
        let turn = timeout(WAIT_MAX, turn).await.map_err(|_| overloaded())?;
        turn.map_err(|_| overloaded())
    }
}

impl TurnQueue {
    fn enqueue(&self, waiting: Waiting) -> Result<(), StoreError> {
        let mut state = self.state();
        state.forget_withdrawn();
        let of_asker = state
            .waiting
            .iter()
            .filter(|other| other.asker == waiting.asker);
        let asker_waits = of_asker.count();
        if state.waiting.len() >= WAITING_MAX || asker_waits >= ASKER_WAITING_MAX {
            return Err(overloaded());
        }
        state.waiting.push_back(waiting);
        Ok(())
    }

    /// Admits searches while there are turns.
    fn admit(self: Arc<Self>) {
        while let Some((waiting, turn)) = self.take_next() {
            // If the caller has just gone away, its turn is dropped here, outside of the lock.
            let _ = waiting.send(turn);
        }
    }

    fn take_next(self: &Arc<Self>) -> Option<(oneshot::Sender<Turn>, Turn)> {
        let mut state = self.state();
        state.forget_withdrawn();
        if state.running >= self.running_max {
            return None;
        }
        let (index, turns) = state.next()?;
        // The next asker is the one with the fewest turns. If it has all that it may have, so has
        // everyone who waits.
        if turns >= self.asker_running_max {
            return None;
        }
        let Waiting { asker, admitted } = state.waiting.remove(index)?;
        let begun = Instant::now();
        state.begin(asker.clone(), begun);
        let turn = Turn {
            queue: Arc::clone(self),
            asker,
            begun,
        };
        Some((admitted, turn))
    }

    /// Ends a search. Returns the rest of its turn, which the asker keeps meanwhile.
    fn end(&self, asker: &Asker, begun: Instant) -> Duration {
        let now = Instant::now();
        let taken = now - begun;
        let mut state = self.state();
        state.running -= 1;
        let Some(share) = state.shares.get_mut(asker) else {
            return Duration::ZERO;
        };
        share.excess = share.excess_at(now) + taken;
        share.as_of = now;
        if share.excess <= EXCESS_MAX {
            return Duration::ZERO;
        }
        // All turns of the asker together then have its share, each the same part of it.
        let turns = u32::try_from(self.asker_running_max).unwrap_or(u32::MAX);
        // A search may take one part in so many, and its turn rests for the others.
        let rests = turns.saturating_mul(SECONDS_PER_SEARCHED) - 1;
        taken.saturating_mul(rests).min(REST_MAX)
    }

    /// Gives the turn back, and admits the next search.
    fn release(self: Arc<Self>, asker: &Asker) {
        self.state().release(asker, Instant::now());
        self.admit();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn begin(&mut self, asker: Asker, now: Instant) {
        self.running += 1;
        let share = self.shares.entry(asker).or_insert(Share {
            turns: 0,
            excess: Duration::ZERO,
            as_of: now,
        });
        share.turns += 1;
    }

    fn release(&mut self, asker: &Asker, now: Instant) {
        if let Some(share) = self.shares.get_mut(asker) {
            share.turns -= 1;
        }
        self.shares
            .retain(|_, share| share.turns > 0 || !share.excess_at(now).is_zero());
    }

    /// The index of the next search, and the number of turns of its asker. The first of several equals has
    /// waited longest.
    fn next(&self) -> Option<(usize, usize)> {
        let mut next = None;
        for (index, waiting) in self.waiting.iter().enumerate() {
            let share = self.shares.get(&waiting.asker);
            let turns = share.map_or(0, |share| share.turns);
            if next.is_none_or(|(_, fewest)| turns < fewest) {
                next = Some((index, turns));
            }
        }
        next
    }

    fn forget_withdrawn(&mut self) {
        self.waiting.retain(|waiting| !waiting.admitted.is_closed());
    }
}

impl Share {
    fn excess_at(&self, now: Instant) -> Duration {
        self.excess
            .saturating_sub((now - self.as_of) / SECONDS_PER_SEARCHED)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let queue = Arc::clone(&self.queue);
        let asker = self.asker.take();
        let rest = queue.end(&asker, self.begun);
        if rest.is_zero() {
            return queue.release(&asker);
        }

        // The connection itself is free for other askers meanwhile.
        Arc::clone(&queue).admit();
        tokio::spawn(async move {
            sleep(rest).await;
            queue.release(&asker);
        });
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
        assert_eq!(turns.len(), 2, "half of the turns");
        let first = searches.turn(Some(&quiet)).now_or_never();
        let second = searches.turn(None).now_or_never();
        assert!(first.is_some() && second.is_some());
    }

    #[tokio::test]
    async fn the_next_turn_goes_to_the_asker_with_the_fewest() {
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
        // With one turn all are equal again, and the first of the crowd has waited longest.
        let first = crowd.remove(0).await.expect("a turn");
        let withdrawn = crowd.remove(0);
        drop(withdrawn);
        drop(first);
        let second = crowd.remove(0).await.expect("a turn");
        assert!(futures::poll!(other.as_mut()).is_pending());
        drop(second);
        other.await.expect("a turn");
    }

    /// Keeps as many searches of 100 ms going as there are turns, for a minute. Returns their number.
    async fn search_for_a_minute(searches: &Searches, asker: &TenantId, callers: usize) -> usize {
        let end = Instant::now() + Duration::from_secs(60);
        let callers = (0..callers).map(|_| async {
            let mut count = 0;
            while Instant::now() < end {
                let turn = searches.turn(Some(asker)).await.expect("a turn");
                sleep(Duration::from_millis(100)).await;
                drop(turn);
                count += 1;
            }
            count
        });
        join_all(callers).await.into_iter().sum()
    }

    #[tokio::test(start_paused = true)]
    async fn a_tenant_has_half_of_one_connections_time_over_time() {
        let searches = Searches::new(8);
        let (loud, quiet) = (tenant("loud"), tenant("quiet"));
        let (many, one) = tokio::join!(
            search_for_a_minute(&searches, &loud, 40),
            search_for_a_minute(&searches, &quiet, 1),
        );
        // Half a minute of one connection is 300 searches, the excess is 50 more, and 40 wait at the end. Timers are late.
        assert!((300..=400).contains(&many), "{many}");
        assert!((330..=360).contains(&one), "{one}: not one after another");
    }

    #[tokio::test(start_paused = true)]
    async fn a_tenant_that_pauses_is_forgotten() {
        let searches = Searches::new(8);
        let (loud, quiet) = (tenant("loud"), tenant("quiet"));
        search_for_a_minute(&searches, &loud, 40).await;
        assert_eq!(searches.0.state().shares.len(), 1);
        sleep(EXCESS_MAX * SECONDS_PER_SEARCHED * 2).await;
        drop(searches.turn(Some(&quiet)).await.expect("a turn"));
        assert!(searches.0.state().shares.is_empty());
    }

    #[tokio::test]
    async fn waiting_searches_are_bounded_and_withdrawn_ones_do_not_count() {
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
