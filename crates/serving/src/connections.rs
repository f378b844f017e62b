//! The connections of a listener: a bounded number, with a deadline for each thing that a peer may delay.

mod accept;
mod drive;

use std::time::Duration;

use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

pub use self::{
    accept::{Accept, is_about_one_connection, serve},
    drive::BoxError,
};

/// The protocols of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 only, so that nothing is spent on guessing.
    Http1,
    /// HTTP/2 only.
    Http2,
    /// Either, as the client chooses.
    Either,
}

impl Protocol {
    /// The names in a TLS handshake, the better one first.
    pub(crate) fn names(self) -> &'static [&'static [u8]] {
        match self {
            Self::Http1 => &[b"http/1.1"],
            Self::Http2 => &[b"h2"],
            Self::Either => &[b"h2", b"http/1.1"],
        }
    }
}

/// The bounds of a listener.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Connections at a time; more wait in the system's queue.
    pub connections_max: usize,
    /// Requests of one HTTP/2 connection at a time.
    pub streams_per_connection_max: u32,
    /// The most bytes of a request's header.
    pub header_bytes_max: usize,
    /// The most header fields of one HTTP/1 request.
    pub headers_max: usize,
    /// Longest time for a TLS handshake.
    pub handshake_timeout: Duration,
    /// Longest time that a connection may be without a new request and without a new part of an answer.
    pub idle_timeout: Duration,
    /// Longest time that requests may take to finish once the port is closed.
    pub drain_timeout: Duration,
    /// The time between two pings to an HTTP/2 peer, and the longest time until it answers one.
    pub keepalive: Duration,
}

/// How a listener is served.
pub struct Port {
    /// The name in the log.
    pub name: &'static str,
    /// The protocol of its clients.
    pub protocol: Protocol,
    /// TLS, if it has it.
    pub tls: Option<TlsAcceptor>,
    /// Its bounds.
    pub bounds: Bounds,
    /// Cancelled when the listener has to end.
    pub close: CancellationToken,
}
