//! What types cannot say about a configuration.

use std::{ops::RangeInclusive, time::Duration};

use super::{Config, ConfigError, DAY, LimitsConfig, StoreConfig, TelemetryConfig, callers};
use crate::store::postgres::check_url;

impl Config {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// The first setting that cannot be used.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_server()?;
        self.check_times()?;
        self.check_bounds()?;
        self.limits.check()?;
        self.telemetry.check()?;
        callers::check(&self.callers)
    }

    fn check_server(&self) -> Result<(), ConfigError> {
        let server = &self.server;
        if server.tls_certificate_file.is_some() != server.tls_key_file.is_some() {
            return Err(ConfigError::new(
                "server.tls_key_file",
                "needs tls_certificate_file, and the reverse",
            ));
        }
        let encrypted = server.tls_certificate_file.is_some() || server.insecure;
        if !encrypted && !server.grpc_listen.ip().is_loopback() {
            let problem = "is not a loopback address: set TLS files, or server.insecure = true";
            return Err(ConfigError::new("server.grpc_listen", problem));
        }
        // The HTTP listener has no TLS, whatever the gRPC listener has.
        if !server.insecure && !server.http_listen.ip().is_loopback() {
            let problem =
                "is not a loopback address and serves plain HTTP: set server.insecure = true";
            return Err(ConfigError::new("server.http_listen", problem));
        }
        self.store.check_urls()?;
        if self.tokens.issuer.is_empty() {
            return Err(ConfigError::new("tokens.issuer", "must not be empty"));
        }
        if self.tokens.default_audiences.is_empty() {
            return Err(ConfigError::new(
                "tokens.default_audiences",
                "must not be empty",
            ));
        }
        Ok(())
    }

    fn check_times(&self) -> Result<(), ConfigError> {
        let (moment, second, hour) = (Duration::from_millis(1), Duration::from_secs(1), DAY / 24);
        let (server, store, tokens, log) = (&self.server, &self.store, &self.tokens, &self.log);
        let bounds = [
            (
                "server.drain_timeout",
                server.drain_timeout,
                Duration::ZERO..=DAY,
            ),
            (
                "store.connect_timeout",
                store.connect_timeout,
                moment..=hour,
            ),
            (
                "tokens.access_token_lifetime",
                tokens.access_token_lifetime,
                second..=366 * DAY,
            ),
            (
                "tokens.refresh_grace",
                tokens.refresh_grace,
                Duration::ZERO..=DAY,
            ),
            (
                "keys.activation_delay",
                self.keys.activation_delay,
                Duration::ZERO..=30 * DAY,
            ),
            // Well below the age at which a batch is too old to be acknowledged.
            (
                "log.append_timeout",
                log.append_timeout,
                moment..=20 * second,
            ),
            (
                "store.search_timeout",
                self.store.search_timeout,
                100 * moment..=60 * second,
            ),
            ("log.batch_time_goal", log.batch_time_goal, moment..=second),
            ("log.poll_interval", log.poll_interval, moment..=10 * second),
            (
                "log.checkpoint_interval",
                log.checkpoint_interval,
                100 * moment..=DAY,
            ),
            (
                "log.resume_window",
                log.resume_window,
                Duration::ZERO..=366 * DAY,
            ),
            (
                "watch.staleness_max",
                self.watch.staleness_max,
                second..=DAY,
            ),
        ];
        let bounds = bounds
            .into_iter()
            .chain(self.session_times())
            .chain(self.edge_times())
            .chain(self.readiness_times());
        if let Some((key, _, range)) = bounds
            .into_iter()
            .find(|(_, value, range)| !range.contains(value))
        {
            let problem = format!("must be from {:?} to {:?}", range.start(), range.end());
            return Err(ConfigError::new(key, problem));
        }
        if self.keys.activation_delay < self.watch.staleness_max {
            let problem =
                "must be at least watch.staleness_max, or gates may meet a key before they know it";
            return Err(ConfigError::new("keys.activation_delay", problem));
        }
        Ok(())
    }

    fn session_times(&self) -> [(&'static str, Duration, RangeInclusive<Duration>); 6] {
        let (moment, second, hour) = (Duration::from_millis(1), Duration::from_secs(1), DAY / 24);
        [
            (
                "sessions.lifetime",
                self.sessions.lifetime,
                second..=3660 * DAY,
            ),
            (
                "sessions.remember_me_lifetime",
                self.sessions.remember_me_lifetime,
                second..=3660 * DAY,
            ),
            (
                "sessions.retention",
                self.sessions.retention,
                hour..=3660 * DAY,
            ),
            (
                "sessions.sweep_interval",
                self.sessions.sweep_interval,
                10 * moment..=hour,
            ),
            (
                "sessions.activity_delay_max",
                self.sessions.activity_delay_max,
                Duration::ZERO..=hour,
            ),
            (
                "sessions.gate_absence_max",
                self.sessions.gate_absence_max,
                Duration::ZERO..=DAY,
            ),
        ]
    }

    fn edge_times(&self) -> [(&'static str, Duration, RangeInclusive<Duration>); 5] {
        let (moment, second, hour) = (Duration::from_millis(100), Duration::from_secs(1), DAY / 24);
        let server = &self.server;
        [
            (
                "server.request_timeout",
                server.request_timeout,
                moment..=hour,
            ),
            ("server.call_timeout", server.call_timeout, moment..=hour),
            ("server.idle_timeout", server.idle_timeout, second..=DAY),
            (
                "server.connection_age_max",
                server.connection_age_max,
                second..=366 * DAY,
            ),
            (
                "tokens.ended_token_window",
                self.tokens.ended_token_window,
                Duration::ZERO..=366 * DAY,
            ),
        ]
    }

    fn readiness_times(&self) -> [(&'static str, Duration, RangeInclusive<Duration>); 4] {
        let (moment, second, hour) = (Duration::from_millis(1), Duration::from_secs(1), DAY / 24);
        [
            (
                "readiness.beat_interval",
                self.readiness.beat_interval,
                10 * moment..=10 * second,
            ),
            (
                "readiness.beat_age_max",
                self.readiness.beat_age_max,
                100 * moment..=hour,
            ),
            (
                "readiness.feed_lag_max",
                self.readiness.feed_lag_max,
                100 * moment..=hour,
            ),
            (
                "readiness.feed_stuck_max",
                self.readiness.feed_stuck_max,
                second..=DAY,
            ),
        ]
    }

    /// Above, because semaphores and channels cannot count further than some number and panic, and because a batch has
    /// to stay within what validators take.
    fn check_bounds(&self) -> Result<(), ConfigError> {
        let bounds = [
            ("store.connections_max", self.store.connections_max, 10_000),
            (
                "store.search_connections_max",
                self.store.search_connections_max,
                1_000,
            ),
            (
                "log.queue_entries_max",
                self.log.queue_entries_max,
                1_000_000,
            ),
            (
                "log.queue_tenant_entries_max",
                self.log.queue_tenant_entries_max,
                1_000_000,
            ),
            (
                "log.queue_caller_targets_max",
                self.log.queue_caller_targets_max,
                100_000_000,
            ),
            ("log.batch_entries_max", self.log.batch_entries_max, 1024),
            (
                "log.checkpoint_batches_min",
                self.log.checkpoint_batches_min,
                1_000_000,
            ),
            (
                "log.checkpoint_bytes_min",
                self.log.checkpoint_bytes_min,
                1 << 30,
            ),
            ("watch.streams_max", self.watch.streams_max, 1_000_000),
            ("watch.snapshots_max", self.watch.snapshots_max, 10_000),
            (
                "watch.ring_frames_max",
                self.watch.ring_frames_max,
                100_000_000,
            ),
        ];
        match bounds
            .iter()
            .chain(&self.edge_bounds())
            .find(|(_, value, max)| !(1..=*max).contains(value))
        {
            Some((key, _, max)) => Err(ConfigError::new(*key, format!("must be from 1 to {max}"))),
            None => Ok(()),
        }
    }

    fn edge_bounds(&self) -> [(&'static str, usize, usize); 8] {
        let server = &self.server;
        let streams_max = usize::try_from(server.streams_per_connection_max).unwrap_or(usize::MAX);
        [
            ("server.calls_max", server.calls_max, 1_000_000),
            ("server.reports_max", server.reports_max, 1_000_000),
            (
                "server.calls_per_user_max",
                server.calls_per_user_max,
                1_000_000,
            ),
            (
                "server.public_streams_max",
                server.public_streams_max,
                1_000_000,
            ),
            ("server.streams_per_connection_max", streams_max, 65_536),
            (
                "server.connections_max",
                server.connections_max.unwrap_or(1),
                10_000_000,
            ),
            (
                "server.http_connections_max",
                server.http_connections_max.unwrap_or(1),
                10_000_000,
            ),
            (
                "server.connections_per_address_max",
                server.connections_per_address_max.unwrap_or(1),
                10_000_000,
            ),
        ]
    }
}

impl StoreConfig {
    fn check_urls(&self) -> Result<(), ConfigError> {
        let url = &self.url;
        if !(url.starts_with("sqlite:") || url.starts_with("postgres")) {
            return Err(ConfigError::new(
                "store.url",
                "must begin with sqlite: or postgres://",
            ));
        }
        if url.starts_with("postgres") {
            check_url(url).map_err(|problem| ConfigError::new("store.url", problem))?;
        }
        let Some(owner_url) = &self.owner_url else {
            return Ok(());
        };
        if !owner_url.starts_with("postgres") {
            return Err(ConfigError::new(
                "store.owner_url",
                "must begin with postgres://",
            ));
        }
        check_url(owner_url).map_err(|problem| ConfigError::new("store.owner_url", problem))
    }
}

impl LimitsConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let bounds = [
            (
                "limits.user_changes_per_minute",
                self.user_changes_per_minute,
                1..=60_000,
            ),
            (
                "limits.user_changes_burst",
                self.user_changes_burst,
                1..=60_000,
            ),
            (
                "limits.tenant_unknown_users_per_minute",
                self.tenant_unknown_users_per_minute,
                1..=100_000_000,
            ),
            // One call may name so many.
            (
                "limits.tenant_unknown_users_burst",
                self.tenant_unknown_users_burst,
                1_000..=100_000_000,
            ),
            (
                "limits.tenant_users_max",
                self.tenant_users_max,
                1..=100_000_000,
            ),
            (
                "limits.tenant_sessions_max",
                self.tenant_sessions_max,
                1..=100_000_000,
            ),
            (
                "limits.tenant_api_keys_max",
                self.tenant_api_keys_max,
                1..=1_000_000,
            ),
        ];
        let wrong = bounds
            .iter()
            .find(|(_, value, range)| !range.contains(value));
        match wrong {
            Some((key, _, range)) => Err(ConfigError::new(
                *key,
                format!("must be from {} to {}", range.start(), range.end()),
            )),
            None => Ok(()),
        }
    }
}

impl TelemetryConfig {
    fn check(&self) -> Result<(), ConfigError> {
        if self
            .otlp_endpoint
            .as_ref()
            .is_some_and(|endpoint| !endpoint.starts_with("http://"))
        {
            return Err(ConfigError::new(
                "telemetry.otlp_endpoint",
                "must begin with http://",
            ));
        }
        if self.service_name.is_empty() {
            return Err(ConfigError::new(
                "telemetry.service_name",
                "must not be empty",
            ));
        }
        if !(0.0..=1.0).contains(&self.trace_sample_ratio) {
            return Err(ConfigError::new(
                "telemetry.trace_sample_ratio",
                "must be from 0 to 1",
            ));
        }
        Ok(())
    }
}
