//! The one sync loop: connect, greet, apply, prove, and again.

mod assembly;
mod follower;
mod histories;
mod outage;

use std::{error::Error, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use portcullis_contract::{
    v1::{
        self, WatchHello, WatchRequest, revocation_service_client::RevocationServiceClient,
        watch_request::Message as Asked,
    },
    watch::{AnyStream, Checksummed},
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Request, Status, Streaming,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

use self::{
    follower::{Follower, ProtocolError},
    outage::Outage,
};
use crate::{clock::Mark, report::Gate, state::Mode, validator::Shared};

/// How a validator finds and greets its authority.
pub(crate) struct SyncConfig {
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) authorization: MetadataValue<Ascii>,
    pub(crate) name: String,
    /// None: it reports nothing, and its silence says nothing.
    pub(crate) gate: Option<Gate>,
    pub(crate) mode: Mode,
    pub(crate) max_staleness: Duration,
    pub(crate) snapshot_bytes_max: u64,
    /// Told the connection, for what else there is to say.
    pub(crate) channel: watch::Sender<Option<Channel>>,
}

/// How often freshness is proved: often enough that a lost beat or two do not matter.
const PROBES_PER_STALENESS: u32 = 8;
const PROBE_INTERVAL_MAX: Duration = Duration::from_secs(1);
/// Between attempts to connect.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(2);
const RETRY_DELAY_FIRST: Duration = Duration::from_millis(20);
/// How long an authority may take to accept a stream.
const OPENING_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest message: a snapshot chunk or a delta, with room.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// The loop's state.
pub(crate) struct Sync {
    config: SyncConfig,
    follower: Follower,
    outage: Outage,
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("cannot connect")]
    Connect(#[from] tonic::transport::Error),
    #[error("{}", describe_status(.0))]
    Status(Box<Status>),
    #[error("the authority does not answer: no answer within {} s", OPENING_TIMEOUT.as_secs())]
    NoAnswer,
    #[error("the connection broke before the authority answered{hint}: {cause}")]
    Unanswered { hint: &'static str, cause: String },
    #[error("the stream was closed")]
    Closed,
    #[error("the authority asks to connect anew")]
    Drain,
    #[error("no proof of freshness for too long")]
    NoBeat,
    #[error("reading the stream panicked: it was damaged, or this is a bug")]
    Panicked,
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
}

impl Sync {
    pub(crate) fn new(config: SyncConfig, shared: Arc<Shared>) -> Self {
        let follower = Follower::new(shared, config.snapshot_bytes_max);
        let outage = Outage::new(config.endpoints.len());
        Self {
            config,
            follower,
            outage,
        }
    }

    pub(crate) async fn run(mut self) {
        let mut delay = RETRY_DELAY_FIRST;
        for attempt in 0_usize.. {
            let number = attempt % self.config.endpoints.len();
            let endpoint = self.config.endpoints[number].clone();
            let begun = Instant::now();
            let end = self.watch(&endpoint).await;
            self.config.channel.send_replace(None);
            self.outage.record_end(number, endpoint.uri(), &end);
            // A stream that lasted says that the authority is well: start over with short waits.
            if begun.elapsed() > RETRY_DELAY_MAX {
                delay = RETRY_DELAY_FIRST;
            }
            tokio::time::sleep(jittered(delay)).await;
            delay = (delay * 2).min(RETRY_DELAY_MAX);
        }
    }

    async fn watch(&mut self, endpoint: &Endpoint) -> End {
        // The transport panics at a damaged status header. The loop has to outlive that: nothing else begins it again.
        let watched = AssertUnwindSafe(self.try_watch(endpoint));
        match watched.catch_unwind().await {
            Ok(Ok(never)) => match never {},
            Ok(Err(end)) => end,
            Err(_) => {
                self.follower.distrust();
                End::Panicked
            }
        }
    }

    async fn try_watch(&mut self, endpoint: &Endpoint) -> Result<std::convert::Infallible, End> {
        let channel = endpoint.connect().await?;
        self.config.channel.send_replace(Some(channel.clone()));
        let mut client =
            RevocationServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        // One for hello, the rest for probes: a full channel means that the authority does not read.
        let (asking, asked) = mpsc::channel(16);
        let hello = WatchRequest {
            message: Some(Asked::Hello(self.hello())),
        };
        asking.try_send(hello).map_err(|_| End::Closed)?;
        let mut request = Request::new(ReceiverStream::new(asked));
        request
            .metadata_mut()
            .insert("authorization", self.config.authorization.clone());
        let opening = timeout(OPENING_TIMEOUT, client.watch(request))
            .await
            .map_err(|_| End::NoAnswer)?;
        let opening = opening.map_err(|status| refuse_opening(endpoint, status))?;
        let inbound = opening.into_inner();
        self.follow(endpoint, inbound, &asking).await
    }

    fn hello(&mut self) -> WatchHello {
        let hello = WatchHello {
            max_staleness: self.config.max_staleness.try_into().ok(),
            mode: match self.config.mode {
                Mode::Strict => v1::ValidatorMode::Strict.into(),
                Mode::BestEffort { .. } => v1::ValidatorMode::BestEffort.into(),
            },
            name: self.config.name.clone(),
            gate_id: self
                .config
                .gate
                .map(|gate| gate.id.to_vec().into())
                .unwrap_or_default(),
            admits_for: self
                .config
                .gate
                .and_then(|gate| gate.admits_for.try_into().ok()),
            ..self.follower.begin()
        };
        hello.sealed(&AnyStream)
    }

    async fn follow(
        &mut self,
        endpoint: &Endpoint,
        mut inbound: Streaming<v1::WatchResponse>,
        asking: &mpsc::Sender<WatchRequest>,
    ) -> Result<std::convert::Infallible, End> {
        let mut probes =
            interval((self.config.max_staleness / PROBES_PER_STALENESS).min(PROBE_INTERVAL_MAX));
        probes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let begun = Mark::now();
        loop {
            tokio::select! {
                answer = inbound.message() => {
                    let answer = answer?.ok_or(End::Closed)?;
                    match answer.message {
                        Some(v1::watch_response::Message::Drain(_)) => return Err(End::Drain),
                        Some(answer) => self.follower.receive(answer, Mark::now())?,
                        // Something that a later version says and that is not about the view.
                        None => {}
                    }
                    if self.follower.wants_first_probe() {
                        self.send_probe(asking);
                    }
                }
                _ = probes.tick() => {
                    self.check_progress(&begun)?;
                    if self.has_proof_since(&begun) {
                        self.outage.record_proof(endpoint.uri());
                    }
                    self.send_probe(asking);
                }
            }
        }
    }

    /// Whether a stream that began then has proved the view fresh.
    fn has_proof_since(&self, begun: &Mark) -> bool {
        let now = Mark::now();
        self.follower
            .fresh_as_of()
            .is_some_and(|proof| now.since(&proof) < now.since(begun))
    }

    fn send_probe(&mut self, asking: &mpsc::Sender<WatchRequest>) {
        if let Some(probe) = self.follower.probe(Mark::now()) {
            let request = WatchRequest {
                message: Some(Asked::Probe(probe)),
            };
            // A full channel is an authority that does not read: the proof grows old, and we move on.
            let _ = asking.try_send(request);
        }
    }

    /// An authority that answers no probe may be cut off from its store: another one may not be.
    fn check_progress(&self, begun: &Mark) -> Result<(), End> {
        let now = Mark::now();
        let proved = self
            .follower
            .fresh_as_of()
            .map_or(Duration::MAX, |proof| now.since(&proof));
        // Bytes are progress: a snapshot may take as long as the link needs for it.
        let progressed = self
            .follower
            .progressed()
            .map_or(Duration::MAX, |progress| now.since(&progress));
        let patience = self.config.max_staleness.max(Duration::from_secs(2));
        if proved.min(now.since(begun)).min(progressed) > patience {
            Err(End::NoBeat)
        } else {
            Ok(())
        }
    }
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

/// Why a stream did not begin. A server that expects TLS closes a plain connection without a word.
fn refuse_opening(endpoint: &Endpoint, status: Status) -> End {
    let Some(source) = status.source() else {
        return status.into();
    };
    let hint = if endpoint.uri().scheme_str() == Some("https") {
        ""
    } else {
        " (does it expect https?)"
    };
    End::Unanswered {
        hint,
        cause: outage::describe(source),
    }
}

/// A status in words: what an operator has to look at. Its own display repeats headers, which are nobody's business.
fn describe_status(status: &Status) -> String {
    let hint = match status.code() {
        Code::Unauthenticated => " (does the authority know this bearer?)",
        Code::PermissionDenied => " (has this bearer the role gateway?)",
        _ => "",
    };
    // A status that the transport made has its cause in the source.
    if let Some(source) = status.source() {
        return format!("the connection failed: {}", outage::describe(source));
    }
    format!(
        "the authority answered {:?}{hint}: {}",
        status.code(),
        status.message()
    )
}

/// A half to the whole of `delay`.
pub(crate) fn jittered(delay: Duration) -> Duration {
    let [random] = portcullis_contract::random::<1>();
    delay / 2 + delay / 2 * u32::from(random) / 255
}
