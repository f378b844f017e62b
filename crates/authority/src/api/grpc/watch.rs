//! `Watch`: the transport of one validator's stream. `feed::watch` has its protocol.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures::{Stream, StreamExt, TryFutureExt, future};
use portcullis_contract::{
    position::{Position, Revision},
    text::Text,
    v1::{self, watch_request::Message as Received, watch_response::Message as Sent},
    watch::{AnyStream, Checksummed, StreamId},
};
use prost_types::Timestamp;
use tokio::time::timeout;
use tonic::Status;

use super::{activity, render::timestamp};
use crate::{
    app::AppError,
    domain::Micros,
    feed::{
        SnapshotPart, ValidatorMode,
        watch::{
            Answer, Asked, Hello, Probe, ProvenHead, StreamEnd, StreamSource, WatchError,
            WatchHost, WatchStream,
        },
    },
};

/// The time that a validator has for its hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// The messages to a validator, as they are sent.
pub(crate) type Answers = Pin<Box<dyn Stream<Item = Result<v1::WatchResponse, Status>> + Send>>;

/// Serves a stream as fast as its answers are taken, until its connection is as old as it may be.
pub(crate) fn serve<I>(host: Arc<WatchHost>, source: StreamSource, inbound: I) -> Answers
where
    I: Stream<Item = Result<v1::WatchRequest, Status>> + Send + Unpin + 'static,
{
    // Boxed by itself: the opening needs nearly 4 KiB, and is over soon. The stream would keep room for it.
    let opening = Box::pin(open(host, source, inbound));
    let answers = opening.try_flatten_stream();
    Box::pin(answers.filter_map(|answer| {
        future::ready(match answer {
            Ok(answer) => Some(Ok(answer)),
            Err(RpcEnd::Refused(error)) => Some(Err(error.into())),
            // A validator that has gone away needs no answer.
            Err(RpcEnd::Closed) => None,
        })
    }))
}

/// The reason for the end of the call.
enum RpcEnd {
    /// The validator went away, or was asked to.
    Closed,
    Refused(AppError),
}

impl From<AppError> for RpcEnd {
    fn from(error: AppError) -> Self {
        Self::Refused(error)
    }
}

impl From<StreamEnd> for RpcEnd {
    fn from(end: StreamEnd) -> Self {
        match end {
            StreamEnd::Closed => Self::Closed,
            StreamEnd::Refused(error) => Self::Refused(error.into()),
        }
    }
}

/// Receives the hello and opens the stream.
async fn open<I>(
    host: Arc<WatchHost>,
    source: StreamSource,
    mut inbound: I,
) -> Result<impl Stream<Item = Result<v1::WatchResponse, RpcEnd>>, RpcEnd>
where
    I: Stream<Item = Result<v1::WatchRequest, Status>> + Send + Unpin,
{
    let hello = receive_hello(&mut inbound).await?;
    let stream_id = check_hello(&hello)?;
    let hello = parse_hello(hello)?;
    // The checksums bind every message to this stream, so that a proxy cannot mix up two of them unnoticed.
    let asked = inbound.map(move |message| parse_asked(message, &stream_id));
    let stream = WatchStream::open(host, source, hello, asked).await?;
    Ok(stream.answers().map(move |answer| match answer {
        Ok(answer) => Ok(render_answer(answer, &stream_id)),
        Err(end) => Err(end.into()),
    }))
}

async fn receive_hello<I>(inbound: &mut I) -> Result<v1::WatchHello, RpcEnd>
where
    I: Stream<Item = Result<v1::WatchRequest, Status>> + Unpin,
{
    // The layer has lifted the deadline of the request. Without this bound, silent streams would stay open.
    let Ok(first) = timeout(HELLO_TIMEOUT, inbound.next()).await else {
        return Err(AppError::WatchProtocol("no hello in time").into());
    };
    match first {
        Some(Ok(v1::WatchRequest {
            message: Some(Received::Hello(hello)),
        })) => Ok(hello),
        Some(Ok(_)) => Err(AppError::WatchProtocol("the first message must be hello").into()),
        // After an error of the transport nobody is there to read a refusal.
        None | Some(Err(_)) => Err(RpcEnd::Closed),
    }
}

/// Checks the checksum before any field is read: a damaged hello could ask for another mode, another cursor, or a
/// staleness that nobody enforces.
fn check_hello(hello: &v1::WatchHello) -> Result<StreamId, AppError> {
    let stream_id = StreamId::try_from(&hello.stream[..])
        .map_err(|_| AppError::invalid("hello.stream", "must be 16 random bytes"))?;
    if hello.is_intact(&AnyStream) {
        Ok(stream_id)
    } else {
        Err(AppError::WatchCorrupted)
    }
}

