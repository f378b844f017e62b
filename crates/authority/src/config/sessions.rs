//! `[sessions]`: the default policy, and the jobs that end and delete sessions.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    ConfigError,
    bounds::{DAY, HOUR, MILLISECOND, SECOND, check_durations},
};
use crate::domain::policy::{Limits, Policy};

/// `[sessions]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionConfig {
    /// Lifetime of a session.
    #[serde(with = "humantime_serde")]
    pub lifetime: Duration,
    /// Lifetime of a session with `remember_me`.
    #[serde(with = "humantime_serde")]
    pub remember_me_lifetime: Duration,
    /// Time after its end in which a session is kept and listed.
    #[serde(with = "humantime_serde")]
    pub retention: Duration,
    /// Time for which a device, place or network of a user's sign-ins is known after it was last seen.
    #[serde(with = "humantime_serde")]
    pub history_retention: Duration,
    /// Time for which an erasure looks for rows that come late, after which the last row with the user's id goes.
    #[serde(with = "humantime_serde")]
    pub erasure_settle: Duration,
    /// Interval of the search for idle sessions, and for those past a policy that became stricter.
    #[serde(with = "humantime_serde")]
    pub sweep_interval: Duration,
    /// Longest delay of a gate's report of use: a session ends this much after its idle timeout.
    #[serde(with = "humantime_serde")]
    pub activity_delay_max: Duration,
    /// Longest time that gates without reports can keep sessions from becoming idle.
    #[serde(with = "humantime_serde")]
    pub gate_absence_max: Duration,
}

/// `6months`, as durations are written: a number of days would be written as months, days, hours and minutes.
const HALF_YEAR: Duration = Duration::from_secs(6 * 2_630_016);

/// About ten years.
const LIFETIME_MAX: Duration = Duration::from_secs(3660 * 24 * 60 * 60);

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            lifetime: 7 * DAY,
            remember_me_lifetime: 30 * DAY,
            retention: 30 * DAY,
            history_retention: HALF_YEAR,
            erasure_settle: 30 * SECOND,
            sweep_interval: 15 * SECOND,
            activity_delay_max: 30 * SECOND,
            // A gate reports use up to a day back: waiting longer could bring no more reports.
            gate_absence_max: DAY,
        }
    }
}

impl SessionConfig {
    /// Policy of tenants that have set none.
    #[must_use]
    pub fn default_policy(&self) -> Policy {
        let defaults = Limits::default();
        // The configured lifetimes raise the maximum: a default policy must not contradict itself.
        let session_lifetime_max = defaults
            .session_lifetime_max
            .max(self.lifetime)
            .max(self.remember_me_lifetime);
        Policy {
            limits: Limits {
                session_lifetime: self.lifetime,
                remember_me_lifetime: self.remember_me_lifetime,
                session_lifetime_max,
                ..defaults
            },
            ..Policy::default()
        }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        check_durations(&[
            ("sessions.lifetime", self.lifetime, SECOND..=LIFETIME_MAX),
            (
                "sessions.remember_me_lifetime",
                self.remember_me_lifetime,
                SECOND..=LIFETIME_MAX,
            ),
            ("sessions.retention", self.retention, HOUR..=LIFETIME_MAX),
            (
                "sessions.history_retention",
                self.history_retention,
                HOUR..=LIFETIME_MAX,
            ),
            ("sessions.erasure_settle", self.erasure_settle, SECOND..=DAY),
            (
                "sessions.sweep_interval",
                self.sweep_interval,
                10 * MILLISECOND..=HOUR,
            ),
            (
                "sessions.activity_delay_max",
                self.activity_delay_max,
                Duration::ZERO..=HOUR,
            ),
            (
                "sessions.gate_absence_max",
                self.gate_absence_max,
                Duration::ZERO..=DAY,
            ),
        ])
    }
}
