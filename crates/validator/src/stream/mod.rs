//! The streams from the authorities: connect, greet, apply, prove, and again. With several authorities there are two
//! streams at a time.

mod end;
mod observer;
mod outage;

use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use futures::FutureExt;
use portcullis_contract::{
    retry::{Backoff, jittered},
    v1::{
        self, WatchHello, WatchRequest, WatchResponse,
        revocation_service_client::RevocationServiceClient, watch_request::Message as Asked,
        watch_response::Message as Answer,
    },
    watch::{AnyStream, Checksummed},
};
use portcullis_validator_core::{Follower, Line, Mark, Mode, Position};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Streaming, transport::Channel};

pub(crate) use self::observer::Observer;
use self::{
    end::{OPENING_TIMEOUT, StreamEnd},
    outage::Outage,
};
use crate::{
    bearer::Bearer,
    channels::Channels,
    connection::{Connection, Connector},
    gate::Gate,
    targets::{NoTarget, Target, Targets, Tries},
};

/// The bound of the first pause between two attempts: soon, because most breaks are short.
const DELAY_FIRST: Duration = Duration::from_millis(100);
/// The bound of the longest pause. A stream that lasted longer than this starts the pauses over.
const DELAY_MAX: Duration = Duration::from_secs(2);
/// The bound of the pause until a second authority is looked for again, where a name has one address.
const SECOND_DELAY: Duration = Duration::from_secs(10);
/// The probes within `max_staleness`: enough that a lost beat or two do not matter.
const PROBES_PER_STALENESS: u32 = 8;
const PROBE_INTERVAL_MAX: Duration = Duration::from_secs(4);
/// The least time without progress after which another authority is tried. One that answers pings and no probe may wait
/// for its store, and so may the others.
const PATIENCE_MIN: Duration = Duration::from_secs(2);
/// The largest message, in bytes: a snapshot chunk or a delta, with room.
const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// The most requests that wait to be sent: the hello and some probes.
const REQUESTS_MAX: usize = 16;
/// A certificate is replaced when a tenth of its time is left, at most this much before its end.
const RENEWAL_MARGIN_MAX: Duration = Duration::from_secs(60 * 60);

/// The authorities of a validator, and its hello.
pub(crate) struct WatchConfig {
    pub(crate) connector: Connector,
    pub(crate) bearer: Arc<Bearer>,
    pub(crate) name: String,
    /// `None` for a gate that reports nothing, so that its silence means nothing.
    pub(crate) gate: Option<Gate>,
    pub(crate) mode: Mode,
    pub(crate) max_staleness: Duration,
}

impl WatchConfig {
    /// Whether there can be a second authority to watch.
    pub(crate) fn has_second(&self) -> bool {
        self.connector.endpoints() > 1 || self.connector.has_name(0)
    }

    /// Opens a stream that sends the messages of `outbound`.
    async fn open(
        &self,
        endpoint: usize,
        channel: Channel,
        outbound: mpsc::Receiver<WatchRequest>,
    ) -> Result<Streaming<WatchResponse>, StreamEnd> {
        let mut client =
            RevocationServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let mut request = Request::new(ReceiverStream::new(outbound));
        self.bearer.authorize(&mut request);
        match timeout(OPENING_TIMEOUT, client.watch(request)).await {
            Ok(Ok(answers)) => Ok(answers.into_inner()),
            Ok(Err(status)) => Err(StreamEnd::of_opening(self.connector.uri(endpoint), status)),
            Err(_) => Err(StreamEnd::NoAnswer),
        }
    }
}

/// The state that the streams of a validator share.
pub(crate) struct Watching {
    pub(crate) config: WatchConfig,
    follower: Mutex<Follower>,
    targets: Arc<Targets>,
    outages: [Mutex<Outage>; 2],
    channels: Channels,
    position: watch::Receiver<Option<Position>>,
}

