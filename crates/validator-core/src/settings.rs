//! Settings of an engine, with their bounds.

use std::{ops::RangeInclusive, time::Duration};

use portcullis_contract::token::Expected;

use crate::{first_sight::ForgedRates, state::Mode};

/// The bounds of [`Settings::activity_tokens_max`].
const ACTIVITY_TOKENS: RangeInclusive<usize> = 1..=100_000_000;
/// The bounds of [`Settings::clock_skew_max`].
///
/// Two turns of the log are a token's life and an hour apart. A clock that is wrong by the upper bound takes a half of
/// that hour.
const CLOCK_SKEW: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(30 * 60);
/// The least [`Settings::max_staleness`].
const STALENESS_MIN: Duration = Duration::from_millis(100);

/// Settings of an engine. [`Settings::new`] has the defaults.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The issuer and the audience that tokens must name. Both are required.
    pub expected: Expected,
    /// The behaviour without a proof of freshness. Default: strict.
    pub mode: Mode,
    /// The age up to which a proof of freshness counts. Default 5 s; at least 100 ms.
    pub max_staleness: Duration,
    /// The most by which this machine's clock may differ from the database's. Default 5 min; 1 s to 30 min.
    pub clock_skew_max: Duration,
    /// The most access tokens in the cache. Default 100,000; a few hundred bytes each.
    pub cached_tokens_max: usize,
    /// The most API keys in the cache. Default 10,000; a few hundred bytes each.
    pub cached_api_keys_max: usize,
    /// Whether the use of tokens is tracked, for reports to the authority. Default true.
    pub track_activity: bool,
    /// The most tokens with a tracked use. Default 200,000; a few hundred bytes each.
    pub activity_tokens_max: usize,
    /// The most bad tokens in a second before their sources are refused. Default 20 and 4,000.
    pub forged: ForgedRates,
}

impl Settings {
    /// Returns the defaults for an issuer and an audience.
    #[must_use]
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        Self {
            expected: Expected {
                issuer: issuer.into(),
                audience: Some(audience.into()),
            },
            // The safe choice: an operator who prefers availability has to say so.
            mode: Mode::Strict,
            max_staleness: Duration::from_secs(5),
            clock_skew_max: Duration::from_secs(5 * 60),
            cached_tokens_max: 100_000,
            cached_api_keys_max: 10_000,
            track_activity: true,
            activity_tokens_max: 200_000,
            forged: ForgedRates::default(),
        }
    }

    /// Checks the bounds.
    ///
    /// # Errors
    /// The first setting that is missing or out of its bounds.
    pub fn check(&self) -> Result<(), BuildError> {
        require(!self.expected.issuer.is_empty(), "issuer", "is required")?;
        // An engine that accepts every audience would take tokens that are meant for others.
        let has_audience = self
            .expected
            .audience
            .as_ref()
            .is_some_and(|audience| !audience.is_empty());
        require(has_audience, "audience", "is required")?;
        require(
            self.max_staleness >= STALENESS_MIN,
            "max_staleness",
            "must be at least 100 ms",
        )?;
        require(
            CLOCK_SKEW.contains(&self.clock_skew_max),
            "clock_skew_max",
            "must be from 1 s to 30 min",
        )?;
        require(
            self.cached_tokens_max > 0,
            "cached_tokens_max",
            "must be at least 1",
        )?;
        require(
            self.forged.source > 0 && self.forged.in_all > 0,
            "forged_tokens_max",
            "must be at least 1",
        )?;
        require(
            self.cached_api_keys_max > 0,
            "cached_api_keys_max",
            "must be at least 1",
        )?;
        require(
            ACTIVITY_TOKENS.contains(&self.activity_tokens_max),
            "activity_tokens_max",
            "must be from 1 to 100,000,000",
        )
    }
}

fn require(holds: bool, setting: &'static str, problem: &str) -> Result<(), BuildError> {
    if holds {
        return Ok(());
    }
    Err(BuildError {
        setting,
        problem: problem.to_owned(),
    })
}

/// The error for a setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {problem}")]
pub struct BuildError {
    /// The name of the setting.
    pub setting: &'static str,
    /// The problem with it. Never a secret value.
    pub problem: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The setting that is refused after this change, if one is.
    fn refused(change: impl FnOnce(&mut Settings)) -> Option<&'static str> {
        let mut settings = Settings::new("i", "a");
        change(&mut settings);
        settings.check().err().map(|error| error.setting)
    }

    #[test]
    fn the_defaults_and_the_bounds_themselves_are_good() {
        assert_eq!(refused(|_| ()), None);
        assert_eq!(
            refused(|s| s.max_staleness = Duration::from_millis(100)),
            None
        );
        for skew in [1, 30 * 60] {
            assert_eq!(
                refused(|s| s.clock_skew_max = Duration::from_secs(skew)),
                None
            );
        }
        for tokens in [1, 100_000_000] {
            assert_eq!(refused(|s| s.activity_tokens_max = tokens), None);
        }
        assert_eq!(refused(|s| s.cached_tokens_max = 1), None);
        assert_eq!(refused(|s| s.cached_api_keys_max = 1), None);
    }

    #[test]
    fn a_setting_out_of_its_bounds_is_named() {
        let second = Duration::from_secs(1);
        let cases = [
            (refused(|s| s.expected.issuer.clear()), "issuer"),
            (refused(|s| s.expected.audience = None), "audience"),
            (
                refused(|s| s.expected.audience = Some(String::new())),
                "audience",
            ),
            (
                refused(|s| s.max_staleness = Duration::from_millis(99)),
                "max_staleness",
            ),
            (
                refused(|s| s.clock_skew_max = Duration::from_millis(999)),
                "clock_skew_max",
            ),
            (
                refused(|s| s.clock_skew_max = 1_800 * second + second),
                "clock_skew_max",
            ),
            (refused(|s| s.cached_tokens_max = 0), "cached_tokens_max"),
            (refused(|s| s.forged.source = 0), "forged_tokens_max"),
            (refused(|s| s.forged.in_all = 0), "forged_tokens_max"),
            (
                refused(|s| s.cached_api_keys_max = 0),
                "cached_api_keys_max",
            ),
            (
                refused(|s| s.activity_tokens_max = 0),
                "activity_tokens_max",
            ),
            (
                refused(|s| s.activity_tokens_max = 100_000_001),
                "activity_tokens_max",
            ),
        ];
        for (refused, expected) in cases {
            assert_eq!(refused, Some(expected));
        }
    }
}
