//! `[limits]`: bounds of the listeners.

use std::time::Duration;

use portcullis_gate::HEAD_BYTES_MAX;
use portcullis_serving::{
    config::{ConfigError, check_range},
    connections::Bounds,
};
use serde::Deserialize;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The time between two pings to an HTTP/2 peer, and the longest time until it answers one.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// The most bytes of a request's header: the client's own ones as far as the gate looks at them, and as many of the
/// gateway.
const HEADER_BYTES_MAX: usize = 2 * HEAD_BYTES_MAX;
/// The most header fields of one HTTP/1 request.
const HEADERS_MAX: usize = 256;

/// `[limits]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Connections of each listener at a time; more wait in the system's queue.
    pub connections_max: usize,
    /// Checks of one HTTP/2 connection at a time; more wait at the gateway.
    pub streams_per_connection_max: u32,
    /// Longest time for a check, from the end of its header to the start of its answer; and for a TLS handshake.
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
    /// Longest time that a connection may wait for the end of the next header.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// Longest time that checks may take to finish after SIGTERM.
    #[serde(with = "humantime_serde")]
    pub drain_timeout: Duration,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            connections_max: 1024,
            streams_per_connection_max: 1024,
            request_timeout: 2 * SECOND,
            // Longer than the 60 s for which NGINX keeps an idle connection, so that it is the one to close it.
            idle_timeout: 2 * MINUTE,
            drain_timeout: 10 * SECOND,
        }
    }
}

impl LimitsConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        // Of a semaphore, and of HTTP/2.
        check_range(
            "limits.connections_max",
            &self.connections_max,
            &(1..=1_000_000),
        )?;
        check_range(
            "limits.streams_per_connection_max",
            &self.streams_per_connection_max,
            &(1..=65_536),
        )?;
        let moment = Duration::from_millis(100);
        check_range(
            "limits.request_timeout",
            &self.request_timeout,
            &(moment..=MINUTE),
        )?;
        check_range("limits.idle_timeout", &self.idle_timeout, &(SECOND..=DAY))?;
        check_range(
            "limits.drain_timeout",
            &self.drain_timeout,
            &(Duration::ZERO..=DAY),
        )
    }

    /// The bounds of each listener.
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            connections_max: self.connections_max,
            streams_per_connection_max: self.streams_per_connection_max,
            header_bytes_max: HEADER_BYTES_MAX,
            headers_max: HEADERS_MAX,
            handshake_timeout: self.request_timeout,
            idle_timeout: self.idle_timeout,
            drain_timeout: self.drain_timeout,
            keepalive: KEEPALIVE,
        }
    }
}
