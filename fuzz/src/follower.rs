//! The follower of a gate beside a slow and obvious one: whatever two authorities say, and in whatever order, both know
//! the same, are fresh as of the same time, and admit the same tokens.

mod reference;

use std::{
    sync::{Arc, LazyLock},
    time::{Duration, SystemTime},
};

use portcullis_contract::{
    delta::{self, Change, Scope},
    id::{Serial, UserSerial},
    key::CredentialKind,
    position::{Incarnation, Position, Revision, sha256},
    token::{Claims, Signer},
    v1::{self, watch_response::Message as Answer},
    view::{Frame, Subject, View},
    watch::{AnyStream, Checksummed, StreamId},
};
use portcullis_validator_core::{
    Engine, Follower, Line, Mark, ProtocolError, RequestInfo, Settings,
};

use self::reference::{Batch, Kind, Log, Part, Reference, Refusal};
use crate::{
    Seed,
    world::{AUDIENCE, ISSUER, KEYS, claims, key_id, public, revoke, subject},
};

/// The most steps of an input. The follower gives up probes, beats and chains only beyond it.
const STEPS_MAX: usize = 60;
/// The sessions.
const SESSIONS: u64 = 4;
const MAX_STALENESS: u64 = 5;
/// The database's clock when an input begins, in seconds since 1970.
const BEGIN: u64 = 1_000_000;
/// The length of the first part of a snapshot.
const FIRST_BYTES: usize = 16;

/// The tokens of the sessions.
static TOKENS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let document = KEYS[0].to_pkcs8();
    let key = portcullis_contract::key::PrivateKey::from_pkcs8(KEYS[0].algorithm(), &document);
    let signer = Signer::new(
        key_id(KEYS[0].algorithm().jose_name()),
        key.expect("our own document"),
    );
    let token = |serial| {
        let claims = Claims {
            subject: Subject {
                user: user(serial),
                ..subject(serial, 0)
            },
            expires_at: 1 << 40,
            ..claims()
        };
        signer.sign(ISSUER, &claims).expect("our own key signs")
    };
    (1..=SESSIONS).map(token).collect()
});

/// Two sessions each.
fn user(serial: u64) -> UserSerial {
    UserSerial(1 + serial % 2)
}

/// Plays the steps of an input. Returns whether a token was ever admitted.
pub fn check(data: &[u8]) -> bool {
    let mut run = Run::new();
    for step in data.chunks_exact(2).take(STEPS_MAX) {
        run.now += 1;
        run.play(step[0], step[1]);
        run.compare();
    }
    run.has_admitted
}

/// An authority, as one stream meets it.
struct Serving {
    history: usize,
    /// The revision up to which it has sent the log.
    sent: usize,
    stream: StreamId,
}

struct Run {
    engine: Arc<Engine>,
    follower: Follower,
    reference: Reference,
    /// Two incarnations, each with a history that a restored store could have.
    histories: [Log; 4],
    batches: u8,
    serving: [Option<Serving>; 2],
    probes: [Vec<u64>; 2],
    now: u64,
    has_admitted: bool,
}

impl Run {
    fn new() -> Self {
        let mut settings = Settings::new(ISSUER, AUDIENCE);
        settings.max_staleness = Duration::from_secs(MAX_STALENESS);
        settings.track_activity = false;
        let (engine, _) = Engine::new(settings).expect("good settings");
        let engine = Arc::new(engine);
        let follower = Follower::new(Arc::clone(&engine), 1 << 20, |_| {});
        let history = |incarnation| Log {
            incarnation,
            batches: vec![Batch {
                number: incarnation,
                kind: Kind::Trust,
            }],
        };
        Self {
            engine,
            follower,
            reference: Reference::default(),
            histories: [history(1), history(1), history(2), history(2)],
            batches: 2,
            serving: [None, None],
            probes: [Vec::new(), Vec::new()],
            now: 0,
            has_admitted: false,
        }
    }

