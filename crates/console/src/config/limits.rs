//! `[limits]`: bounds of the listener and of calls to the authority.

use std::{fmt::Debug, ops::RangeInclusive, time::Duration};

use serde::Deserialize;

use super::ConfigError;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// `[limits]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Connections at a time; more wait in the system's queue.
    pub connections_max: usize,
    /// Live receipts that browsers follow at a time. Beyond it a page shows the count of its answer only.
    pub receipts_max: usize,
    /// Longest time for a page, from the end of its header to the start of its answer; for a TLS handshake; and for a call
    /// to the authority.
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
        check_range("limits.connections_max", connections, 1..=100_000)?;
        check_range("limits.receipts_max", &self.receipts_max, 1..=100_000)?;
        let durations = [
            ("limits.request_timeout", self.request_timeout),
            ("limits.idle_timeout", self.idle_timeout),
            ("limits.drain_timeout", self.drain_timeout),
        ];
        for (key, duration) in durations {
            check_range(key, &duration, SECOND..=10 * MINUTE)?;
        }
        Ok(())
    }
}

fn check_range<T: PartialOrd + Debug>(
    key: &str,
    value: &T,
    range: RangeInclusive<T>,
) -> Result<(), ConfigError> {
    if range.contains(value) {
        return Ok(());
    }
    let problem = format!("must be {:?} to {:?}", range.start(), range.end());
    Err(ConfigError::new(key, problem))
}
