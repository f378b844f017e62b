//! The stream from the authority: connect, greet, apply, prove, and again.

mod cause;
mod end;
mod observer;
mod outage;

use std::{convert::Infallible, panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt;
use portcullis_contract::{
    v1::{
        self, WatchHello, WatchRequest, WatchResponse,
        revocation_service_client::RevocationServiceClient, watch_request::Message as Asked,
        watch_response::Message as Answer,
    },
    watch::{AnyStream, Checksummed},
};
use portcullis_validator_core::{Follower, Mark, Mode};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Streaming,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

pub(crate) use self::observer::Observer;
use self::{
    end::{OPENING_TIMEOUT, StreamEnd},
    outage::Outage,
};
use crate::{
    gate::Gate,
    retry::{Backoff, DELAY_MAX},
};

/// The probes within `max_staleness`: enough that a lost beat or two do not matter.
const PROBES_PER_STALENESS: u32 = 8;
const PROBE_INTERVAL_MAX: Duration = Duration::from_secs(1);
/// The least time without progress after which another authority is tried.
const PATIENCE_MIN: Duration = Duration::from_secs(2);
/// The largest message, in bytes: a snapshot chunk or a delta, with room.
const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// The most requests that wait to be sent: the hello and some probes.
const REQUESTS_MAX: usize = 16;

/// The authorities of a validator, and its hello.
pub(crate) struct WatchConfig {
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) authorization: MetadataValue<Ascii>,
    pub(crate) name: String,
    /// `None` for a gate that reports nothing, so that its silence means nothing.
    pub(crate) gate: Option<Gate>,
    pub(crate) mode: Mode,
    pub(crate) max_staleness: Duration,
    /// Receives the connection of the stream, for the reporter.
    pub(crate) channel: watch::Sender<Option<Channel>>,
}

impl WatchConfig {
    /// Opens a stream that sends the messages of `outbound`.
    async fn open(
        &self,
        endpoint: &Endpoint,
        channel: Channel,
        outbound: mpsc::Receiver<WatchRequest>,
    ) -> Result<Streaming<WatchResponse>, StreamEnd> {
        let mut client =
            RevocationServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let mut request = Request::new(ReceiverStream::new(outbound));
        request
            .metadata_mut()
            .insert("authorization", self.authorization.clone());
        match timeout(OPENING_TIMEOUT, client.watch(request)).await {
            Ok(Ok(answers)) => Ok(answers.into_inner()),
            Ok(Err(status)) => Err(StreamEnd::of_opening(endpoint, status)),
            Err(_) => Err(StreamEnd::NoAnswer),
        }
    }
}

/// The loop that keeps one stream open.
pub(crate) struct WatchLoop {
    config: WatchConfig,
    follower: Follower,
    outage: Outage,
}