    fn play(&mut self, step: u8, detail: u8) {
        let line = usize::from(step & 1);
        match (step >> 1) % 14 {
            0 => self.connect(line, detail),
            1 => self.greet(line),
            2 => self.welcome(line, 1 + detail % 2, detail & 2 != 0),
            3 => self.send_next(line),
            4 => self.send(line, &self.some_log(detail)),
            5 => self.append(detail),
            6 => self.send_snapshot(line),
            7 => self.chunk(line, &self.some_log(detail), Part::Whole),
            8 => self.chunk(line, &self.some_log(detail & !0x80), half(detail)),
            9 => self.probe(line),
            10 => self.answer(line),
            11 => self.beat(line, detail & 1 != 0, &self.some_log(detail)),
            12 => self.send_damaged(line),
            _ => self.now += u64::from(detail % 4),
        }
    }

    /// Any log that there is.
    fn some_log(&self, detail: u8) -> Log {
        let history = &self.histories[usize::from(detail & 3)];
        let behind = usize::from(detail >> 2 & 3);
        history.up_to(history.revision().saturating_sub(behind).max(1))
    }

    fn connect(&mut self, line: usize, detail: u8) {
        let hello = self.follower.begin(name(line));
        self.reference.begin(line);
        self.probes[line].clear();
        self.serving[line] = Some(Serving {
            history: usize::from(detail & 3),
            sent: 0,
            stream: hello.stream[..].try_into().expect("the name of a stream"),
        });
    }

    /// Welcomes as an authority does that compares the cursor with its log.
    fn greet(&mut self, line: usize) {
        let Some(serving) = &mut self.serving[line] else {
            return;
        };
        let history = &self.histories[serving.history];
        let cursor = self.reference.cursor(line).cloned();
        let is_known = match &cursor {
            Some(cursor) => history.up_to(cursor.revision()) == *cursor,
            None => true,
        };
        if is_known {
            serving.sent = cursor.map_or(0, |cursor| cursor.revision());
        }
        let incarnation = history.incarnation;
        self.welcome(line, incarnation, !is_known);
    }

    fn welcome(&mut self, line: usize, incarnation: u8, fork: bool) {
        let welcome = v1::WatchWelcome {
            incarnation: vec![incarnation; 16].into(),
            fork,
            ..Default::default()
        };
        let welcome = welcome.sealed(&self.stream(line));
        let expected = self.reference.welcome(line, incarnation, fork);
        self.hear(line, Answer::Welcome(welcome), expected);
    }

    fn send_next(&mut self, line: usize) {
        let Some(serving) = &mut self.serving[line] else {
            return;
        };
        let history = &self.histories[serving.history];
        if serving.sent < history.revision() {
            serving.sent += 1;
            let log = history.up_to(serving.sent);
            self.send(line, &log);
        }
    }

    /// Sends the last batch of a log.
    fn send(&mut self, line: usize, log: &Log) {
        let frame = frames(log).pop().expect("a log has a batch");
        let expected = self.reference.delta(line, log);
        self.hear(line, Answer::Delta((&frame).into()), expected);
    }

    fn send_damaged(&mut self, line: usize) {
        let frame = frames(&self.histories[0]).pop().expect("a log has a batch");
        let mut frame = v1::DeltaFrame::from(&frame);
        frame.revision += 1;
        let expected = self.reference.damaged(line);
        self.hear(line, Answer::Delta(frame), expected);
    }

    fn append(&mut self, detail: u8) {
        let serial = 1 + u64::from(detail >> 5) % SESSIONS;
        let kind = match detail >> 2 & 7 {
            0..=2 => Kind::Revoke(serial),
            3 => Kind::SignOut(user(serial).0, 0),
            4 => Kind::SignOut(user(serial).0, serial),
            5 => Kind::SignOutEveryone,
            _ => Kind::Turn,
        };
        self.batches += 1;
        let batch = Batch {
            number: self.batches,
            kind,
        };
        self.histories[usize::from(detail & 3)].batches.push(batch);
    }

    fn send_snapshot(&mut self, line: usize) {
        let Some(serving) = &mut self.serving[line] else {
            return;
        };
        let log = self.histories[serving.history].clone();
        serving.sent = log.revision();
        self.chunk(line, &log, Part::Whole);
    }

