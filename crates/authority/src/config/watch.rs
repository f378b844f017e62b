//! `[watch]`: the streams of validators.

use std::{ops::RangeInclusive, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    ConfigError,
    bounds::{DAY, MINUTE, SECOND, check_counts, check_durations, check_range},
};

/// The bytes that the ring may be set to keep.
const RING_BYTES: RangeInclusive<usize> = 64 << 10..=1 << 40;

/// `[watch]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct WatchConfig {
    /// Validators connected at a time; more are shed.
    pub streams_max: usize,
    /// Snapshots being sent at a time; other validators wait for theirs.
    pub snapshots_max: usize,
    /// Largest `max_staleness` that a validator may enforce.
    #[serde(with = "humantime_serde")]
    pub staleness_max: Duration,
    /// Batches kept in memory for validators that are a little behind.
    pub ring_frames_max: usize,
    /// Bytes of the deltas of those batches.
    pub ring_bytes_max: usize,
    /// Time between two revocations by which the authority measures the delay of enforcement. Zero: none.
    #[serde(with = "humantime_serde")]
    pub canary_interval: Duration,
    /// Calls that wait for enforcement at a time.
    pub receipts_max: usize,
}

impl Default for WatchConfig {
    fn default() -> Self {
        Self {
            streams_max: 10_000,
            snapshots_max: 8,
            staleness_max: MINUTE,
            ring_frames_max: 16_384,
            ring_bytes_max: 64 << 20,
            canary_interval: MINUTE,
            receipts_max: 1024,
        }
    }
}

impl WatchConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        check_durations(&[("watch.staleness_max", self.staleness_max, SECOND..=DAY)])?;
        if !self.canary_interval.is_zero() {
            let intervals = [("watch.canary_interval", self.canary_interval, SECOND..=DAY)];
            check_durations(&intervals)?;
        }
        // With a smaller ring every validator that is a little behind would read the log.
        check_range("watch.ring_bytes_max", &self.ring_bytes_max, &RING_BYTES)?;
        check_counts(&[
            ("watch.streams_max", self.streams_max, 1_000_000),
            ("watch.snapshots_max", self.snapshots_max, 10_000),
            ("watch.receipts_max", self.receipts_max, 1_000_000),
            ("watch.ring_frames_max", self.ring_frames_max, 100_000_000),
        ])
    }
}
