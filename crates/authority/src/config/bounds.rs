//! Checks that a setting is within its bounds.
//!
//! Counts have an upper bound because semaphores and channels panic above some number; durations because sums with
//! them must not overflow, and because a day in place of a second is a mistake that nobody would notice otherwise.

use std::{ops::RangeInclusive, time::Duration};

pub(super) use portcullis_serving::config::check_range;

use super::ConfigError;

pub(super) const MILLISECOND: Duration = Duration::from_millis(1);
pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(60 * 60);
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
// A setting of `1year` is 365.25 days for humantime, and must be within a bound of a year.
pub(super) const YEAR: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Upper bounds for counts. The lower bound is 1.
pub(super) fn check_counts(settings: &[(&str, usize, usize)]) -> Result<(), ConfigError> {
    for (key, value, max) in settings {
        check_range(key, value, &(1..=*max))?;
    }
    Ok(())
}

pub(super) fn check_durations(
    settings: &[(&str, Duration, RangeInclusive<Duration>)],
) -> Result<(), ConfigError> {
    for (key, value, range) in settings {
        check_range(key, value, range)?;
    }
    Ok(())
}

pub(super) fn check_not_empty(key: &str, is_empty: bool) -> Result<(), ConfigError> {
    if is_empty {
        return Err(ConfigError::new(key, "must not be empty"));
    }
    Ok(())
}
