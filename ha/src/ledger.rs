//! What was acknowledged and when, and what the gates made of it.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use rand::Rng;
use tokio::sync::broadcast;

/// Sessions that live and of which callers know. Beyond it the oldest is left alone.
const POOL_MAX: usize = 2_000;
/// Ends that wait for a gate: of minutes.
const ENDS_WAITING_MAX: usize = 10_000;
/// Broken promises that are kept with their text.
const VIOLATIONS_MAX: usize = 50;

/// A kind of call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    SignIn,
    Refresh,
    Revocation,
}

impl Operation {
    pub(crate) const ALL: [Self; 3] = [Self::SignIn, Self::Refresh, Self::Revocation];
}

/// A call that was answered.
#[derive(Clone, Copy)]
pub(crate) struct Success {
    pub(crate) at: Instant,
    pub(crate) operation: Operation,
    pub(crate) authority: usize,
}

/// A session, as its callers know it.
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) access_token: String,
    refresh_token: Mutex<String>,
    /// Somebody has asked for its end.
    ends: AtomicBool,
}

impl Session {
    pub(crate) fn new(id: String, access_token: String, refresh_token: String) -> Self {
        Self {
            id,
            access_token,
            refresh_token: Mutex::new(refresh_token),
            ends: AtomicBool::new(false),
        }
    }

    pub(crate) fn refresh_token(&self) -> String {
        lock(&self.refresh_token).clone()
    }

    pub(crate) fn set_refresh_token(&self, token: String) {
        *lock(&self.refresh_token) = token;
    }

    pub(crate) fn begin_end(&self) {
        self.ends.store(true, SeqCst);
    }

    /// Whether nobody has asked for its end.
    pub(crate) fn is_live(&self) -> bool {
        !self.ends.load(SeqCst)
    }
}

/// A session whose end was acknowledged.
#[derive(Clone)]
pub(crate) struct Ended {
    pub(crate) session: Arc<Session>,
    pub(crate) acknowledged: Instant,
}

/// An end at one gate.
#[derive(Clone, Copy)]
pub(crate) struct Enforced {
    pub(crate) acknowledged: Instant,
    /// From the acknowledgement to the first check that did not admit the token.
    pub(crate) took: Duration,
}

/// A gate answered 503, or not at all, from one moment to another.
#[derive(Clone, Copy)]
pub(crate) struct Away {
    pub(crate) gate: usize,
    pub(crate) from: Instant,
    pub(crate) to: Instant,
    /// Requests of people whose sessions live that it refused.
    pub(crate) refused: u64,
}

/// All of it.
pub(crate) struct Ledger {
    begun: Instant,
    ends: broadcast::Sender<Ended>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pool: VecDeque<Arc<Session>>,
    signed_in: Vec<String>,
    ended: Vec<Ended>,
    successes: Vec<Success>,
    enforced: Vec<Enforced>,
    away: Vec<Away>,
    admitted: u64,
    violations: Vec<String>,
    violations_count: u64,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            ends: broadcast::Sender::new(ENDS_WAITING_MAX),
            state: Mutex::default(),
        }
    }
}

impl Ledger {
    /// A call was answered.
    pub(crate) fn succeeded(&self, operation: Operation, authority: usize) {
        self.state().successes.push(Success {
            at: Instant::now(),
            operation,
            authority,
        });
    }

    /// A sign-in was acknowledged.
    pub(crate) fn signed_in(&self, session: Session) {
        let mut state = self.state();
        state.signed_in.push(session.id.clone());
        state.pool.push_back(Arc::new(session));
        if state.pool.len() > POOL_MAX {
            state.pool.pop_front();
        }
    }

    /// Takes the session that has lived longest, so that nobody else changes it.
    pub(crate) fn take_oldest(&self) -> Option<Arc<Session>> {
        self.state().pool.pop_front()
    }

    /// Takes any session.
    pub(crate) fn take_any(&self) -> Option<Arc<Session>> {
        let mut state = self.state();
        let count = state.pool.len();
        if count == 0 {
            return None;
        }
        state
            .pool
            .swap_remove_back(rand::rng().random_range(0..count))
    }

    pub(crate) fn give_back(&self, session: Arc<Session>) {
        self.state().pool.push_back(session);
    }

    /// Looks at any session.
    pub(crate) fn any_live(&self) -> Option<Arc<Session>> {
        let state = self.state();
        let count = state.pool.len();
        (count > 0).then(|| Arc::clone(&state.pool[rand::rng().random_range(0..count)]))
    }

    pub(crate) fn all_live(&self) -> Vec<Arc<Session>> {
        self.state().pool.iter().map(Arc::clone).collect()
    }

    /// The end of a session was acknowledged.
    pub(crate) fn ended(&self, session: Arc<Session>) {
        let ended = Ended {
            session,
            acknowledged: Instant::now(),
        };
        self.state().ended.push(ended.clone());
        // Without a gate there is nobody to tell.
        let _ = self.ends.send(ended);
    }

    /// The ends that are acknowledged from now on.
    pub(crate) fn ends(&self) -> broadcast::Receiver<Ended> {
        self.ends.subscribe()
    }

    pub(crate) fn enforced(&self, enforced: Enforced) {
        self.state().enforced.push(enforced);
    }

    pub(crate) fn admitted(&self) {
        self.state().admitted += 1;
    }

    pub(crate) fn away(&self, away: Away) {
        self.state().away.push(away);
    }

    /// A promise was broken.
    pub(crate) fn violated(&self, what: &str) {
        let text = format!("{:.1} s: {what}", self.begun.elapsed().as_secs_f64());
        let mut state = self.state();
        state.violations_count += 1;
        if state.violations.len() < VIOLATIONS_MAX {
            eprintln!("ha: {text}");
            state.violations.push(text);
        }
    }

    /// The broken promises: how many, and the text of the first ones.
    pub(crate) fn violations(&self) -> (u64, Vec<String>) {
        let state = self.state();
        (state.violations_count, state.violations.clone())
    }

    pub(crate) fn successes(&self) -> Vec<Success> {
        self.state().successes.clone()
    }

    pub(crate) fn enforcements(&self) -> Vec<Enforced> {
        self.state().enforced.clone()
    }

    pub(crate) fn absences(&self) -> Vec<Away> {
        self.state().away.clone()
    }

    /// Requests that gates admitted.
    pub(crate) fn admitted_count(&self) -> u64 {
        self.state().admitted
    }

    pub(crate) fn acknowledged_sign_ins(&self) -> Vec<String> {
        self.state().signed_in.clone()
    }

    pub(crate) fn acknowledged_ends(&self) -> Vec<Ended> {
        self.state().ended.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
