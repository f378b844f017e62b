//! The open requests of one connection, which tell whether it is idle and whether an answer is overdue.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ClientCertificate;

/// Requests that are not answered to their last byte. HTTP/2 bounds their number.
pub(super) struct Requests {
    answer_timeout: Duration,
    state: Mutex<State>,
}

struct State {
    next: u64,
    /// The deadline of each request. None: it is a stream.
    open: HashMap<u64, Option<Instant>>,
    /// The end of the last request.
    idle_since: Instant,
}

/// The use of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Busy,
    /// It had no request for too long.
    Idle,
    /// The peer does not read an answer.
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

    /// Returns how the connection is used at `now`.
    pub(super) fn current_use(&self, idle_timeout: Duration, now: Instant) -> Use {
        let state = self.lock();
        // HTTP/2 bounds the number of open requests, so looking at all of them is cheap.
        if state.open.values().flatten().any(|overdue| *overdue < now) {
            return Use::Overdue;
        }
        if state.open.is_empty() && now.duration_since(state.idle_since) > idle_timeout {
            return Use::Idle;
        }
        Use::Busy
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Records a request until the guard is dropped.
pub(super) fn open(
    requests: &Arc<Requests>,
    address: SocketAddr,
    certificate: Option<&Arc<ClientCertificate>>,
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
        certificate: certificate.cloned(),
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
        // Idleness counts from here, and not from the beginning of a long request.
        state.idle_since = Instant::now();
    }
}

/// The peer of a request, and the connection that the request came by.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// The certificate that the peer showed, verified. None: it showed none.
    pub(crate) certificate: Option<Arc<ClientCertificate>>,
    /// Cancelled when the connection is as old as it may be. Streams end then, so that their peers connect anew.
    pub(crate) aged: CancellationToken,
    requests: Arc<Requests>,
    id: u64,
}

impl Peer {
    /// Removes the deadline of the answer, because it is a stream.
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

        let (peer, stream) = open(&requests, address, None, &aged);
        peer.lift_deadline();
        let later = Instant::now() + 10 * minute;
        assert_eq!(requests.current_use(second, later), Use::Busy);

        let (_, call) = open(&requests, address, None, &aged);
        assert_eq!(requests.current_use(second, later), Use::Overdue);

        drop((stream, call));
        assert_eq!(requests.current_use(second, Instant::now()), Use::Busy);
        assert_eq!(requests.current_use(second, later), Use::Idle);
    }
}