impl Watching {
    pub(crate) fn new(
        config: WatchConfig,
        follower: Follower,
        channels: Channels,
        position: watch::Receiver<Option<Position>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            outages: [(); 2].map(|()| Mutex::new(Outage::new(config.connector.endpoints()))),
            follower: Mutex::new(follower),
            targets: Arc::new(Targets::new()),
            config,
            channels,
            position,
        })
    }

    fn follower(&self) -> MutexGuard<'_, Follower> {
        // A panic that poisons the lock was caught by `watch`, which withdraws the proof of its
        // line. A lock that refuses would also stop the other line, whose proofs hold.
        self.follower.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outage(&self, line: Line) -> MutexGuard<'_, Outage> {
        let outage = &self.outages[line as usize];
        outage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The loop that keeps the stream of one line open.
pub(crate) struct WatchLoop {
    shared: Arc<Watching>,
    line: Line,
}

impl WatchLoop {
    pub(crate) fn new(shared: Arc<Watching>, line: Line) -> Self {
        Self { shared, line }
    }

    pub(crate) async fn run(self) {
        let mut backoff = Backoff::new(DELAY_FIRST, DELAY_MAX);
        // Each line begins with an endpoint of its own, so at the start they do not compete for the
        // first.
        let mut tries = Tries::beginning_with(self.number());
        loop {
            self.wait_for_view().await;
            let targets = match self.choose_targets(&mut tries).await {
                Ok(targets) => targets,
                Err(NoTarget::OnlyOne) => {
                    // The other line has it. Its name may get another address.
                    sleep(jittered(SECOND_DELAY)).await;
                    continue;
                }
                Err(NoTarget::Unresolved(endpoint, error)) => {
                    self.record_end(endpoint, &StreamEnd::Unresolved(error));
                    sleep(backoff.step()).await;
                    continue;
                }
            };

            let begun = Instant::now();
            self.watch_to_the_end(&targets).await;

            // A stream that lasted says that the authority is well.
            if begun.elapsed() > DELAY_MAX {
                backoff.reset();
            }
            // The pause comes after a long stream too: the gates of an authority that restarts lose
            // their streams together, and must not all return together.
            sleep(backoff.step()).await;
        }
    }

    async fn choose_targets(&self, tries: &mut Tries) -> Result<Vec<Target>, NoTarget> {
        let shared = &self.shared;
        let connector = &shared.config.connector;
        shared.targets.choose(self.number(), tries, connector).await
    }

    /// Watches an authority until the stream ends, and gives up everything that belonged to it.
    async fn watch_to_the_end(&self, targets: &[Target]) {
        let endpoint = targets[0].endpoint;
        let end = self.watch(endpoint, targets).await;
        self.shared.follower().end(self.line);
        // The reporter must not use a connection that has failed.
        self.shared.channels.remove(self.line);
        self.shared.targets.release(self.number());
        self.record_end(endpoint, &end);
    }

    fn number(&self) -> usize {
        self.line as usize
    }

    /// Waits until a second stream is of use: one snapshot is enough, and the first stream brings it.
    async fn wait_for_view(&self) {
        if self.line == Line::Second {
            let mut position = self.shared.position.clone();
            // An error says that the validator has ended, and with it this task.
            let _ = position.wait_for(Option::is_some).await;
        }
    }

    fn record_end(&self, endpoint: usize, end: &StreamEnd) {
        let connector = &self.shared.config.connector;
        let unused_files = connector.unused_files();
        let mut outage = self.shared.outage(self.line);
        outage.record_end(
            endpoint,
            connector.uri(endpoint),
            end,
            unused_files.as_deref(),
        );
    }

    async fn watch(&self, endpoint: usize, targets: &[Target]) -> StreamEnd {
        // The transport panics at a damaged status header. The loop has to outlive that: nothing else restarts it.
        let watched = AssertUnwindSafe(self.try_watch(endpoint, targets));
        match watched.catch_unwind().await {
            Ok(Ok(never)) => match never {},
            Ok(Err(end)) => end,
            Err(_) => {
                self.shared.follower().distrust(self.line);
                StreamEnd::Panicked
            }
        }
    }