    fn chunk(&mut self, line: usize, log: &Log, part: Part) {
        let bytes = view(log).encode();
        let (offset, data) = match part {
            Part::Whole => (0, bytes.clone()),
            Part::First => (0, bytes.slice(..FIRST_BYTES)),
            Part::Rest => (FIRST_BYTES, bytes.slice(FIRST_BYTES..)),
        };
        let chunk = v1::SnapshotChunk {
            total_bytes: bytes.len() as u64,
            sha256: sha256(&bytes).to_vec().into(),
            offset: offset as u64,
            data,
            ..Default::default()
        };
        let expected = self.reference.chunk(line, log, part);
        self.hear(
            line,
            Answer::SnapshotChunk(chunk.sealed(&AnyStream)),
            expected,
        );
    }

    fn probe(&mut self, line: usize) {
        let sent = self.follower.probe(name(line), mark(self.now));
        let nonce = match &sent {
            Ok(Some(probe)) => probe.nonce,
            _ => 0,
        };
        let expected = self.reference.probe(line, nonce, self.now);
        assert_eq!(
            sent.as_ref().map(Option::is_some).map_err(class),
            expected,
            "a probe on line {line}"
        );
        match expected {
            Ok(true) => self.probes[line].push(nonce),
            Ok(false) => {}
            Err(_) => self.end(line),
        }
    }

    /// Answers the oldest probe as an authority does: with the head that its store has now.
    fn answer(&mut self, line: usize) {
        let Some(serving) = &self.serving[line] else {
            return;
        };
        let head = self.histories[serving.history].clone();
        self.beat(line, true, &head);
    }

    fn beat(&mut self, line: usize, is_oldest: bool, head: &Log) {
        let Some(last) = self.probes[line].len().checked_sub(1) else {
            return;
        };
        let nonce = match is_oldest {
            true => self.probes[line].remove(0),
            // It stays in the list: a beat for it that comes again proves nothing.
            false => self.probes[line][last],
        };
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(BEGIN + self.now);
        let beat = v1::WatchBeat {
            nonce,
            head: Some(view(head).position().into()),
            database_time: Some(time.into()),
            ..Default::default()
        };
        let beat = beat.sealed(&self.stream(line));
        let expected = self.reference.beat(line, nonce, head);
        self.hear(line, Answer::Beat(beat), expected);
    }

    /// Hands a message to the follower. After an error it gets another stream, as from its host.
    fn hear(&mut self, line: usize, answer: Answer, expected: Result<(), Refusal>) {
        let result = self.follower.receive(name(line), answer, mark(self.now));
        let refusal = result.as_ref().err().map(class);
        assert_eq!(refusal, expected.err(), "{result:?}");
        if expected.is_err() {
            self.end(line);
        }
    }

    fn end(&mut self, line: usize) {
        self.follower.end(name(line));
        self.reference.end(line);
        self.serving[line] = None;
    }

    fn stream(&self, line: usize) -> StreamId {
        match &self.serving[line] {
            Some(serving) => serving.stream,
            None => [0; 16],
        }
    }

    fn compare(&mut self) {
        let known: Option<Position> = self.reference.position().map(|log| view(log).position());
        assert_eq!(self.engine.position(), known);
        let proof = self.reference.fresh_as_of().map(mark);
        assert_eq!(self.follower.fresh_as_of(), proof);
        for (serial, token) in (1..).zip(&*TOKENS) {
            let clock = || mark(self.now);
            let verdict = self
                .engine
                .check_by_clock(token, &RequestInfo::default(), clock);
            let expected = self
                .reference
                .admits(serial, user(serial).0, self.now, MAX_STALENESS);
            assert_eq!(verdict.is_ok(), expected, "session {serial}: {verdict:?}");
            self.has_admitted |= expected;
        }
    }
}

fn half(detail: u8) -> Part {
    match detail & 0x80 {
        0 => Part::First,
        _ => Part::Rest,
    }
}

fn name(line: usize) -> Line {
    match line {
        0 => Line::First,
        _ => Line::Second,
    }
}

fn mark(now: u64) -> Mark {
    let boot = Duration::from_secs(now);
    Mark::from_clocks(boot, Duration::from_secs(BEGIN) + boot)
}

