//! What was acknowledged, and what the gates made of it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rand::Rng;
use tokio::sync::mpsc::{Receiver, Sender, channel, error::TrySendError};

use crate::report::{FaultFigures, Point, Report};

/// The label of the time without a fault.
pub(crate) const QUIET: &str = "no fault";
/// The most ends that wait until a gate is asked about them: of minutes.
const ENDS_WAITING_MAX: usize = 10_000;
/// The most broken promises that are kept with their text.
const VIOLATIONS_MAX: usize = 100;

/// A session, as its callers know it.
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) user: usize,
    state: Mutex<SessionState>,
}

struct SessionState {
    phase: Phase,
    access: Access,
    refresh_token: String,
}

/// An access token, and the time until which it can be used.
#[derive(Clone)]
pub(crate) struct Access {
    pub(crate) token: Arc<str>,
    pub(crate) usable_until: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Live,
    /// A revocation was sent, and its answer has not come.
    Ending,
    Ended,
}

/// An access token of a session whose end was acknowledged.
pub(crate) struct Ended {
    pub(crate) token: Arc<str>,
    pub(crate) acknowledged: Instant,
    /// The fault that there was at that moment.
    pub(crate) during: &'static str,
}

impl Session {
    pub(crate) fn new(id: String, user: usize, access: Access, refresh_token: String) -> Self {
        let state = SessionState {
            phase: Phase::Live,
            access,
            refresh_token,
        };
        Self {
            id,
            user,
            state: Mutex::new(state),
        }
    }

    /// The token that gates must admit now. None: they need not.
    pub(crate) fn live_token(&self) -> Option<Arc<str>> {
        let state = lock(&self.state);
        let is_live = state.phase == Phase::Live && Instant::now() < state.access.usable_until;
        is_live.then(|| Arc::clone(&state.access.token))
    }

    /// Whether nobody has asked for its end.
    pub(crate) fn is_live(&self) -> bool {
        lock(&self.state).phase == Phase::Live
    }

    pub(crate) fn refresh_token(&self) -> String {
        lock(&self.state).refresh_token.clone()
    }

    pub(crate) fn refreshed(&self, access: Access, refresh_token: String) {
        let mut state = lock(&self.state);
        state.access = access;
        state.refresh_token = refresh_token;
    }

    /// From here on nobody knows whether it lives, until the end is acknowledged. False: another caller ends it already.
    pub(crate) fn begin_end(&self) -> bool {
        let mut state = lock(&self.state);
        let was_live = state.phase == Phase::Live;
        if was_live {
            state.phase = Phase::Ending;
        }
        was_live
    }
}

/// What was acknowledged, and what was seen.
pub(crate) struct Ledger {
    begun: Instant,
    state: Mutex<State>,
}

struct State {
    during: &'static str,
    live: Vec<Arc<Session>>,
    gates: Vec<Sender<Arc<Ended>>>,
    figures: BTreeMap<&'static str, Seen>,
    points: Vec<Point>,
    violations: Vec<String>,
    violations_count: u64,
    counts: Counts,
}

/// What was seen while there was one kind of fault.
#[derive(Default)]
struct Seen {
    faults: u64,
    enforced: Vec<Duration>,
    unavailable_longest: Duration,
    recovered: Vec<Duration>,
    refused_calls: u64,
}

/// Operations that were acknowledged.
#[derive(Clone, Copy, Default, serde::Serialize)]
pub(crate) struct Counts {
    pub(crate) sign_ins: u64,
    pub(crate) refreshes: u64,
    pub(crate) revocations: u64,
    pub(crate) sign_outs_of_users: u64,
    pub(crate) checks: u64,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            state: Mutex::new(State {
                during: QUIET,
                live: Vec::new(),
                gates: Vec::new(),
                figures: BTreeMap::new(),
                points: Vec::new(),
                violations: Vec::new(),
                violations_count: 0,
                counts: Counts::default(),
            }),
        }
    }
}