    async fn try_watch(
        &self,
        endpoint: usize,
        targets: &[Target],
    ) -> Result<Infallible, StreamEnd> {
        let Connection { channel, expires } = self.connect(endpoint, targets).await?;
        self.shared.channels.insert(self.line, channel.clone());

        // The hello has to be there before the call: the authority answers it, not the empty stream.
        let (requests, outbound) = mpsc::channel(REQUESTS_MAX);
        let hello = WatchRequest {
            message: Some(Asked::Hello(self.hello())),
        };
        // The channel cannot be full: nothing was sent before.
        requests.try_send(hello).map_err(|_| StreamEnd::Closed)?;

        let config = &self.shared.config;
        let answers = config.open(endpoint, channel, outbound).await?;
        let stream = Followed {
            shared: &self.shared,
            line: self.line,
            endpoint,
            requests,
            begun: Mark::now(),
            renewal: expires.map(Renewal::of),
        };
        stream.follow(answers).await
    }

    async fn connect(&self, endpoint: usize, targets: &[Target]) -> Result<Connection, StreamEnd> {
        let addresses = targets.iter().map(|target| target.address).collect();
        let (held, number) = (Arc::clone(&self.shared.targets), self.number());
        // The other stream may have taken an address meanwhile.
        let hold = move |address| held.hold(number, Target { endpoint, address });
        let connector = &self.shared.config.connector;
        Ok(connector.connect(endpoint, addresses, hold).await?)
    }

    fn hello(&self) -> WatchHello {
        let config = &self.shared.config;
        let mut hello = self.shared.follower().begin(self.line);
        hello.max_staleness = config.max_staleness.try_into().ok();
        hello.mode = match config.mode {
            Mode::Strict => v1::ValidatorMode::Strict,
            Mode::BestEffort { .. } => v1::ValidatorMode::BestEffort,
        }
        .into();
        hello.name.clone_from(&config.name);
        env!("CARGO_PKG_VERSION").clone_into(&mut hello.version);
        if let Some(gate) = &config.gate {
            hello.gate_id = gate.id.to_vec().into();
            hello.admits_for = gate.admits_for.try_into().ok();
        }
        // The authority does not know the stream's name yet, so the name cannot be part of the
        // checksum.
        hello.sealed(&AnyStream)
    }
}

/// The replacement of the certificate that a connection was made with.
struct Renewal {
    expires: SystemTime,
    due: SystemTime,
}

impl Renewal {
    fn of(expires: SystemTime) -> Self {
        let left = expires
            .duration_since(SystemTime::now())
            .unwrap_or_default();
        let margin = (left / 10).min(RENEWAL_MARGIN_MAX);
        Self {
            expires,
            // The two streams of a gate, and many gates, do not renew together.
            due: expires - margin - jittered(margin),
        }
    }
}

/// An open stream.
struct Followed<'a> {
    shared: &'a Watching,
    line: Line,
    endpoint: usize,
    requests: mpsc::Sender<WatchRequest>,
    begun: Mark,
    renewal: Option<Renewal>,
}

