//! What threads share in a gate: the state that is replaced whole, the cache of tokens, and the futures that wait for an
//! end. The code is that of `portcullis-validator-core`; only its locks and atomics stop at each access.

mod explore;

use std::{
    pin::Pin,
    sync::{Arc, LazyLock},
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime},
};

use explore::every_order;
use interleaved_validator_core::{
    Engine, Follower, Identity, Line, Mark, Rejection, RequestInfo, Settings,
};
use portcullis_contract::{
    delta::{self, Change},
    id::{Serial, SessionId, TenantId, TenantSerial, UserId, UserSerial},
    key::{Algorithm, CredentialKind, KeyId, PrivateKey, VerificationKey},
    position::{Incarnation, Position, Revision, sha256},
    token::{Claims, Signer},
    v1::{self, watch_response::Message as Answer},
    view::{Frame, Subject, View},
    watch::{AnyStream, Checksummed, StreamId},
};
use shuttle::thread;

const ISSUER: &str = "https://issuer";
const AUDIENCE: &str = "gate";
const INCARNATION: Incarnation = Incarnation([1; 16]);
/// The session that batch 2 revokes.
const REVOKED: u64 = 1;
/// The time between the first proof and the second one: far more than `max_staleness`.
const LATER: Duration = Duration::from_secs(100);
/// The time between a proof and a check that it allows.
const SOON: Duration = Duration::from_secs(1);

/// The log and the tokens, made once: keys take their time.
struct World {
    trust: Frame,
    revoke: Frame,
    tokens: Vec<String>,
}

static WORLD: LazyLock<World> = LazyLock::new(World::new);

impl World {
    fn new() -> Self {
        let key = PrivateKey::generate(Algorithm::Ed25519);
        let id = KeyId::parse("k1").expect("an id");
        let trusted = VerificationKey::new(
            id.clone(),
            key.algorithm(),
            key.public_bytes(),
            CredentialKind::Session,
        );
        let revoked = Change::Revoke {
            credential: CredentialKind::Session,
            serials: vec![Serial(REVOKED)],
        };
        let signer = Signer::new(id, key);
        let token = |serial| signer.sign(ISSUER, &claims(serial)).expect("signs");
        Self {
            trust: frame(1, &Change::Trust(trusted.expect("a good key"))),
            revoke: frame(2, &revoked),
            tokens: (REVOKED..REVOKED + 4).map(token).collect(),
        }
    }
}

fn frame(revision: u64, change: &Change) -> Frame {
    Frame {
        revision: Revision(revision),
        delta: delta::encode(std::slice::from_ref(change), vec![]),
        audit_digest: [3; 32],
    }
}

fn claims(serial: u64) -> Claims {
    let now = since_1970().as_secs();
    Claims {
        tenant_id: TenantId::parse("acme").expect("an id"),
        user_id: UserId::parse("ada").expect("an id"),
        session_id: SessionId::generate(),
        subject: Subject {
            serial: Serial(serial),
            user: UserSerial(2),
            tenant: TenantSerial(3),
            opened: Revision(1),
        },
        token_id: format!("t{serial}"),
        audiences: vec![AUDIENCE.into()],
        issued_at: now,
        expires_at: now + 3_600,
        auth_time: now,
        amr: vec![],
        acr: String::new(),
        client_id: "web".into(),
    }
}

fn since_1970() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().expect("after 1970")
}

/// A moment by clocks that agree with the database's.
fn moment(after_start: Duration) -> Mark {
    Mark::from_clocks(
        Duration::from_secs(1_000) + after_start,
        start() + after_start,
    )
}

fn start() -> Duration {
    static START: LazyLock<Duration> = LazyLock::new(|| since_1970() + Duration::from_secs(60));
    *START
}

/// A gate that trusts the key, with a proof of its freshness.
struct Gate {
    engine: Arc<Engine>,
    follower: Follower,
    stream: StreamId,
    view: View,
}

