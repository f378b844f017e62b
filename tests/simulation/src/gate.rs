//! The host of a gate: the real engine and follower, over a simulated network, with clocks that are set from outside.
//!
//! The loop of a stream is that of `crates/validator/src/stream`, which speaks gRPC.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use portcullis_contract::{
    v1::{
        self, WatchRequest, WatchResponse, watch_request::Message as Asked,
        watch_response::Message as Answer,
    },
    watch::{AnyStream, Checksummed},
};
use portcullis_validator_core::{
    Engine, Event, Follower, Line, Mark, Rejection, RequestInfo, Settings,
};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use turmoil::net::TcpStream;

use crate::{
    AUTHORITIES, MAX_STALENESS,
    bug::Bug,
    history::{Check, GatePosition, History},
    sidecar::{self, SIDECAR},
    store::database::elapsed,
    wire,
    world::World,
};

/// The issuer and the audience of all tokens.
pub const ISSUER: &str = "https://issuer";
/// The audience of all tokens.
pub const AUDIENCE: &str = "gateway";

/// The longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// The time without progress after which another authority is tried.
const PATIENCE: Duration = Duration::from_millis(1_200);
/// The probes within `max_staleness`.
const PROBES: u32 = 8;
/// The most messages that wait on either side of a stream.
const MESSAGES_MAX: usize = 64;
/// The largest snapshot, in bytes.
const SNAPSHOT_BYTES_MAX: u64 = 1 << 20;
/// By how much a gate with that bug dates its probes too late.
const DATED_TOO_LATE: Duration = Duration::from_millis(600);

/// The present process of a gate.
#[derive(Clone)]
pub struct GateView {
    engine: Arc<Engine>,
    follower: Arc<Mutex<Follower>>,
}

impl GateView {
    /// What decides about tokens.
    pub fn engine(&self) -> Arc<Engine> {
        Arc::clone(&self.engine)
    }

    fn follower(&self) -> MutexGuard<'_, Follower> {
        self.follower.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The position of the view, and whether it is proved fresh at `now`.
    pub fn state(&self, now: &Mark) -> (Option<portcullis_validator_core::Position>, bool) {
        let fresh_as_of = self.follower().fresh_as_of();
        let is_fresh = fresh_as_of.is_some_and(|proof| now.since(&proof) <= MAX_STALENESS);
        (self.engine.position(), is_fresh)
    }
}

/// Runs the process of a gate. `life` counts its processes.
pub async fn run(world: Arc<World>, number: usize, life: u32) -> turmoil::Result {
    let mut settings = Settings::new(ISSUER, AUDIENCE);
    settings.max_staleness = MAX_STALENESS;
    settings.clock_skew_max = Duration::from_secs(1);
    settings.track_activity = false;
    let (engine, _) = Engine::new(settings)?;
    let engine = Arc::new(engine);
    let observe = observer(Arc::clone(&world.history), number, life);
    let follower = Follower::new(Arc::clone(&engine), SNAPSHOT_BYTES_MAX, observe);
    let view = GateView {
        engine,
        follower: Arc::new(Mutex::new(follower)),
    };
    *world.gates[number].lock().expect("not poisoned") = Some(view.clone());

    let held = Arc::new(Mutex::new([None; 2]));
    for line in [Line::First, Line::Second] {
        let stream = StreamLoop {
            world: Arc::clone(&world),
            gate: number,
            view: view.clone(),
            line,
            held: Arc::clone(&held),
        };
        tokio::spawn(stream.run());
    }
    match number {
        SIDECAR => sidecar::serve(world, life, view).await,
        _ => check_all(world, number, life, view).await,
    }
}