impl Followed<'_> {
    async fn follow(&self, mut answers: Streaming<WatchResponse>) -> Result<Infallible, StreamEnd> {
        let config = &self.shared.config;
        let probe_interval = config.max_staleness / PROBES_PER_STALENESS;
        let mut probes = interval(probe_interval.min(PROBE_INTERVAL_MAX));
        // Ticks that were missed while the machine slept would all be sent at once.
        probes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                answer = answers.message() => {
                    self.receive(answer?)?;
                    // The first probe does not wait for a tick: until its beat the gate may be not ready.
                    if self.shared.follower().wants_first_probe(self.line) {
                        self.send_probe()?;
                    }
                }
                _ = probes.tick() => {
                    self.check_progress()?;
                    self.check_certificate()?;
                    self.record_proof();
                    self.send_probe()?;
                }
            }
        }
    }

    fn receive(&self, answer: Option<WatchResponse>) -> Result<(), StreamEnd> {
        let answer = answer.ok_or(StreamEnd::Closed)?;
        match answer.message {
            Some(Answer::Drain(_)) => Err(StreamEnd::Drain),
            Some(Answer::Confirm(_)) => self.send_applied(),
            Some(answer) => {
                let mut follower = self.shared.follower();
                Ok(follower.receive(self.line, answer, Mark::now())?)
            }
            // A later version may send messages that are not about the view.
            None => Ok(()),
        }
    }

    /// Says once in the log that this gate follows the authority, when it has proved that.
    fn record_proof(&self) {
        if self.has_proof() {
            let uri = self.shared.config.connector.uri(self.endpoint);
            let mut outage = self.shared.outage(self.line);
            outage.record_proof(self.endpoint, uri);
        }
    }

    /// Returns whether this stream has proved the view fresh.
    fn has_proof(&self) -> bool {
        let now = Mark::now();
        match self.shared.follower().proved(self.line) {
            Some(proof) => now.since(&proof) < now.since(&self.begun),
            None => false,
        }
    }

    fn send_probe(&self) -> Result<(), StreamEnd> {
        // The time is taken before the probe waits in any queue. Each delay after this line makes
        // the proof older, never newer (I2).
        let probe = self.shared.follower().probe(self.line, Mark::now())?;
        let Some(probe) = probe else {
            return Ok(());
        };
        let request = WatchRequest {
            message: Some(Asked::Probe(probe)),
        };
        // A full channel is an authority that does not read. The proof grows old, and another authority is tried.
        let _ = self.requests.try_send(request);
        Ok(())
    }

    /// Tells the authority the applied revision: a caller waits for it.
    fn send_applied(&self) -> Result<(), StreamEnd> {
        let applied = self.shared.follower().applied(self.line)?;
        let Some(applied) = applied else {
            return Ok(());
        };
        let request = WatchRequest {
            message: Some(Asked::Applied(applied)),
        };
        // If the channel is full, the next probe says the same.
        let _ = self.requests.try_send(request);
        Ok(())
    }

    /// Ends a stream that makes no progress. An authority that answers no probe may be cut off from its store, and
    /// another one may not be.
    fn check_progress(&self) -> Result<(), StreamEnd> {
        let now = Mark::now();
        let mut idle = now.since(&self.begun);
        let follower = self.shared.follower();
        if let Some(proof) = follower.proved(self.line) {
            idle = idle.min(now.since(&proof));
        }
        // A snapshot may take as long as the link needs for its bytes.
        if let Some(progress) = follower.progressed(self.line) {
            idle = idle.min(now.since(&progress));
        }
        if idle > self.shared.config.max_staleness.max(PATIENCE_MIN) {
            return Err(StreamEnd::NoBeat);
        }
        Ok(())
    }

    /// Ends a stream whose certificate is about to expire, once there is a newer one to connect with.
    fn check_certificate(&self) -> Result<(), StreamEnd> {
        let Some(renewal) = &self.renewal else {
            return Ok(());
        };
        if SystemTime::now() < renewal.due {
            return Ok(());
        }
        match self.shared.config.connector.newest_expiry() {
            // A new connection with the same certificate would end at the same time, and each tick
            // would make one more.
            Some(newest) if newest > renewal.expires => Err(StreamEnd::Renewal),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_in_the_last_fifth_of_its_time_and_not_all_at_once() {
        let now = SystemTime::now();
        let hours = |hours: u64| Duration::from_secs(hours * 60 * 60);
        let mut dues = Vec::new();
        for _ in 0..100 {
            let renewal = Renewal::of(now + hours(1));
            let left = renewal.expires.duration_since(renewal.due).expect("before");
            assert!(left >= hours(1) / 11 && left <= hours(1) / 5, "{left:?}");
            dues.push(renewal.due);
        }
        dues.sort_unstable();
        dues.dedup();
        assert!(dues.len() > 90, "{}", dues.len());

        let long = Renewal::of(now + hours(24 * 365));
        let left = long.expires.duration_since(long.due).expect("before");
        assert!(left >= RENEWAL_MARGIN_MAX && left <= 2 * RENEWAL_MARGIN_MAX);
    }
}