impl Gate {
    fn open(cached_tokens_max: usize, now: Mark, told: Duration) -> Self {
        let settings = Settings {
            cached_tokens_max,
            track_activity: false,
            ..Settings::new(ISSUER, AUDIENCE)
        };
        let (engine, _) = Engine::new(settings).expect("good settings");
        let engine = Arc::new(engine);
        let mut follower = Follower::new(Arc::clone(&engine), 1 << 20, |_| {});
        let hello = follower.begin(Line::First);
        let mut gate = Self {
            engine,
            follower,
            stream: hello.stream[..].try_into().expect("a stream's name"),
            view: View::empty(INCARNATION)
                .apply(&WORLD.trust)
                .expect("applies"),
        };
        gate.load(now);
        gate.prove(gate.view.position(), now, told);
        gate
    }

    fn load(&mut self, now: Mark) {
        let welcome = v1::WatchWelcome {
            incarnation: INCARNATION.0.to_vec().into(),
            ..Default::default()
        };
        self.hear(Answer::Welcome(welcome.sealed(&self.stream)), now);
        let data = self.view.encode();
        let chunk = v1::SnapshotChunk {
            total_bytes: data.len() as u64,
            sha256: sha256(&data).to_vec().into(),
            data,
            ..Default::default()
        };
        self.hear(Answer::SnapshotChunk(chunk.sealed(&AnyStream)), now);
    }

    fn revoke(&mut self, now: Mark) {
        self.view = self.view.apply(&WORLD.revoke).expect("applies");
        self.hear(Answer::Delta((&WORLD.revoke).into()), now);
    }

    /// Proves the view fresh as of `now` once it has reached `head`. The database's clock says `told`.
    fn prove(&mut self, head: Position, now: Mark, told: Duration) {
        let probe = self.follower.probe(Line::First, now);
        let beat = v1::WatchBeat {
            nonce: probe.expect("a stream").expect("a probe").nonce,
            head: Some(head.into()),
            database_time: Some((SystemTime::UNIX_EPOCH + told).into()),
            ..Default::default()
        };
        self.hear(Answer::Beat(beat.sealed(&self.stream)), now);
    }

    fn hear(&mut self, answer: Answer, now: Mark) {
        let heard = self.follower.receive(Line::First, answer, now);
        heard.expect("as it was sent");
    }
}

fn check(engine: &Engine, index: usize, now: Mark) -> Result<Arc<Identity>, Rejection> {
    let token = &WORLD.tokens[index];
    engine.check_by_clock(token, &RequestInfo::default(), || now)
}

/// The second proof counts from the batch that revokes on. A check by the clock of that time finds either the first proof,
/// which is too old, or the second one and the batch. Only a mixture of the two states would admit the token.
#[test]
fn no_check_has_the_proof_of_one_view_and_the_revocations_of_another() {
    every_order(|| {
        let mut gate = Gate::open(10, moment(Duration::ZERO), start());
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let engine = Arc::clone(&gate.engine);
                thread::spawn(move || {
                    for _ in 0..3 {
                        let verdict = check(&engine, 0, moment(LATER + SOON));
                        assert!(verdict.is_err(), "a proof covers what it does not have");
                    }
                })
            })
            .collect();
        let next = gate.view.apply(&WORLD.revoke).expect("applies");
        gate.prove(next.position(), moment(LATER), start() + LATER);
        gate.revoke(moment(LATER));
        for reader in readers {
            reader.join().expect("it ends");
        }
        let last = check(&gate.engine, 0, moment(LATER + SOON));
        assert_eq!(last.err(), Some(Rejection::Revoked));
    });
}

