//! Instants by the database's clock.

use std::time::Duration;

/// Microseconds since 1970, by the database's clock. No other clock makes one.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    serde::Deserialize,
    serde::Serialize,
)]
pub struct Micros(pub i64);

impl Micros {
    /// Seconds since 1970, rounded down.
    #[must_use]
    pub fn seconds(self) -> u64 {
        // Claims of tokens have no times before 1970.
        u64::try_from(self.0 / 1_000_000).unwrap_or(0)
    }

    /// The instant `duration` later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        // Saturates: a very long configured duration must not wrap into the past.
        Self(self.0.saturating_add(span(duration)))
    }

    /// The time since `earlier`. Zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        // The database's clock may step back. Such time counts as none, so nothing becomes too old by it.
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// A duration in microseconds, as the stores count.
#[must_use]
pub fn span(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_neither_wrap_nor_run_backwards() {
        let second = Duration::from_secs(1);
        assert_eq!(Micros(1_999_999).seconds(), 1);
        assert_eq!(Micros(-1).seconds(), 0);
        assert_eq!(Micros(5).after(second), Micros(1_000_005));
        assert_eq!(Micros(5).after(Duration::MAX), Micros(i64::MAX));
        assert_eq!(Micros(1_000_005).since(Micros(5)), second);
        assert_eq!(Micros(5).since(Micros(6)), Duration::ZERO);
        assert_eq!(Micros(i64::MIN).since(Micros(i64::MAX)), Duration::ZERO);
        assert_eq!(span(second), 1_000_000);
        assert_eq!(span(Duration::MAX), i64::MAX);
    }
}
