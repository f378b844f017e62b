//! The requests of one connection: whether it is idle, and whether one is overdue.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Requests that are not answered to their last byte yet. HTTP/2 bounds their number.
pub(super) struct Requests {
    answer_timeout: Duration,
    state: Mutex<State>,
}

struct State {
    next: u64,
    /// When each is overdue; never for a stream.
    open: HashMap<u64, Option<Instant>>,
    /// When the last one ended.
    idle_since: Instant,
}

/// How a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Busy,
    /// No request for too long.
    Idle,
    /// A peer does not take its answer.
    Overdue,
}

impl Requests {
    pub(super) fn new(answer_timeout: Duration) -> Arc<Self> {
        let state = State {
            next: 0,
            open: HashMap::new(),
            idle_since: Instant::now(),
        };
        Arc::new(Self {
            answer_timeout,
            state: Mutex::new(state),
        })
    }

    pub(super) fn standing(&self, idle_timeout: Duration, now: Instant) -> Standing {
        let state = self.lock();
        if state.open.values().flatten().any(|overdue| *overdue < now) {
            return Standing::Overdue;
        }
        if state.open.is_empty() && now.duration_since(state.idle_since) > idle_timeout {
            return Standing::Idle;
        }
        Standing::Busy
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notes a request until the guard is dropped.
pub(super) fn open(
    requests: &Arc<Requests>,
    address: SocketAddr,
    aged: &CancellationToken,
) -> (Peer, Open) {
    let mut state = requests.lock();
    let id = state.next;
    state.next += 1;
    let overdue = Instant::now() + requests.answer_timeout;
    state.open.insert(id, Some(overdue));
    drop(state);

    let peer = Peer {
        address,
        aged: aged.clone(),
        requests: Arc::clone(requests),
        id,
    };
    let open = Open {
        requests: Arc::clone(requests),
        id,
    };
    (peer, open)
}

/// A request that is not answered yet.
pub(super) struct Open {
    requests: Arc<Requests>,
    id: u64,
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut state = self.requests.lock();
        state.open.remove(&self.id);
        state.idle_since = Instant::now();
    }
}

/// The peer of a request, and the connection that it came by.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// Says that the connection is as old as it may be: streams end, so that their peers connect anew.
    pub(crate) aged: CancellationToken,
    requests: Arc<Requests>,
    id: u64,
}

impl Peer {
    /// Lets the answer take as long as it likes: it is a stream.
    pub(crate) fn lift_deadline(&self) {
        if let Some(overdue) = self.requests.lock().open.get_mut(&self.id) {
            *overdue = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_idle_without_requests_and_overdue_with_an_old_one() {
        let (minute, second) = (Duration::from_secs(60), Duration::from_secs(1));
        let requests = Requests::new(minute);
        let address = ([127, 0, 0, 1], 1).into();
        let aged = CancellationToken::new();

        let (peer, stream) = open(&requests, address, &aged);
        peer.lift_deadline();
        let later = Instant::now() + 10 * minute;
        assert_eq!(requests.standing(second, later), Standing::Busy);

        let (_, call) = open(&requests, address, &aged);
        assert_eq!(requests.standing(second, later), Standing::Overdue);

        drop((stream, call));
        assert_eq!(requests.standing(second, Instant::now()), Standing::Busy);
        assert_eq!(requests.standing(second, later), Standing::Idle);
    }
}
