//! The bounds of a port: connections, streams, and times.

use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use crate::config::{Config, ServerConfig};

/// Descriptors that are kept free for files and for the start, beside those of the store's connections.
const DESCRIPTORS_RESERVED: usize = 64;
/// The most connections of a port whose number is not set.
const CONNECTIONS_MAX: usize = 100_000;
const HTTP_CONNECTIONS_MAX: usize = 256;
/// The most connections of the listener of metrics. A few scrapers need one each.
const METRICS_CONNECTIONS_MAX: usize = 16;
/// The longest time from a call's own deadline until its peer has read the answer.
const SEND_TIME: Duration = Duration::from_secs(30);

/// The bounds of one port.
#[derive(Clone, Debug)]
pub(crate) struct PortLimits {
    pub(crate) connections_max: usize,
    pub(crate) connections_per_address_max: usize,
    /// The most HTTP/2 streams of one connection at a time.
    pub(crate) streams_max: u32,
    /// The longest TLS handshake, HTTP/2 preface, or header of an HTTP/1 request.
    pub(crate) request_timeout: Duration,
    /// The longest time from the first byte of a request to the last byte of its answer. Streams are exempt.
    pub(crate) answer_timeout: Duration,
    /// A connection ends after this time without a request.
    pub(crate) idle_timeout: Duration,
    /// A connection is asked to end when it is about this old.
    pub(crate) age_max: Duration,
    /// The longest time that its calls may take to finish then.
    pub(crate) grace: Duration,
    /// The longest time that calls may take to finish when the authority ends.
    pub(crate) drain_timeout: Duration,
}

impl PortLimits {
    /// Returns the bounds of the gRPC port and of the HTTP port. Neither can use up the descriptors of the other.
    pub(crate) fn of(config: &Config) -> (Self, Self) {
        let server = &config.server;
        let (grpc, http) = share_descriptors(descriptors(), config.store.connections_max);
        let grpc = server.connections_max.unwrap_or(grpc);
        let http = server.http_connections_max.unwrap_or(http);
        tracing::info!(grpc, http, "connections are bounded");
        (Self::new(server, grpc), Self::new(server, http))
    }

    /// Returns the bounds of the listener of metrics. Its descriptors are among those that are reserved.
    pub(crate) fn of_metrics(server: &ServerConfig) -> Self {
        Self::new(server, METRICS_CONNECTIONS_MAX)
    }

    fn new(server: &ServerConfig, connections_max: usize) -> Self {
        let answer_timeout = server.request_timeout + server.call_timeout + SEND_TIME;
        let connections_per_address_max = server.connections_per_address_max;
        Self {
            connections_max,
            // Without a setting `Shares` still leaves one address at most half of all connections.
            connections_per_address_max: connections_per_address_max.unwrap_or(connections_max),
            streams_max: server.streams_per_connection_max,
            request_timeout: server.request_timeout,
            answer_timeout,
            idle_timeout: server.idle_timeout,
            age_max: server.connection_age_max,
            // A call that began at the last moment may take as long as any call.
            grace: answer_timeout,
            drain_timeout: server.drain_timeout,
        }
    }
}

/// The descriptors that this process may open.
fn descriptors() -> usize {
    match getrlimit(Resource::Nofile).current {
        Some(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
        None => usize::MAX,
    }
}

/// Splits the free descriptors into connections of the gRPC port and of the HTTP port.
fn share_descriptors(descriptors: usize, store_connections: usize) -> (usize, usize) {
    // A connection of a client must never take the descriptor that a connection to the database needs.
    let reserved = DESCRIPTORS_RESERVED.saturating_add(store_connections);
    let free = descriptors.saturating_sub(reserved).max(2);
    // The HTTP port has its own share: health checks must work while clients fill the gRPC port.
    let http = (free / 8).clamp(1, HTTP_CONNECTIONS_MAX);
    let grpc = (free - http).min(CONNECTIONS_MAX);
    (grpc, http)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_leave_descriptors_for_each_other_and_for_the_store() {
        for descriptors in [100, 256, 1024, 65_536] {
            let (grpc, http) = share_descriptors(descriptors, 16);
            assert!(http >= 1 && grpc > http, "{descriptors}");
            assert!(grpc + http + 16 + DESCRIPTORS_RESERVED <= descriptors);
        }
        assert_eq!(
            share_descriptors(usize::MAX, 16),
            (CONNECTIONS_MAX, HTTP_CONNECTIONS_MAX)
        );
    }
}