fn parse_hello(hello: v1::WatchHello) -> Result<Hello, AppError> {
    let mode = parse_mode(hello.mode())?;
    let name = Text::<128>::parse(hello.name)
        .map_err(|error| AppError::invalid("hello.name", error.to_string()))?;
    // A negative or missing duration becomes zero, which the protocol refuses.
    let max_staleness = hello
        .max_staleness
        .and_then(|staleness| Duration::try_from(staleness).ok())
        .unwrap_or_default();
    let cursor = match &hello.cursor {
        Some(cursor) => Some(parse_cursor(cursor)?),
        None => None,
    };
    Ok(Hello {
        name: name.into_string(),
        version: parse_version(hello.version)?,
        // A validator that says nothing is of the first version.
        log_version: hello.log_version.max(1),
        instance: parse_instance(&hello.instance)?,
        mode,
        max_staleness,
        cursor,
        part: hello.part.as_ref().and_then(parse_part),
        proven_head: hello.proven_head.and_then(parse_proven_head),
        gate: activity::gate("hello.gate_id", &hello.gate_id, hello.admits_for)?,
    })
}

fn parse_version(version: String) -> Result<String, AppError> {
    if version.is_empty() {
        return Ok(version);
    }
    let version = Text::<64>::parse(version)
        .map_err(|error| AppError::invalid("hello.version", error.to_string()))?;
    Ok(version.into_string())
}

fn parse_instance(instance: &[u8]) -> Result<Option<[u8; 16]>, AppError> {
    if instance.is_empty() {
        return Ok(None);
    }
    let instance = instance
        .try_into()
        .map_err(|_| AppError::invalid("hello.instance", "must be 16 random bytes"))?;
    Ok(Some(instance))
}

fn parse_mode(mode: v1::ValidatorMode) -> Result<ValidatorMode, AppError> {
    match mode {
        v1::ValidatorMode::Strict => Ok(ValidatorMode::Strict),
        v1::ValidatorMode::BestEffort => Ok(ValidatorMode::BestEffort),
        v1::ValidatorMode::Unspecified => Err(AppError::invalid("hello.mode", "required")),
    }
}

fn parse_cursor(cursor: &v1::Cursor) -> Result<Position, AppError> {
    Position::try_from(cursor)
        .map_err(|_| AppError::invalid("hello.cursor", "must be a position of a log"))
}

/// A malformed part is of no snapshot, so that the transfer begins anew.
fn parse_part(part: &v1::SnapshotPart) -> Option<SnapshotPart> {
    Some(SnapshotPart {
        sha256: part.sha256[..].try_into().ok()?,
        total_bytes: part.total_bytes,
        offset: part.offset,
    })
}

/// A malformed head proves nothing.
fn parse_proven_head(proven: v1::ProvenHead) -> Option<ProvenHead> {
    Some(ProvenHead {
        head: Position::try_from(proven.head.as_ref()?).ok()?,
        code: proven.code,
    })
}

fn parse_asked(
    message: Result<v1::WatchRequest, Status>,
    stream_id: &StreamId,
) -> Result<Asked, StreamEnd> {
    let Ok(message) = message else {
        return Err(StreamEnd::Closed);
    };
    match message.message {
        Some(Received::Probe(probe)) if probe.is_intact(stream_id) => Ok(Asked::Probe(Probe {
            nonce: probe.nonce,
            applied: Revision(probe.applied_revision),
            sent: probe.send_time.and_then(parse_sent),
        })),
        Some(Received::Applied(applied)) if applied.is_intact(stream_id) => {
            Ok(Asked::Applied(Revision(applied.applied_revision)))
        }
        Some(Received::Probe(_) | Received::Applied(_)) => Err(WatchError::Corrupted.into()),
        Some(Received::Hello(_)) | None => {
            Err(WatchError::Protocol("after hello only probes may follow").into())
        }
    }
}

/// A time that no clock can show says nothing.
fn parse_sent(time: Timestamp) -> Option<Micros> {
    let micros = time.seconds.checked_mul(1_000_000)?;
    micros
        .checked_add(i64::from(time.nanos) / 1_000)
        .map(Micros)
}

fn render_answer(answer: Answer, stream_id: &StreamId) -> v1::WatchResponse {
    let message = match answer {
        Answer::Welcome {
            incarnation,
            is_fork,
        } => {
            let welcome = v1::WatchWelcome {
                incarnation: incarnation.0.to_vec().into(),
                fork: is_fork,
                ..Default::default()
            };
            Sent::Welcome(welcome.sealed(stream_id))
        }
        // Without a checksum, as `Confirm` and `Drain`: nothing in a view or a proof comes from
        // them (decision 026).
        Answer::Queued { ahead, wait } => Sent::Queued(v1::WatchQueued {
            ahead,
            wait: wait.try_into().ok(),
        }),
        Answer::SnapshotChunk(chunk) => Sent::SnapshotChunk(chunk.into_message()),
        Answer::Delta(frame) => Sent::Delta(frame.into_message()),
        Answer::Beat { nonce, beat } => {
            let beat = v1::WatchBeat {
                nonce,
                head: Some(beat.beat.head.into()),
                head_code: beat.head_code,
                database_time: Some(timestamp(beat.beat.time)),
                ..Default::default()
            };
            Sent::Beat(beat.sealed(stream_id))
        }
        Answer::Confirm => Sent::Confirm(v1::WatchConfirm {}),
        Answer::Drain => Sent::Drain(v1::WatchDrain {}),
    };
    v1::WatchResponse {
        message: Some(message),
    }
}
