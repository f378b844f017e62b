//! Checks that a setting is within its bounds.

use std::{fmt::Debug, ops::RangeInclusive};

use super::ConfigError;

/// Checks that a setting is within its bounds.
///
/// # Errors
/// When it is not. The text names the bounds.
pub fn check_range<T: PartialOrd + Debug>(
    key: &str,
    value: &T,
    range: &RangeInclusive<T>,
) -> Result<(), ConfigError> {
    if range.contains(value) {
        return Ok(());
    }
    let problem = format!("must be from {:?} to {:?}", range.start(), range.end());
    Err(ConfigError::new(key, problem))
}