#[test]
fn a_token_that_was_refused_once_is_never_admitted_again() {
    every_order(|| {
        // One token has room, so two that are in use push each other out all the time.
        let mut gate = Gate::open(1, moment(Duration::ZERO), start());
        let readers: Vec<_> = (0..2)
            .map(|other| {
                let engine = Arc::clone(&gate.engine);
                thread::spawn(move || {
                    let mut revoked = false;
                    for index in [0, other, 0, other, 0] {
                        let verdict = check(&engine, index, moment(SOON));
                        let is_dead = index == 0 && verdict.is_err();
                        assert!(index == 0 || verdict.is_ok(), "{verdict:?}");
                        assert!(index != 0 || !revoked || is_dead, "admitted again");
                        revoked |= is_dead;
                    }
                })
            })
            .collect();
        gate.revoke(moment(SOON));
        assert!(check(&gate.engine, 0, moment(SOON)).is_err());
        for reader in readers {
            reader.join().expect("it ends");
        }
    });
}

#[test]
fn threads_that_meet_a_new_token_keep_it_once() {
    every_order(|| {
        let gate = Gate::open(10, moment(Duration::ZERO), start());
        check_together(&gate.engine, [0, 0, 0]);
        // Whoever met the other one's writer kept nothing, so at least one did.
        assert_eq!(gate.engine.statistics().cached_tokens, 1);
    });
}

#[test]
fn the_cache_keeps_its_bound_and_answers_with_the_tokens_own_identity() {
    every_order(|| {
        let gate = Gate::open(2, moment(Duration::ZERO), start());
        check_together(&gate.engine, [1, 2, 3]);
        check_together(&gate.engine, [3, 1, 2]);
        let cached = gate.engine.statistics().cached_tokens;
        assert!((1..=2).contains(&cached), "{cached} tokens");
    });
}

/// Checks a token on each of three threads at once, twice.
fn check_together(engine: &Arc<Engine>, tokens: [usize; 3]) {
    let threads = tokens.map(|index| {
        let engine = Arc::clone(engine);
        thread::spawn(move || {
            for _ in 0..2 {
                let identity = check(&engine, index, moment(SOON)).expect("a good token");
                let expected = Serial(REVOKED + index as u64);
                assert_eq!(identity.claims.subject.serial, expected);
            }
        })
    });
    for thread in threads {
        thread.join().expect("it ends");
    }
}

/// A wake that is lost leaves the thread waiting for ever, which is a deadlock here.
#[test]
fn a_revocation_wakes_every_stream_that_waits_for_its_end() {
    every_order(|| {
        let now = Mark::now();
        let mut gate = Gate::open(10, now, since_1970());
        let identity = check(&gate.engine, 0, Mark::now()).expect("a good token");
        let streams: Vec<_> = (0..2)
            .map(|_| {
                let identity = Arc::clone(&identity);
                thread::spawn(move || shuttle::future::block_on(identity.ended()))
            })
            .collect();
        gate.revoke(now);
        gate.engine.wake_ended();
        for stream in streams {
            assert_eq!(stream.join().expect("it ends"), Rejection::Revoked);
        }
        assert_eq!(gate.engine.statistics().streams, 0);
    });
}

/// As above: a host that is not woken sleeps for ever.
#[test]
fn a_stream_wakes_the_host_that_sleeps_without_any() {
    every_order(|| {
        let gate = Gate::open(10, Mark::now(), since_1970());
        let identity = check(&gate.engine, 0, Mark::now()).expect("a good token");
        let stream = thread::spawn(move || {
            let mut ended = identity.ended();
            let mut context = Context::from_waker(Waker::noop());
            assert_eq!(Pin::new(&mut ended).poll(&mut context), Poll::Pending);
            ended
        });
        shuttle::future::block_on(gate.engine.streams_wait());
        drop(stream.join().expect("it waits"));
    });
}

#[test]
fn an_engine_that_closes_ends_every_stream() {
    every_order(|| {
        let gate = Gate::open(10, Mark::now(), since_1970());
        let identity = check(&gate.engine, 0, Mark::now()).expect("a good token");
        let stream = thread::spawn(move || shuttle::future::block_on(identity.ended()));
        gate.engine.close();
        assert_eq!(stream.join().expect("it ends"), Rejection::Unready);
    });
}
