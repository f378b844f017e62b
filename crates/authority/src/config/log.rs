//! `[log]`: the queue, the batches, and the history of the log.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    ConfigError,
    bounds::{DAY, HOUR, MILLISECOND, MINUTE, SECOND, YEAR, check_counts, check_durations},
};

/// `[log]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Changes that may wait for the next batch; more are shed.
    pub queue_entries_max: usize,
    /// Changes of one tenant that may wait.
    pub queue_tenant_entries_max: usize,
    /// Sessions and users that the waiting changes of one caller may name.
    pub queue_caller_targets_max: usize,
    /// Changes of one batch.
    pub batch_entries_max: usize,
    /// Intended duration of a batch: batches that take longer are made smaller.
    #[serde(with = "humantime_serde")]
    pub batch_time_goal: Duration,
    /// Time in which a batch is retried while the store is unavailable.
    #[serde(with = "humantime_serde")]
    pub append_timeout: Duration,
    /// Interval of reading the head, for the batches of other authorities.
    #[serde(with = "humantime_serde")]
    pub poll_interval: Duration,
    /// Interval of the log's maintenance. All authorities together write at most one checkpoint in this time.
    #[serde(with = "humantime_serde")]
    pub checkpoint_interval: Duration,
    /// Batches after which a checkpoint is written.
    pub checkpoint_batches_min: usize,
    /// Bytes of deltas after which a checkpoint is written. An hour also suffices.
    pub checkpoint_bytes_min: usize,
    /// Shortest time that the deltas are kept from which validators resume.
    #[serde(with = "humantime_serde")]
    pub resume_window: Duration,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            queue_entries_max: 8192,
            queue_tenant_entries_max: 2048,
            queue_caller_targets_max: 65_536,
            batch_entries_max: 256,
            batch_time_goal: 10 * MILLISECOND,
            append_timeout: 10 * SECOND,
            poll_interval: 25 * MILLISECOND,
            checkpoint_interval: MINUTE,
            checkpoint_batches_min: 1_000,
            checkpoint_bytes_min: 1 << 20,
            resume_window: HOUR,
        }
    }
}

impl LogConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.check_times()?;
        self.check_counts()
    }

    fn check_times(&self) -> Result<(), ConfigError> {
        check_durations(&[
            // Well below the age at which a batch is too old to be acknowledged.
            (
                "log.append_timeout",
                self.append_timeout,
                MILLISECOND..=20 * SECOND,
            ),
            (
                "log.batch_time_goal",
                self.batch_time_goal,
                MILLISECOND..=SECOND,
            ),
            (
                "log.poll_interval",
                self.poll_interval,
                MILLISECOND..=10 * SECOND,
            ),
            (
                "log.checkpoint_interval",
                self.checkpoint_interval,
                100 * MILLISECOND..=DAY,
            ),
            (
                "log.resume_window",
                self.resume_window,
                Duration::ZERO..=YEAR,
            ),
        ])
    }

    fn check_counts(&self) -> Result<(), ConfigError> {
        check_counts(&[
            ("log.queue_entries_max", self.queue_entries_max, 1_000_000),
            (
                "log.queue_tenant_entries_max",
                self.queue_tenant_entries_max,
                1_000_000,
            ),
            (
                "log.queue_caller_targets_max",
                self.queue_caller_targets_max,
                100_000_000,
            ),
            // Validators refuse a delta with more changes.
            ("log.batch_entries_max", self.batch_entries_max, 1024),
            (
                "log.checkpoint_batches_min",
                self.checkpoint_batches_min,
                1_000_000,
            ),
            (
                "log.checkpoint_bytes_min",
                self.checkpoint_bytes_min,
                1 << 30,
            ),
        ])
    }
}
