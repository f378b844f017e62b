//! The messages of a validator.

use std::time::Duration;

use portcullis_contract::{
    position::{Position, Revision},
    text::Text,
    v1::{self, watch_request::Message as Received},
    watch::{AnyStream, Checksummed, StreamId},
};
use prost_types::Timestamp;
use tonic::{Code, Status};

use crate::{
    api::{access::UNDECODABLE, grpc::activity},
    app::AppError,
    domain::Micros,
    feed::{
        SnapshotPart, ValidatorMode,
        watch::{Asked, Hello, Probe, ProvenHead, StreamEnd, WatchError},
    },
};

/// Checks the checksum before any field is read: a damaged hello could ask for another mode, another cursor, or a
/// staleness that nobody enforces.
pub(super) fn check_hello(hello: &v1::WatchHello) -> Result<StreamId, AppError> {
    let stream_id = StreamId::try_from(&hello.stream[..])
        .map_err(|_| AppError::invalid("hello.stream", "must be 16 random bytes"))?;
    if hello.is_intact(&AnyStream) {
        Ok(stream_id)
    } else {
        Err(AppError::WatchCorrupted)
    }
}

pub(super) fn parse_hello(hello: v1::WatchHello) -> Result<Hello, AppError> {
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

/// Whether the transport could not read a message. The validator is there, and has to learn why its stream ends. After
/// other errors nobody is.
pub(super) fn is_undecodable(status: &Status) -> bool {
    matches!(status.code(), Code::Internal | Code::OutOfRange)
}

pub(super) fn parse_asked(
    message: Result<v1::WatchRequest, Status>,
    stream_id: &StreamId,
) -> Result<Asked, StreamEnd> {
    let message = message.map_err(|status| match is_undecodable(&status) {
        true => StreamEnd::from(WatchError::Protocol(UNDECODABLE)),
        false => StreamEnd::Closed,
    })?;
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
