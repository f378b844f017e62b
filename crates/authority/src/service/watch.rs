//! One validator's stream: greeting, snapshot or deltas, and a beat for each probe.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream::FuturesUnordered};
use portcullis_contract::{
    position::{Position, Revision},
    text::Text,
    v1::{self, watch_request::Message as Asked, watch_response::Message as Answer},
};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{core::Core, status::ServiceError};
use crate::{
    feed::FromRing,
    store::StoreError,
    validators::{Connected, Registration},
};

/// How long a validator may take to say hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Messages that wait for a slow reader; a parked stream holds a revision and no more.
const OUTBOUND_MESSAGES_MAX: usize = 16;
/// Probes of one stream that wait for a beat; more are not answered.
const PROBES_MAX: usize = 64;
/// Batches read from the log at a time, for a stream that fell out of the ring.
const CATCH_UP_FRAMES: u32 = 256;

type Outbound = mpsc::Sender<Result<v1::WatchResponse, Status>>;

/// Serves a stream in a task of its own.
pub(super) fn serve(
    core: Arc<Core>,
    inbound: Streaming<v1::WatchRequest>,
) -> ReceiverStream<Result<v1::WatchResponse, Status>> {
    let (outbound, answers) = mpsc::channel(OUTBOUND_MESSAGES_MAX);
    let tasks = core.tasks.clone();
    tasks.spawn(async move {
        if let Err(End::Refused(error)) = run(core, inbound, &outbound).await {
            // A validator that has gone away does not need to know.
            let _ = outbound.send(Err(error.into())).await;
        }
    });
    ReceiverStream::new(answers)
}

/// Why a stream ends.
enum End {
    /// The validator went away, or was asked to.
    Closed,
    /// It may not go on.
    Refused(ServiceError),
}

impl From<ServiceError> for End {
    fn from(error: ServiceError) -> Self {
        Self::Refused(error)
    }
}

async fn run(core: Arc<Core>, mut inbound: Streaming<v1::WatchRequest>, outbound: &Outbound) -> Result<(), End> {
    let hello = hello(&mut inbound).await?;
    let registration = register(&core, &hello)?;
    let mut stream = Stream { core, outbound, registration, at: Revision(0) };
    stream.greet(&hello).await?;
    stream.follow(inbound).await
}

async fn hello(inbound: &mut Streaming<v1::WatchRequest>) -> Result<v1::WatchHello, End> {
    let first = timeout(HELLO_TIMEOUT, inbound.message()).await;
    let first = first.map_err(|_| ServiceError::Watch("no hello in time"))?;
    match first.map_err(|_| End::Closed)?.ok_or(End::Closed)?.message {
        Some(Asked::Hello(hello)) => Ok(hello),
        _ => Err(ServiceError::Watch("the first message must be hello").into()),
    }
}

fn register(core: &Core, hello: &v1::WatchHello) -> Result<Registration, ServiceError> {
    let name = Text::<128>::parse(hello.name.as_str())
        .map_err(|error| ServiceError::invalid("hello.name", error.to_string()))?;
    let config = &core.config.watch;
    let staleness = hello.max_staleness.and_then(|staleness| Duration::try_from(staleness).ok()).unwrap_or_default();
    if staleness.is_zero() || staleness > config.staleness_max {
        return Err(ServiceError::Watch("max_staleness is out of the authority's bounds"));
    }
    if hello.mode() == v1::ValidatorMode::Unspecified {
        return Err(ServiceError::invalid("hello.mode", "is required"));
    }
    let registered = core.validators.register(name.into_string(), hello.mode(), staleness, config.streams_max);
    registered.ok_or(ServiceError::Overloaded)
}

struct Stream<'a> {
    core: Arc<Core>,
    outbound: &'a Outbound,
    registration: Registration,
    /// The last revision that was sent.
    at: Revision,
}

/// What a validator's cursor is to this authority.
enum Standing {
    /// A position of this history: deltas follow.
    Known,
    /// There is none.
    New,
    /// Of another history, or of a part of this one that the primary does not have.
    Fork,
}

