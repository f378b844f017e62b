//! `[limits]`: bounds of the listener and of calls to the authority.

use std::time::Duration;

use portcullis_serving::{
    config::{ConfigError, check_range},
    connections::Bounds,
};
use serde::Deserialize;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
// A sealed address and a session cookie have up to 8 KiB each. The rest is for other cookies and
// for headers of proxies.
/// The most bytes of a request's header.
const HEADER_BYTES_MAX: usize = 32 * 1_024;
/// The most header fields of one request.
const HEADERS_MAX: usize = 128;
/// Requests of one HTTP/2 connection at a time.
const STREAMS_PER_CONNECTION_MAX: u32 = 128;
/// The time between two pings to an HTTP/2 peer, and the longest time until it answers one.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// `[limits]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Connections at a time; more wait in the system's queue.
    pub connections_max: usize,
    /// Live receipts that browsers follow at a time. Beyond it a page shows the count of its answer only.
    pub receipts_max: usize,
    /// Longest time for a call to the authority, and for a TLS handshake. A page has twice as long, from the end of its
    /// header to the start of its answer.
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
    /// Longest time that a connection may wait for the next request.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// Longest time that requests may take to finish after SIGTERM.
    #[serde(with = "humantime_serde")]
    pub drain_timeout: Duration,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            connections_max: 1_024,
            receipts_max: 1_000,
            request_timeout: 15 * SECOND,
            idle_timeout: MINUTE,
            drain_timeout: 10 * SECOND,
        }
    }
}

impl LimitsConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let connections = &self.connections_max;
        check_range("limits.connections_max", connections, &(1..=100_000))?;
        check_range("limits.receipts_max", &self.receipts_max, &(1..=100_000))?;
        let durations = [
            ("limits.request_timeout", self.request_timeout),
            ("limits.idle_timeout", self.idle_timeout),
            ("limits.drain_timeout", self.drain_timeout),
        ];
        for (key, duration) in durations {
            check_range(key, &duration, &(SECOND..=10 * MINUTE))?;
        }
        Ok(())
    }

    /// The bounds of the listener.
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            connections_max: self.connections_max,
            streams_per_connection_max: STREAMS_PER_CONNECTION_MAX,
            header_bytes_max: HEADER_BYTES_MAX,
            headers_max: HEADERS_MAX,
            handshake_timeout: self.request_timeout,
            idle_timeout: self.idle_timeout,
            drain_timeout: self.drain_timeout,
            keepalive: KEEPALIVE,
        }
    }
}