impl WatchLoop {
    pub(crate) fn new(config: WatchConfig, follower: Follower) -> Self {
        let outage = Outage::new(config.endpoints.len());
        Self {
            config,
            follower,
            outage,
        }
    }

    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::new();
        for attempt in 0_usize.. {
            // In turn, and not by a preference: an authority that failed may be half dead for long.
            let number = attempt % self.config.endpoints.len();
            let endpoint = self.config.endpoints[number].clone();
            let begun = Instant::now();
            let end = self.watch(&endpoint).await;
            // The reporter must not use a connection that has failed.
            self.config.channel.send_replace(None);
            self.outage.record_end(number, endpoint.uri(), &end);

            // A stream that lasted says that the authority is well.
            if begun.elapsed() > DELAY_MAX {
                backoff.reset();
            }
            backoff.wait().await;
        }
    }

    async fn watch(&mut self, endpoint: &Endpoint) -> StreamEnd {
        // The transport panics at a damaged status header. The loop has to outlive that: nothing else restarts it.
        let watched = AssertUnwindSafe(self.try_watch(endpoint));
        match watched.catch_unwind().await {
            Ok(Ok(never)) => match never {},
            Ok(Err(end)) => end,
            Err(_) => {
                self.follower.distrust();
                StreamEnd::Panicked
            }
        }
    }

    async fn try_watch(&mut self, endpoint: &Endpoint) -> Result<Infallible, StreamEnd> {
        let channel = endpoint.connect().await?;
        self.config.channel.send_replace(Some(channel.clone()));

        // The hello has to be there before the call: the authority answers it, not the empty stream.
        let (requests, outbound) = mpsc::channel(REQUESTS_MAX);
        let hello = WatchRequest {
            message: Some(Asked::Hello(self.hello())),
        };
        requests.try_send(hello).map_err(|_| StreamEnd::Closed)?;

        let answers = self.config.open(endpoint, channel, outbound).await?;
        self.follow(endpoint, answers, &requests).await
    }

    fn hello(&mut self) -> WatchHello {
        let mut hello = self.follower.begin();
        hello.max_staleness = self.config.max_staleness.try_into().ok();
        hello.mode = match self.config.mode {
            Mode::Strict => v1::ValidatorMode::Strict.into(),
            Mode::BestEffort { .. } => v1::ValidatorMode::BestEffort.into(),
        };
        // Sealed last: the checksum covers these fields too.
        hello.name.clone_from(&self.config.name);
        if let Some(gate) = self.config.gate {
            hello.gate_id = gate.id.to_vec().into();
            hello.admits_for = gate.admits_for.try_into().ok();
        }
        hello.sealed(&AnyStream)
    }

    async fn follow(
        &mut self,
        endpoint: &Endpoint,
        mut answers: Streaming<WatchResponse>,
        requests: &mpsc::Sender<WatchRequest>,
    ) -> Result<Infallible, StreamEnd> {
        let probe_interval = self.config.max_staleness / PROBES_PER_STALENESS;
        let mut probes = interval(probe_interval.min(PROBE_INTERVAL_MAX));
        // Ticks that were missed while the machine slept would all be sent at once.
        probes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let begun = Mark::now();
        loop {
            tokio::select! {
                answer = answers.message() => {
                    self.receive(answer?)?;
                    // The first probe does not wait for a tick: until its beat the gate may be not ready.
                    if self.follower.wants_first_probe() {
                        self.send_probe(requests);
                    }
                }
                _ = probes.tick() => {
                    self.check_progress(&begun)?;
                    if self.has_proof_since(&begun) {
                        self.outage.record_proof(endpoint.uri());
                    }
                    self.send_probe(requests);
                }
            }
        }
    }

    fn receive(&mut self, answer: Option<WatchResponse>) -> Result<(), StreamEnd> {
        let answer = answer.ok_or(StreamEnd::Closed)?;
        match answer.message {
            Some(Answer::Drain(_)) => Err(StreamEnd::Drain),
            Some(answer) => Ok(self.follower.receive(answer, Mark::now())?),
            // A later version may send messages that are not about the view.
            None => Ok(()),
        }
    }

    /// Returns whether a stream that began then has proved the view fresh.
    fn has_proof_since(&self, begun: &Mark) -> bool {
        let now = Mark::now();
        match self.follower.fresh_as_of() {
            Some(proof) => now.since(&proof) < now.since(begun),
            None => false,
        }
    }

    fn send_probe(&mut self, requests: &mpsc::Sender<WatchRequest>) {
        let Some(probe) = self.follower.probe(Mark::now()) else {
            return;
        };
        let request = WatchRequest {
            message: Some(Asked::Probe(probe)),
        };
        // A full channel is an authority that does not read. The proof grows old, and another authority is tried.
        let _ = requests.try_send(request);
    }

    /// Ends a stream that makes no progress. An authority that answers no probe may be cut off from its store, and
    /// another one may not be.
    fn check_progress(&self, begun: &Mark) -> Result<(), StreamEnd> {
        let now = Mark::now();
        let mut idle = now.since(begun);
        if let Some(proof) = self.follower.fresh_as_of() {
            idle = idle.min(now.since(&proof));
        }
        // A snapshot may take as long as the link needs for its bytes.
        if let Some(progress) = self.follower.progressed() {
            idle = idle.min(now.since(&progress));
        }
        if idle > self.config.max_staleness.max(PATIENCE_MIN) {
            return Err(StreamEnd::NoBeat);
        }
        Ok(())
    }
}