impl Stream<'_> {
    async fn greet(&mut self, hello: &v1::WatchHello) -> Result<(), End> {
        let standing = self.standing(hello).await?;
        let incarnation = self.core.feed.view().position().incarnation.0.to_vec().into();
        let fork = matches!(standing, Standing::Fork);
        self.send(Answer::Welcome(v1::WatchWelcome { incarnation, fork })).await?;
        match standing {
            Standing::Known => Ok(()),
            Standing::New => self.send_snapshot().await,
            Standing::Fork => {
                tracing::error!(validator = %hello.name, "a validator has seen another history");
                self.send_snapshot().await
            }
        }
    }

    async fn standing(&mut self, hello: &v1::WatchHello) -> Result<Standing, End> {
        let Some(cursor) = &hello.cursor else { return Ok(Standing::New) };
        let cursor = Position::try_from(cursor).map_err(|_| ServiceError::invalid("hello.cursor", "is malformed"))?;
        let here = self.core.feed.view().position();
        if cursor.incarnation != here.incarnation {
            return Ok(Standing::Fork);
        }
        self.at = cursor.revision;
        if cursor == here {
            return Ok(Standing::Known);
        }
        // Only the primary's word makes a cursor ahead or foreign.
        match self.core.store.chain(cursor.revision).await.map_err(ServiceError::from)? {
            Some(chain) if chain == cursor.chain => Ok(Standing::Known),
            _ => Ok(Standing::Fork),
        }
    }

    async fn send_snapshot(&mut self) -> Result<(), End> {
        let snapshot = self.core.feed.snapshot().await;
        for chunk in snapshot.chunks() {
            self.send(Answer::SnapshotChunk(chunk)).await?;
        }
        self.at = snapshot.position.revision;
        Ok(())
    }

    async fn follow(&mut self, mut inbound: Streaming<v1::WatchRequest>) -> Result<(), End> {
        let core = Arc::clone(&self.core);
        let mut position = core.feed.position();
        let incarnation = position.borrow().incarnation;
        let mut beats = FuturesUnordered::new();
        loop {
            if position.borrow_and_update().incarnation != incarnation {
                return self.send(Answer::Drain(v1::WatchDrain {})).await;
            }
            self.send_news().await?;
            tokio::select! {
                changed = position.changed() => changed.map_err(|_| End::Closed)?,
                asked = inbound.message() => {
                    let probe = probe(asked)?;
                    self.connected().probed(Revision(probe.applied_revision));
                    if beats.len() < PROBES_MAX {
                        let core = &core;
                        beats.push(async move { (probe.nonce, core.beats.head().await) });
                    }
                }
                Some((nonce, beat)) = beats.next() => {
                    // Without a beat there is no answer, and the validator grows stale by itself.
                    if let Ok(head) = beat {
                        self.send(Answer::Beat(v1::WatchBeat { nonce, head: Some(head.into()) })).await?;
                    }
                }
                () = core.drain.cancelled() => return self.send(Answer::Drain(v1::WatchDrain {})).await,
            }
        }
    }

    fn connected(&self) -> &Connected {
        &self.registration.connected
    }

    /// Sends all batches after the last one that was sent: from the ring, else from the log, else a snapshot.
    async fn send_news(&mut self) -> Result<(), End> {
        loop {
            let frames = match self.core.feed.after(self.at) {
                FromRing::Frames(frames) => frames,
                // This replica does not have it yet; the primary does, or the cursor would have been refused.
                FromRing::Ahead => return Ok(()),
                FromRing::Behind => match self.core.store.tail(self.at, CATCH_UP_FRAMES).await {
                    Ok(frames) => frames.iter().map(v1::DeltaFrame::from).collect(),
                    Err(StoreError::Trimmed) => {
                        self.send_snapshot().await?;
                        continue;
                    }
                    Err(error) => return Err(ServiceError::from(error).into()),
                },
            };
            if frames.is_empty() {
                return Ok(());
            }
            for frame in frames {
                self.at = Revision(frame.revision);
                self.send(Answer::Delta(frame)).await?;
            }
        }
    }

    async fn send(&self, answer: Answer) -> Result<(), End> {
        let response = v1::WatchResponse { message: Some(answer) };
        let Err(rejected) = self.outbound.try_send(Ok(response)) else { return Ok(()) };
        let mpsc::error::TrySendError::Full(response) = rejected else { return Err(End::Closed) };
        self.connected().park(true);
        let sent = self.outbound.send(response).await;
        self.connected().park(false);
        sent.map_err(|_| End::Closed)
    }
}

fn probe(asked: Result<Option<v1::WatchRequest>, Status>) -> Result<v1::WatchProbe, End> {
    match asked.map_err(|_| End::Closed)?.ok_or(End::Closed)?.message {
        Some(Asked::Probe(probe)) => Ok(probe),
        _ => Err(ServiceError::Watch("after hello only probes may follow").into()),
    }
}