impl Ledger {
    /// Begins a kind of fault, or the time without one.
    pub(crate) fn set_fault(&self, fault: &'static str) {
        let mut state = lock(&self.state);
        state.during = fault;
        state.figures.entry(fault).or_default().faults += 1;
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut lock(&self.state).counts);
    }

    pub(crate) fn refused_call(&self) {
        lock(&self.state).seen().refused_calls += 1;
    }

    pub(crate) fn add(&self, session: Arc<Session>) {
        let mut state = lock(&self.state);
        state.counts.sign_ins += 1;
        state.live.push(session);
    }

    /// A session that lives, if there is one.
    pub(crate) fn any_live(&self) -> Option<Arc<Session>> {
        let state = lock(&self.state);
        let count = state.live.len();
        (count > 0).then(|| Arc::clone(&state.live[rand::rng().random_range(0..count)]))
    }

    pub(crate) fn live_count(&self) -> usize {
        lock(&self.state).live.len()
    }

    /// The sessions of a user that live.
    pub(crate) fn live_of(&self, user: usize) -> Vec<Arc<Session>> {
        let state = lock(&self.state);
        let of_user = state.live.iter().filter(|session| session.user == user);
        of_user.map(Arc::clone).collect()
    }

    /// The end of a session was acknowledged. All gates hear of it here, and not from the authority.
    pub(crate) fn ended(&self, session: &Arc<Session>) {
        let acknowledged = Instant::now();
        let token = {
            let mut state = lock(&session.state);
            state.phase = Phase::Ended;
            Arc::clone(&state.access.token)
        };
        let mut state = lock(&self.state);
        state.live.retain(|live| !Arc::ptr_eq(live, session));
        let ended = Arc::new(Ended {
            token,
            acknowledged,
            during: state.during,
        });
        state
            .gates
            .retain(|gate| match gate.try_send(Arc::clone(&ended)) {
                Ok(()) => true,
                // A gate that has left hears of nothing any more.
                Err(TrySendError::Closed(_)) => false,
                Err(TrySendError::Full(_)) => panic!("a gate is not compared any more"),
            });
    }

    /// The ends of sessions that are acknowledged from now on.
    pub(crate) fn ends(&self) -> Receiver<Arc<Ended>> {
        let (sender, receiver) = channel(ENDS_WAITING_MAX);
        lock(&self.state).gates.push(sender);
        receiver
    }

    /// A gate refused a token for the first time since its end was acknowledged.
    pub(crate) fn enforced(&self, ended: &Ended) {
        let took = ended.acknowledged.elapsed();
        let mut state = lock(&self.state);
        let seen = state.figures.entry(ended.during).or_default();
        seen.enforced.push(took);
        let point = Point {
            second: ended.acknowledged.duration_since(self.begun).as_secs_f64(),
            milliseconds: 1_000.0 * took.as_secs_f64(),
            during: ended.during,
        };
        state.points.push(point);
    }

    /// A gate could tell nothing for this long.
    pub(crate) fn unavailable(&self, during: &'static str, time: Duration) {
        let mut state = lock(&self.state);
        let seen = state.figures.entry(during).or_default();
        seen.unavailable_longest = seen.unavailable_longest.max(time);
    }

    /// All gates were fresh again this long after a fault was mended.
    pub(crate) fn recovered(&self, time: Duration) {
        lock(&self.state).seen().recovered.push(time);
    }

    /// The fault that there is.
    pub(crate) fn during(&self) -> &'static str {
        lock(&self.state).during
    }

    /// A promise was broken.
    pub(crate) fn violated(&self, what: &str) {
        let mut state = lock(&self.state);
        state.violations_count += 1;
        if state.violations.len() < VIOLATIONS_MAX {
            let text = format!(
                "{:.1} s, {}: {what}",
                self.begun.elapsed().as_secs_f64(),
                state.during
            );
            eprintln!("soak: {text}");
            state.violations.push(text);
        }
    }

    /// Everything that was seen.
    pub(crate) fn report(&self, minutes: u64, seed: u64, gates: usize) -> Report {
        let mut state = lock(&self.state);
        let figures = std::mem::take(&mut state.figures);
        Report {
            minutes,
            seed,
            gates,
            counts: state.counts,
            violations_count: state.violations_count,
            violations: std::mem::take(&mut state.violations),
            faults: figures
                .into_iter()
                .map(|(fault, seen)| seen.figures(fault))
                .collect(),
            points: std::mem::take(&mut state.points),
        }
    }
}

impl State {
    fn seen(&mut self) -> &mut Seen {
        self.figures.entry(self.during).or_default()
    }
}

impl Seen {
    fn figures(mut self, fault: &'static str) -> FaultFigures {
        self.enforced.sort_unstable();
        FaultFigures {
            fault,
            times: self.faults,
            checks_of_ends: self.enforced.len(),
            enforced_p50_ms: percentile(&self.enforced, 0.5),
            enforced_p99_ms: percentile(&self.enforced, 0.99),
            enforced_p999_ms: percentile(&self.enforced, 0.999),
            enforced_max_ms: percentile(&self.enforced, 1.0),
            unavailable_longest_ms: milliseconds(self.unavailable_longest),
            recovered_max_ms: milliseconds(
                self.recovered.iter().copied().max().unwrap_or_default(),
            ),
            refused_calls: self.refused_calls,
        }
    }
}

/// The value below which this share of the sorted times lies. Without any it is 0.
fn percentile(sorted: &[Duration], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return 0.0;
    };
    let index = (share * last as f64).ceil() as usize;
    milliseconds(sorted[index])
}

fn milliseconds(time: Duration) -> f64 {
    1_000.0 * time.as_secs_f64()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