/// What an error does to what the line proved.
fn class(error: &ProtocolError) -> Refusal {
    match error {
        ProtocolError::OtherHistory
        | ProtocolError::Overtaken
        | ProtocolError::Replaced
        | ProtocolError::SecondSnapshot => Refusal::Untimely,
        _ => Refusal::Broken,
    }
}

fn frames(log: &Log) -> Vec<Frame> {
    let frame = |(revision, batch): (u64, &Batch)| Frame {
        revision: Revision(revision),
        delta: delta::encode(&[change(batch.kind)], Vec::new()),
        audit_digest: [batch.number; 32],
    };
    (1..).zip(&log.batches).map(frame).collect()
}

fn change(kind: Kind) -> Change {
    let cut = |scope, exempt| Change::Cut {
        credential: CredentialKind::Session,
        scope,
        exempt,
    };
    match kind {
        Kind::Trust => Change::Trust(public(&KEYS[0])),
        Kind::Revoke(serial) => revoke(&[serial]),
        Kind::SignOut(user, 0) => cut(Scope::User(UserSerial(user)), None),
        Kind::SignOut(user, exempt) => cut(Scope::User(UserSerial(user)), Some(Serial(exempt))),
        Kind::SignOutEveryone => cut(Scope::Everyone, None),
        Kind::Turn => Change::Turn,
    }
}

/// The view of a log, built from its first batch on.
fn view(log: &Log) -> View {
    let mut view = View::empty(Incarnation([log.incarnation; 16]));
    for frame in frames(log) {
        view = view.apply(&frame).expect("the next batch");
    }
    view
}

/// A step of an input.
fn step(line: u8, kind: u8, detail: u8) -> [u8; 2] {
    [kind << 1 | line, detail]
}

/// A gate that follows one authority.
fn followed() -> Vec<[u8; 2]> {
    vec![
        step(0, 0, 0),
        step(0, 1, 0),
        step(0, 6, 0),
        step(0, 9, 0),
        step(0, 10, 0),
    ]
}

/// Scripts of what authorities say.
pub fn seeds() -> Vec<Seed> {
    let script = |more: &[[u8; 2]]| [&followed()[..], more].concat().concat();
    let revoke_first = step(0, 5, 0);
    let next = step(0, 3, 0);
    let prove = [step(0, 9, 0), step(0, 10, 0)];
    vec![
        Seed::good("followed", script(&[])),
        Seed::good(
            "revoked",
            script(&[revoke_first, prove[0], prove[1], next, prove[0], prove[1]]),
        ),
        Seed::good(
            "two-turns",
            script(&[
                revoke_first,
                next,
                step(0, 5, 24),
                next,
                step(0, 5, 24),
                next,
            ]),
        ),
        Seed::good(
            "second-line",
            script(&[
                revoke_first,
                step(1, 0, 0),
                step(1, 1, 0),
                step(1, 3, 0),
                step(1, 9, 0),
                step(1, 10, 0),
                next,
            ]),
        ),
        // Another history takes the place of the first one, and both are enforced.
        Seed::good(
            "fork",
            script(&[
                revoke_first,
                next,
                step(0, 5, 0x22),
                step(0, 0, 2),
                step(0, 1, 0),
                step(0, 6, 0),
                prove[0],
                prove[1],
            ]),
        ),
        Seed::good(
            "restored",
            script(&[
                revoke_first,
                next,
                step(0, 5, 0x21),
                step(0, 11, 5),
                step(0, 9, 0),
            ]),
        ),
        Seed::good(
            "half",
            script(&[
                revoke_first,
                step(0, 8, 0),
                step(0, 8, 0x80),
                prove[0],
                prove[1],
            ]),
        ),
        Seed::good("damaged", script(&[prove[0], step(0, 12, 0), prove[1]])),
        Seed::bad(
            "unasked",
            [step(0, 0, 0), step(0, 6, 0), step(0, 9, 0)].concat(),
        ),
        Seed::bad(
            "no-view",
            [step(0, 0, 0), step(0, 1, 0), step(0, 3, 0), step(0, 9, 0)].concat(),
        ),
        Seed::bad("nothing", []),
    ]
}