/// Records what the follower does.
fn observer(
    history: Arc<History>,
    gate: usize,
    life: u32,
) -> impl FnMut(Event<'_>) + Send + 'static {
    let mut last = None;
    move |event| match event {
        Event::Published(Some(position)) if last != Some(position) => {
            last = Some(position);
            history.events().positions.push(GatePosition {
                gate,
                life,
                at: elapsed(),
                position,
            });
        }
        Event::HistoryReplaced { .. } => {
            let mut events = history.events();
            events.counts.forks += 1;
            events.forks.push((gate, life, elapsed()));
        }
        _ => {}
    }
}

/// Checks tokens all the time, as requests would.
async fn check_all(world: Arc<World>, gate: usize, life: u32, view: GateView) -> turmoil::Result {
    loop {
        sleep(world.dice.millis(10..=30)).await;
        world.links.wait_unpaused_gate(gate).await;
        let Some((token, text)) = choose_token(&world) else {
            continue;
        };
        let pause = pause(&world);
        let loaded = elapsed();
        let clock = || mark(&world, gate, pause.seen);
        let verdict = view
            .engine
            .check_by_clock(&text, &RequestInfo::default(), clock);
        let refused = verdict.err().map(|rejection| rejection.reason());
        let verdict = Verdict {
            gate,
            life,
            token,
            loaded,
            at: loaded + pause.real,
        };
        verdict.record(&world, refused);
    }
}

/// A pause of a thread between the look-up and the clock.
pub struct Pause {
    /// How long it was.
    pub real: Duration,
    /// How much of it the clock shows.
    pub seen: Duration,
}

/// Pauses a thread now and then.
pub fn pause(world: &World) -> Pause {
    let real = match world.dice.once_in(20) {
        true => world.dice.millis(0..=800),
        false => Duration::ZERO,
    };
    let seen = match world.bug {
        Some(Bug::ClockReadFirst) => Duration::ZERO,
        _ => real,
    };
    Pause { real, seen }
}

/// Who decided about what, and when.
pub struct Verdict {
    pub gate: usize,
    pub life: u32,
    pub token: usize,
    pub loaded: Duration,
    pub at: Duration,
}

impl Verdict {
    /// Records the verdict, if it is about the token. `refused` is the reason of a refusal.
    pub fn record(self, world: &World, refused: Option<&'static str>) {
        let mut events = world.history.events();
        match refused {
            None => events.counts.accepted += 1,
            Some(reason) if is_of_the_moment(reason) => {
                events.counts.unavailable += 1;
                return;
            }
            Some(_) => events.counts.refused += 1,
        }
        events.checks.push(Check {
            gate: self.gate,
            life: self.life,
            token: self.token,
            loaded: self.loaded,
            at: self.at,
            refused,
        });
    }
}

/// Whether a refusal is about time, or about what the gate knows, and not about the token.
fn is_of_the_moment(reason: &str) -> bool {
    let by_time = [Rejection::Expired, Rejection::NotYetValid];
    let by_gate = [
        Rejection::Stale {
            age: Duration::ZERO,
        },
        Rejection::Unready,
        Rejection::ClockSkew,
        Rejection::Busy,
    ];
    let mut all = by_time.iter().chain(&by_gate);
    all.any(|rejection| rejection.reason() == reason)
}

/// Chooses a token: often a new one, because old ones have expired.
pub fn choose_token(world: &World) -> Option<(usize, String)> {
    let events = world.history.events();
    let count = events.tokens.len();
    if count == 0 {
        return None;
    }
    let newest = count.saturating_sub(12);
    let number = match world.dice.once_in(4) {
        true => world.dice.index(count),
        false => newest + world.dice.index(count - newest),
    };
    Some((number, events.tokens[number].text.clone()))
}

/// The clocks of a gate, `later` than now.
pub fn mark(world: &World, gate: usize, later: Duration) -> Mark {
    match world.bug {
        Some(Bug::WallClockAlone) => world.links.wall_mark(gate, later),
        _ => world.links.mark(gate, later),
    }
}

/// The loop that keeps the stream of one line open.
struct StreamLoop {
    world: Arc<World>,
    gate: usize,
    view: GateView,
    line: Line,
    /// The authority that each line has.
    held: Arc<Mutex<[Option<usize>; 2]>>,
}

/// A stream ended. Another one is opened, whatever the reason.
struct StreamEnd;

impl StreamLoop {
    async fn run(self) {
        let mut next = self.line as usize;
        loop {
            self.wait_for_view().await;
            let target = self.hold(next);
            self.watch(target).await;
            self.view.follower().end(self.line);
            self.release();
            next = (target + 1) % AUTHORITIES;
            sleep(self.world.dice.millis(10..=150)).await;
        }
    }

    /// Waits until a second stream is of use.
    async fn wait_for_view(&self) {
        while self.line == Line::Second && self.view.engine.position().is_none() {
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Takes an authority that the other line does not have.
    fn hold(&self, wanted: usize) -> usize {
        let mut held = self.held.lock().expect("not poisoned");
        let other = held[self.line.other() as usize];
        let target = match other == Some(wanted) {
            true => (wanted + 1) % AUTHORITIES,
            false => wanted,
        };
        held[self.line as usize] = Some(target);
        target
    }

    fn release(&self) {
        self.held.lock().expect("not poisoned")[self.line as usize] = None;
    }

    fn now(&self) -> Mark {
        mark(&self.world, self.gate, Duration::ZERO)
    }

    async fn watch(&self, target: usize) {
        let address = (format!("authority-{target}"), wire::PORT);
        let connecting = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
        let Ok(Ok(stream)) = connecting else {
            return;
        };
        let (mut reading, mut writing) = stream.into_split();
        let (answers, mut received) = mpsc::channel::<WatchResponse>(MESSAGES_MAX);
        let (requests, mut unsent) = mpsc::channel::<WatchRequest>(MESSAGES_MAX);
        let reader = tokio::spawn(async move {
            while let Ok(Some(answer)) = wire::read(&mut reading).await {
                if answers.send(answer).await.is_err() {
                    return;
                }
            }
        });
        let writer = tokio::spawn(async move {
            while let Some(request) = unsent.recv().await {
                if wire::write(&mut writing, &request).await.is_err() {
                    return;
                }
            }
        });
        // Its end needs no reason: the next stream finds out by itself.
        let _ = self.follow(&requests, &mut received).await;
        reader.abort();
        writer.abort();
    }

    async fn follow(
        &self,
        requests: &mpsc::Sender<WatchRequest>,
        received: &mut mpsc::Receiver<WatchResponse>,
    ) -> Result<(), StreamEnd> {
        let begun = self.now();
        send(requests, Asked::Hello(self.hello()));
        let mut probes = interval(MAX_STALENESS / PROBES);
        probes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = probes.tick() => {
                    self.world.links.wait_unpaused_gate(self.gate).await;
                    self.check_progress(&begun)?;
                    self.send_probe(requests)?;
                }
                answer = received.recv() => {
                    self.world.links.wait_unpaused_gate(self.gate).await;
                    self.receive(requests, answer.ok_or(StreamEnd)?)?;
                    if self.view.follower().wants_first_probe(self.line) {
                        self.send_probe(requests)?;
                    }
                }
            }
        }
    }

    fn hello(&self) -> v1::WatchHello {
        let mut hello = self.view.follower().begin(self.line);
        hello.max_staleness = MAX_STALENESS.try_into().ok();
        hello.mode = v1::ValidatorMode::Strict.into();
        hello.name = format!("gate-{}", self.gate);
        hello.sealed(&AnyStream)
    }

    fn receive(
        &self,
        requests: &mpsc::Sender<WatchRequest>,
        answer: WatchResponse,
    ) -> Result<(), StreamEnd> {
        let mut follower = self.view.follower();
        match answer.message {
            Some(Answer::Drain(_)) => Err(StreamEnd),
            Some(Answer::Confirm(_)) => {
                let applied = follower.applied(self.line).map_err(|_| StreamEnd)?;
                if let Some(applied) = applied {
                    send(requests, Asked::Applied(applied));
                }
                Ok(())
            }
            Some(answer) => {
                let received = follower.receive(self.line, answer, self.now());
                received.map_err(|_| StreamEnd)
            }
            None => Ok(()),
        }
    }

    fn send_probe(&self, requests: &mpsc::Sender<WatchRequest>) -> Result<(), StreamEnd> {
        let later = match self.world.bug {
            Some(Bug::ProbeDatedLate) => DATED_TOO_LATE,
            _ => Duration::ZERO,
        };
        let sent = mark(&self.world, self.gate, later);
        let probe = self.view.follower().probe(self.line, sent);
        if let Some(probe) = probe.map_err(|_| StreamEnd)? {
            send(requests, Asked::Probe(probe));
        }
        Ok(())
    }

    fn check_progress(&self, begun: &Mark) -> Result<(), StreamEnd> {
        let now = self.now();
        let mut idle = now.since(begun);
        let follower = self.view.follower();
        let moments = [follower.proved(self.line), follower.progressed(self.line)];
        for moment in moments.into_iter().flatten() {
            idle = idle.min(now.since(&moment));
        }
        match idle > PATIENCE {
            true => Err(StreamEnd),
            false => Ok(()),
        }
    }
}

/// Sends a message if there is room. A full channel is an authority that does not read.
fn send(requests: &mpsc::Sender<WatchRequest>, message: Asked) {
    let request = WatchRequest {
        message: Some(message),
    };
    let _ = requests.try_send(request);
}
