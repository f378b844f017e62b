//! The end of an identity, for streams that outlive the request that opened them.

use std::{
    future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use portcullis_contract::rejection::Rejection;
use slab::Slab;

use crate::sync::{
    AtomicUsize, Mutex, MutexGuard,
    Ordering::{AcqRel, Relaxed},
    PoisonError,
};

/// The parts of the waiting futures, each with its own lock. One part is locked while it is judged, so a stream that
/// begins or ends meanwhile seldom waits.
const PARTS: usize = 64;

/// A future that resolves when the identity ends: when a check of its token would be refused. It says why.
///
/// It needs no runtime. [`Engine::wake_ended`](crate::Engine::wake_ended) wakes it. Its place in the engine is freed when
/// it resolves or is dropped, so their number is bounded by the streams that the host keeps open.
#[must_use = "a future does nothing unless it is polled"]
pub struct Ended {
    identity: Arc<dyn Judged>,
    /// Whether it ends without a proof of freshness in any mode.
    strict: bool,
    place: Option<Place>,
}

/// An identity that is judged again and again.
pub(crate) trait Judged: Send + Sync {
    /// The futures that wait at the engine that admitted it.
    fn waiting(&self) -> &Waiting;

    /// Returns the reason for which a check would refuse it now, or a strict check.
    fn rejection(&self, strict: bool) -> Option<Rejection>;
}

/// The futures that wait for the end of their identities.
pub(crate) struct Waiting {
    parts: Box<[Mutex<Slab<Waiter>>]>,
    /// The part that takes the next future.
    next: AtomicUsize,
    /// The number of futures in all parts. Read by writing: then a read that comes before a future arrives passes on all
    /// that happened before it, and the future judges its identity by that.
    count: AtomicUsize,
    /// Wakes the host, which sleeps while no future waits.
    host: Mutex<Option<Waker>>,
}

/// The place of a waiter: its part, and its key there.
#[derive(Clone, Copy)]
struct Place {
    part: usize,
    key: usize,
}

struct Waiter {
    identity: Arc<dyn Judged>,
    strict: bool,
    waker: Waker,
}

impl Waiting {
    pub(crate) fn new() -> Self {
        Self {
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            next: AtomicUsize::new(0),
            count: AtomicUsize::new(0),
            host: Mutex::new(None),
        }
    }

    /// Resolves while a future waits. One task at a time is woken.
    pub(crate) fn some(&self) -> impl Future<Output = ()> {
        future::poll_fn(|context| {
            // Before the count is read: a future that arrives after that finds the waker.
            *lock(&self.host) = Some(context.waker().clone());
            match self.len() {
                0 => Poll::Pending,
                _ => Poll::Ready(()),
            }
        })
    }

    /// Wakes every future whose identity has ended.
    pub(crate) fn wake_ended(&self) {
        // Most gates have no streams, and the parts are many lines of memory.
        if self.len() == 0 {
            return;
        }
        for part in 0..self.parts.len() {
            let ended = self.ended_of(part);
            // Without the lock: a waker runs code of the host, which may drop the future at once.
            for waker in ended {
                waker.wake();
            }
        }
    }

    fn ended_of(&self, part: usize) -> Vec<Waker> {
        let mut ended = Vec::new();
        for (_, waiter) in self.part(part).iter() {
            if waiter.identity.rejection(waiter.strict).is_some() {
                ended.push(waiter.waker.clone());
            }
        }
        ended
    }

    /// The number of futures that wait.
    pub(crate) fn len(&self) -> usize {
        self.count.fetch_add(0, AcqRel)
    }

    fn add(&self, identity: &Arc<dyn Judged>, strict: bool, waker: &Waker) -> Place {
        let part = self.next.fetch_add(1, Relaxed) % self.parts.len();
        let waiter = Waiter {
            identity: Arc::clone(identity),
            strict,
            waker: waker.clone(),
        };
        let key = self.part(part).insert(waiter);
        if self.count.fetch_add(1, AcqRel) == 0 {
            self.wake_host();
        }
        Place { part, key }
    }

    fn wake_host(&self) {
        let host = lock(&self.host).take();
        // Without the lock: a waker runs code of the host.
        if let Some(host) = host {
            host.wake();
        }
    }

    /// Makes `waker` the one to wake: the future may have moved to another task.
    fn renew(&self, place: Place, waker: &Waker) {
        let mut waker = waker.clone();
        if let Some(waiter) = self.part(place.part).get_mut(place.key) {
            std::mem::swap(&mut waiter.waker, &mut waker);
        }
        // The old one is dropped here, without the lock: its drop is code of the host and may drop another future.
    }

    fn remove(&self, place: Place) {
        // Dropped without the lock, as in `renew`.
        let removed = self.part(place.part).try_remove(place.key);
        if removed.is_some() {
            self.count.fetch_sub(1, AcqRel);
        }
        drop(removed);
    }

    fn part(&self, part: usize) -> MutexGuard<'_, Slab<Waiter>> {
        lock(&self.parts[part])
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics between two steps of a change, so the value is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ended {
    pub(crate) fn new(identity: Arc<dyn Judged>, strict: bool) -> Self {
        Self {
            identity,
            strict,
            place: None,
        }
    }

    /// Returns why the identity has ended, or `None` while it has not.
    ///
    /// For a stream that always has something to send, which never waits. Takes no place in the engine.
    #[must_use]
    pub fn rejection(&self) -> Option<Rejection> {
        self.identity.rejection(self.strict)
    }

    fn wait(&mut self, waker: &Waker) {
        let waiting = self.identity.waiting();
        match self.place {
            Some(place) => waiting.renew(place, waker),
            None => self.place = Some(waiting.add(&self.identity, self.strict, waker)),
        }
    }

    fn leave(&mut self) {
        if let Some(place) = self.place.take() {
            self.identity.waiting().remove(place);
        }
    }
}

impl Future for Ended {
    type Output = Rejection;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Rejection> {
        // Registered first. A revocation after that wakes the future, and one before it is found by judging now.
        self.wait(context.waker());
        match self.identity.rejection(self.strict) {
            Some(rejection) => {
                self.leave();
                Poll::Ready(rejection)
            }
            None => Poll::Pending,
        }
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::AtomicU32,
        task::Wake,
        time::{Duration, SystemTime},
    };

    use portcullis_contract::{
        delta::{self, Change, Scope},
        id::{Serial, SessionId, TenantId, TenantSerial, UserId, UserSerial},
        key::{Algorithm, CredentialKind, KeyId, PrivateKey, VerificationKey},
        position::{Incarnation, Revision},
        token::{self, Claims},
        view::{Frame, Subject, View},
    };

    use super::*;
    use crate::{
        Engine, Identity, Mark, Mode, Settings, database_clock::DatabaseClock, state::State,
    };

    /// The token of the tests lives this long from now.
    const LIFETIME: Duration = Duration::from_secs(300);
    const SERIAL: Serial = Serial(11);
    const USER: UserSerial = UserSerial(22);
    const TENANT: TenantSerial = TenantSerial(33);

    #[derive(Default)]
    struct Wakes(AtomicU32);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    /// An engine with a good state, and an identity that it admitted.
    struct Gate {
        engine: Engine,
        state: State,
        identity: Arc<Identity>,
        wakes: Arc<Wakes>,
    }

    impl Gate {
        fn new(mode: Mode) -> Self {
            let settings = Settings {
                mode,
                ..Settings::new("i", "a")
            };
            let (engine, _) = Engine::new(settings).expect("good settings");
            let now = Mark::now();
            let told = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
            let mut state = State::clone(&engine.judge.state.load());
            let view = View::empty(Incarnation([1; 16]))
                .apply(&frame(1, Change::Trust(key())))
                .expect("applies");
            let key = Arc::clone(&view.trusted_keys()[0]);
            state.view = Some(Arc::new(view));
            state.fresh_as_of = Some(now);
            state.database_clock = Some(DatabaseClock::new(now, now, told));
            state.unready = None;
            let verified = token::Identity {
                claims: claims(told + LIFETIME),
                key,
            };
            let identity = Arc::new(Identity::new(verified, Arc::clone(&engine.judge)));
            let gate = Self {
                engine,
                state,
                identity,
                wakes: Arc::default(),
            };
            gate.publish();
            gate
        }

        fn publish(&self) {
            let state = Arc::new(self.state.clone());
            self.engine.judge.state.store(state);
            self.engine.wake_ended();
        }

        fn apply(&mut self, change: Change) {
            let view = self.state.view.as_ref().expect("a view");
            let next = view.apply(&frame(2, change)).expect("applies");
            self.state.view = Some(Arc::new(next));
        }

        /// As if the last beat had come this long ago.
        fn age(&mut self, age: Duration) {
            self.state.fresh_as_of = Some(Mark::now().earlier_by(age));
        }

        fn poll(&self, ended: &mut Ended) -> Poll<Rejection> {
            let waker = Waker::from(Arc::clone(&self.wakes));
            Pin::new(ended).poll(&mut Context::from_waker(&waker))
        }

        fn wakes(&self) -> u32 {
            self.wakes.0.load(Relaxed)
        }
    }

    fn frame(revision: u64, change: Change) -> Frame {
        Frame {
            revision: Revision(revision),
            delta: delta::encode(&[change], vec![]),
            audit_digest: [3; 32],
        }
    }

    fn key() -> VerificationKey {
        let key = PrivateKey::generate(Algorithm::Ed25519);
        VerificationKey::new(
            KeyId::parse("k1").expect("an id"),
            key.algorithm(),
            key.public_bytes(),
            CredentialKind::Session,
        )
        .expect("a good key")
    }

    fn claims(expires: Duration) -> Claims {
        Claims {
            tenant_id: TenantId::parse("acme").expect("an id"),
            user_id: UserId::parse("ada").expect("an id"),
            session_id: SessionId::generate(),
            subject: Subject {
                serial: SERIAL,
                user: USER,
                tenant: TENANT,
                opened: Revision(1),
            },
            token_id: "t".into(),
            audiences: vec!["a".into()],
            client_id: "web".into(),
            issued_at: (expires - LIFETIME).as_secs(),
            expires_at: expires.as_secs(),
            auth_time: 900,
            amr: vec![],
            acr: String::new(),
        }
    }

    fn revoke(serial: Serial) -> Change {
        Change::Revoke {
            credential: CredentialKind::Session,
            serials: vec![serial],
        }
    }

    fn cut(scope: Scope) -> Change {
        Change::Cut {
            credential: CredentialKind::Session,
            scope,
            exempt: None,
        }
    }

    type Step = fn(&mut Gate);

    /// Takes a step while a stream is open, and checks the reason for which it ends.
    fn check_end(case: &str, step: Step, expected: Option<&str>) {
        let mut gate = Gate::new(Mode::Strict);
        let mut ended = gate.identity.ended();
        assert_eq!(gate.poll(&mut ended), Poll::Pending, "{case}");
        step(&mut gate);
        gate.publish();
        let reason = match gate.poll(&mut ended) {
            Poll::Ready(rejection) => Some(rejection.reason()),
            Poll::Pending => None,
        };
        assert_eq!(reason, expected, "{case}");
        assert_eq!(gate.wakes(), u32::from(expected.is_some()), "{case}");
        // A stream that begins afterwards learns the same at once.
        let late = gate.poll(&mut gate.identity.ended());
        assert_eq!(late.is_ready(), expected.is_some(), "{case}");
    }

    #[test]
    fn a_revocation_ends_the_streams_that_it_covers_and_no_others() {
        let cases: [(&str, Step, Option<&str>); 10] = [
            ("nothing", |_| {}, None),
            (
                "its session",
                |gate| gate.apply(revoke(SERIAL)),
                Some("revoked"),
            ),
            (
                "another session",
                |gate| gate.apply(revoke(Serial(12))),
                None,
            ),
            (
                "its user",
                |gate| gate.apply(cut(Scope::User(USER))),
                Some("signed_out"),
            ),
            (
                "another user",
                |gate| gate.apply(cut(Scope::User(UserSerial(2)))),
                None,
            ),
            (
                "its tenant",
                |gate| gate.apply(cut(Scope::Tenant(TENANT))),
                Some("signed_out"),
            ),
            (
                "another tenant",
                |gate| gate.apply(cut(Scope::Tenant(TenantSerial(3)))),
                None,
            ),
            (
                "everyone",
                |gate| gate.apply(cut(Scope::Everyone)),
                Some("signed_out"),
            ),
            (
                "all others",
                |gate| {
                    gate.apply(Change::Cut {
                        credential: CredentialKind::Session,
                        scope: Scope::User(USER),
                        exempt: Some(SERIAL),
                    });
                },
                None,
            ),
            (
                "its key",
                |gate| gate.apply(Change::Distrust(KeyId::parse("k1").expect("an id"))),
                Some("distrusted_key"),
            ),
        ];
        for (case, step, expected) in cases {
            check_end(case, step, expected);
        }
    }

    #[test]
    fn time_and_doubt_end_a_stream_as_they_refuse_a_request() {
        let cases: [(&str, Step, Option<&str>); 5] = [
            (
                "within the bound",
                |gate| gate.age(Duration::from_secs(3)),
                None,
            ),
            (
                "stale",
                |gate| gate.age(Duration::from_secs(6)),
                Some("stale"),
            ),
            (
                "not understood",
                |gate| gate.state.unready = Some("a test"),
                Some("unready"),
            ),
            (
                "expired",
                |gate| {
                    let now = Mark::now();
                    let told = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970") + LIFETIME;
                    gate.state.clock_skew_max = 2 * LIFETIME;
                    gate.state.database_clock = Some(DatabaseClock::new(now, now, told));
                },
                Some("expired"),
            ),
            (
                "a wrong clock",
                |gate| {
                    let now = Mark::now();
                    let told = Duration::from_secs(1_000);
                    gate.state.database_clock = Some(DatabaseClock::new(now, now, told));
                },
                Some("clock_skew"),
            ),
        ];
        for (case, step, expected) in cases {
            check_end(case, step, expected);
        }
    }

    #[test]
    fn best_effort_keeps_streams_until_its_own_bound() {
        let stale_max = Duration::from_secs(60);
        let mut gate = Gate::new(Mode::BestEffort { stale_max });
        let mut ended = gate.identity.ended();
        gate.age(Duration::from_secs(30));
        gate.publish();
        assert_eq!(gate.poll(&mut ended), Poll::Pending);
        gate.age(Duration::from_secs(61));
        gate.publish();
        assert!(matches!(
            gate.poll(&mut ended),
            Poll::Ready(Rejection::Stale { .. })
        ));
    }

    #[test]
    fn a_strict_stream_of_a_best_effort_gate_ends_without_a_proof() {
        let stale_max = Duration::from_secs(60);
        let mut gate = Gate::new(Mode::BestEffort { stale_max });
        let mut lax = gate.identity.ended();
        let mut strict = gate.identity.ended_strictly();
        for (age, ends) in [(3, false), (6, true)] {
            gate.age(Duration::from_secs(age));
            gate.publish();
            assert_eq!(gate.poll(&mut lax), Poll::Pending);
            assert_eq!(gate.poll(&mut strict).is_ready(), ends, "{age} s");
            let late = gate.poll(&mut gate.identity.ended_strictly());
            assert_eq!(late.is_ready(), ends, "{age} s");
        }
        assert_eq!(gate.wakes(), 1, "the strict one was woken");
    }

    #[test]
    fn streams_end_with_their_engine() {
        for drop_it in [false, true] {
            let gate = Gate::new(Mode::Strict);
            let mut ended = gate.identity.ended();
            assert_eq!(gate.poll(&mut ended), Poll::Pending);
            let wakes = Arc::clone(&gate.wakes);
            let identity = Arc::clone(&gate.identity);
            if drop_it {
                drop(gate);
            } else {
                gate.engine.close();
            }
            assert_eq!(wakes.0.load(Relaxed), 1);
            let mut context = Context::from_waker(Waker::noop());
            let unready = Poll::Ready(Rejection::Unready);
            assert_eq!(Pin::new(&mut ended).poll(&mut context), unready);
            let mut late = identity.ended();
            assert_eq!(Pin::new(&mut late).poll(&mut context), unready);
        }
    }

    #[test]
    fn streams_are_spread_over_all_parts() {
        let gate = Gate::new(Mode::Strict);
        let mut streams: Vec<_> = (0..2 * PARTS).map(|_| gate.identity.ended()).collect();
        for ended in &mut streams {
            assert_eq!(gate.poll(ended), Poll::Pending);
        }
        for part in 0..PARTS {
            assert_eq!(gate.engine.judge.waiting.part(part).len(), 2, "{part}");
        }
    }

    #[test]
    fn a_stream_that_never_waits_can_ask_for_its_end() {
        let mut gate = Gate::new(Mode::Strict);
        let ended = gate.identity.ended();
        assert_eq!(ended.rejection(), None);
        gate.apply(revoke(SERIAL));
        gate.publish();
        assert_eq!(ended.rejection(), Some(Rejection::Revoked));
    }

    #[test]
    fn a_host_sleeps_until_a_stream_waits() {
        let gate = Gate::new(Mode::Strict);
        let host = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&host));
        let mut context = Context::from_waker(&waker);
        let mut sleep = Box::pin(gate.engine.streams_wait());
        assert_eq!(sleep.as_mut().poll(&mut context), Poll::Pending);

        let mut streams = [gate.identity.ended(), gate.identity.ended()];
        for ended in &mut streams {
            assert_eq!(gate.poll(ended), Poll::Pending);
            assert_eq!(host.0.load(Relaxed), 1, "the first stream wakes the host");
        }
        assert_eq!(sleep.as_mut().poll(&mut context), Poll::Ready(()));

        drop(streams);
        let mut sleep = Box::pin(gate.engine.streams_wait());
        assert_eq!(sleep.as_mut().poll(&mut context), Poll::Pending);
    }

    #[test]
    fn a_place_is_freed_and_the_last_waker_is_woken() {
        let mut gate = Gate::new(Mode::Strict);
        let waiting = |gate: &Gate| gate.engine.statistics().streams;
        let mut streams: Vec<_> = (0..200).map(|_| gate.identity.ended()).collect();
        assert_eq!(waiting(&gate), 0, "one that was not polled takes no place");
        for ended in &mut streams {
            assert_eq!(gate.poll(ended), Poll::Pending);
            assert_eq!(gate.poll(ended), Poll::Pending);
        }
        assert_eq!(waiting(&gate), 200);

        // One moves to another task.
        let moved = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&moved));
        let polled = Pin::new(&mut streams[0]).poll(&mut Context::from_waker(&waker));
        assert_eq!(polled, Poll::Pending);
        streams.truncate(100);
        assert_eq!(waiting(&gate), 100);

        gate.apply(revoke(SERIAL));
        gate.publish();
        assert_eq!((moved.0.load(Relaxed), gate.wakes()), (1, 99));
        for ended in &mut streams {
            assert_eq!(gate.poll(ended), Poll::Ready(Rejection::Revoked));
        }
        assert_eq!(waiting(&gate), 0);
        assert!(Arc::strong_count(&gate.identity) > 1);
        streams.clear();
        assert_eq!(Arc::strong_count(&gate.identity), 1);
    }
}
