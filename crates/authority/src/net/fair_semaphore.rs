//! A semaphore whose waiters take turns by key: a key with a thousand waiters delays the next key by one of them.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

/// Permits for short work that uses a core all the time, such as a signature check.
///
/// Whoever waits has a request open, so the number of waiters is bounded by the requests of all connections.
#[derive(Debug)]
pub(crate) struct FairSemaphore<K: Clone + Eq + Hash> {
    state: Mutex<State<K>>,
}

#[derive(Debug)]
struct State<K: Clone + Eq + Hash> {
    free: usize,
    /// Keys with waiters, the next one first.
    keys: VecDeque<K>,
    waiters: HashMap<K, VecDeque<oneshot::Sender<Permit<K>>>>,
}

impl<K: Clone + Eq + Hash> FairSemaphore<K> {
    pub(crate) fn new(permits: usize) -> Arc<Self> {
        let state = State {
            free: permits,
            keys: VecDeque::new(),
            waiters: HashMap::new(),
        };
        Arc::new(Self {
            state: Mutex::new(state),
        })
    }

    /// Waits for a permit. It is given back when it is dropped.
    pub(crate) async fn acquire(self: &Arc<Self>, key: K) -> Permit<K> {
        let Some(waiter) = self.take_or_wait(key) else {
            return Permit::of(self);
        };
        // A waiter is dropped only together with the semaphore, which this call holds.
        waiter.await.unwrap_or_else(|_| Permit { semaphore: None })
    }

    /// Takes a free permit and returns `None`, or enqueues a waiter.
    fn take_or_wait(&self, key: K) -> Option<oneshot::Receiver<Permit<K>>> {
        let mut state = self.lock();
        // A permit becomes free only when nobody waits for it, so this overtakes nobody.
        if state.free > 0 {
            state.free -= 1;
            return None;
        }

        let (sender, receiver) = oneshot::channel();
        match state.waiters.get_mut(&key) {
            Some(waiters) => waiters.push_back(sender),
            None => {
                state.waiters.insert(key.clone(), VecDeque::from([sender]));
                state.keys.push_back(key);
            }
        }
        Some(receiver)
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash> State<K> {
    /// Removes the waiter whose turn it is.
    fn next_waiter(&mut self) -> Option<oneshot::Sender<Permit<K>>> {
        let key = self.keys.pop_front()?;
        let waiters = self.waiters.get_mut(&key)?;
        let waiter = waiters.pop_front();
        if waiters.is_empty() {
            self.waiters.remove(&key);
        } else {
            // At the end of the line: a key gets one permit in a turn, however many of its callers
            // wait.
            self.keys.push_back(key);
        }
        waiter
    }
}

/// The right to work, until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit<K: Clone + Eq + Hash> {
    /// None once the permit was handed on.
    semaphore: Option<Arc<FairSemaphore<K>>>,
}

impl<K: Clone + Eq + Hash> Permit<K> {
    fn of(semaphore: &Arc<FairSemaphore<K>>) -> Self {
        Self {
            semaphore: Some(Arc::clone(semaphore)),
        }
    }
}

impl<K: Clone + Eq + Hash> Drop for Permit<K> {
    /// Hands the permit to the next waiter. Waiters whose calls went away are passed over.
    fn drop(&mut self) {
        let Some(semaphore) = self.semaphore.take() else {
            return;
        };
        let mut permit = Self::of(&semaphore);
        loop {
            let mut state = semaphore.lock();
            let Some(waiter) = state.next_waiter() else {
                state.free += 1;
                // Dropping it would give it back a second time.
                permit.semaphore = None;
                return;
            };
            // A permit that is dropped locks the state, so none changes hands under the lock.
            drop(state);

            match waiter.send(permit) {
                Ok(()) => return,
                Err(returned) => permit = returned,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::Pin, task::Poll};

    use futures::task::noop_waker;

    use super::*;

    type Waiting = Pin<Box<dyn Future<Output = Permit<&'static str>>>>;

    fn wait(semaphore: &Arc<FairSemaphore<&'static str>>, key: &'static str) -> Waiting {
        let semaphore = Arc::clone(semaphore);
        let mut waiting: Waiting = Box::pin(async move { semaphore.acquire(key).await });
        assert!(poll(&mut waiting).is_none(), "nothing is free");
        waiting
    }

    fn poll(waiting: &mut Waiting) -> Option<Permit<&'static str>> {
        let waker = noop_waker();
        let mut context = std::task::Context::from_waker(&waker);
        match waiting.as_mut().poll(&mut context) {
            Poll::Ready(permit) => Some(permit),
            Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn a_quiet_key_waits_for_one_of_a_busy_key() {
        let semaphore = FairSemaphore::new(1);
        let held = semaphore.acquire("busy").await;
        let mut busy: Vec<_> = (0..100).map(|_| wait(&semaphore, "busy")).collect();
        let mut quiet = wait(&semaphore, "quiet");

        drop(held);
        let first = poll(&mut busy[0]).expect("first come");
        assert!(poll(&mut quiet).is_none());
        drop(first);
        assert!(poll(&mut quiet).is_some());
    }

    #[tokio::test]
    async fn waiters_that_went_away_keep_no_permit() {
        let semaphore = FairSemaphore::new(1);
        let held = semaphore.acquire("first").await;
        let mut gone: Vec<_> = (0..10_000).map(|_| wait(&semaphore, "gone")).collect();
        let mut last = wait(&semaphore, "gone");
        let handed = gone.remove(0);
        drop(gone);
        drop(held);
        // This one was given the permit and goes away without having looked.
        drop(handed);

        drop(poll(&mut last).expect("free"));
        let state = semaphore.lock();
        assert_eq!(
            (state.free, state.keys.len(), state.waiters.len()),
            (1, 0, 0)
        );
    }
}
