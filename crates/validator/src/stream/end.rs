//! The end of a stream, and its cause in an operator's words.

use std::{error::Error, io, time::Duration};

use portcullis_validator_core::ProtocolError;
use tonic::{
    Code, Status,
    transport::{Error as TransportError, Uri},
};

use crate::cause::describe;

/// The longest time for which an authority may leave a stream without an answer to its opening.
pub(crate) const OPENING_TIMEOUT: Duration = Duration::from_secs(5);

/// The reason for which a stream ended, or did not begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StreamEnd {
    #[error("the name has no address")]
    Unresolved(#[source] io::Error),
    #[error("cannot connect")]
    Connect(#[from] TransportError),
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
    #[error("there is a newer certificate to connect with")]
    Renewal,
    #[error("no proof of freshness for too long")]
    NoBeat,
    #[error("reading the stream panicked: it was damaged, or this is a bug")]
    Panicked,
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
}

impl From<Status> for StreamEnd {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

impl StreamEnd {
    /// Returns the end of a stream that did not begin.
    pub(crate) fn of_opening(endpoint: &Uri, status: Status) -> Self {
        // A status without a source was sent by the authority: it answered.
        let Some(source) = status.source() else {
            return status.into();
        };
        // A server that expects TLS closes a plain connection without a word.
        let hint = match endpoint.scheme_str() {
            Some("https") => "",
            _ => " (does it expect https?)",
        };
        Self::Unanswered {
            hint,
            cause: describe(source),
        }
    }
}

/// Describes a status. Its own display repeats headers, which may be private.
fn describe_status(status: &Status) -> String {
    // A status that the transport made has its cause in the source.
    if let Some(source) = status.source() {
        return format!("the connection failed: {}", describe(source));
    }
    let hint = match status.code() {
        Code::Unauthenticated => " (does the authority know this bearer or certificate?)",
        Code::PermissionDenied => " (has this caller the role gateway?)",
        _ => "",
    };
    format!(
        "the authority answered {:?}{hint}: {}",
        status.code(),
        status.message()
    )
}
