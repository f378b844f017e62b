//! `[readiness]`: when the authority counts as ready.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    ConfigError,
    bounds::{DAY, HOUR, MILLISECOND, SECOND, check_durations},
};

/// `[readiness]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReadinessConfig {
    /// Interval of the authority's beats while no validator asks for one.
    #[serde(with = "humantime_serde")]
    pub beat_interval: Duration,
    /// Age of the last beat, and of the store's last write, above which the authority is not ready.
    #[serde(with = "humantime_serde")]
    pub beat_age_max: Duration,
    /// Time behind the head of the log above which the authority is not ready.
    #[serde(with = "humantime_serde")]
    pub feed_lag_max: Duration,
    /// Time behind the head of the log, although the store answers, above which the process ends.
    #[serde(with = "humantime_serde")]
    pub feed_stuck_max: Duration,
}

impl Default for ReadinessConfig {
    fn default() -> Self {
        Self {
            beat_interval: SECOND,
            beat_age_max: 10 * SECOND,
            feed_lag_max: 5 * SECOND,
            feed_stuck_max: 30 * SECOND,
        }
    }
}

impl ReadinessConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let moment = 100 * MILLISECOND;
        check_durations(&[
            (
                "readiness.beat_interval",
                self.beat_interval,
                10 * MILLISECOND..=10 * SECOND,
            ),
            ("readiness.beat_age_max", self.beat_age_max, moment..=HOUR),
            ("readiness.feed_lag_max", self.feed_lag_max, moment..=HOUR),
            (
                "readiness.feed_stuck_max",
                self.feed_stuck_max,
                SECOND..=DAY,
            ),
        ])
    }
}
