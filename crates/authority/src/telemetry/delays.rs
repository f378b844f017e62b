//! The delays of enforcement of the last hour, as operators see them.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// The upper bound of the first bucket.
const FIRST_BOUND: Duration = Duration::from_micros(500);
/// Each bucket ends at this many times the bound of the one before: two buckets double the delay.
const FACTOR: f64 = std::f64::consts::SQRT_2;
/// The last bucket ends beyond a minute, which is the largest staleness by default. Longer delays count in it.
const BUCKETS: usize = 36;
/// The time that is shown.
const SPAN: Duration = Duration::from_secs(60 * 60);
/// The time of one part, which is forgotten as a whole.
const PART: Duration = Duration::from_secs(60);

/// The delays of the last hour, in parts.
#[derive(Debug, Default)]
pub(super) struct LastHour {
    parts: VecDeque<Part>,
}

#[derive(Debug)]
struct Part {
    begun: Instant,
    delays: EnforcementDelays,
}

/// A distribution of delays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EnforcementDelays {
    buckets: [u32; BUCKETS],
    /// Gates that did not confirm in time.
    pub(crate) missed: u64,
    pub(crate) max: Duration,
}

impl Default for EnforcementDelays {
    fn default() -> Self {
        Self {
            buckets: [0; BUCKETS],
            missed: 0,
            max: Duration::ZERO,
        }
    }
}

impl LastHour {
    pub(super) fn add(&mut self, delay: Duration, now: Instant) {
        let delays = self.part(now);
        let bucket = &mut delays.buckets[bucket_of(delay)];
        *bucket = bucket.saturating_add(1);
        delays.max = delays.max.max(delay);
    }

    pub(super) fn add_missed(&mut self, missed: u32, now: Instant) {
        self.part(now).missed += u64::from(missed);
    }

    pub(super) fn delays(&mut self, now: Instant) -> EnforcementDelays {
        self.forget(now);
        let mut all = EnforcementDelays::default();
        for part in &self.parts {
            for (sum, count) in all.buckets.iter_mut().zip(part.delays.buckets) {
                *sum = sum.saturating_add(count);
            }
            all.missed += part.delays.missed;
            all.max = all.max.max(part.delays.max);
        }
        all
    }

    fn part(&mut self, now: Instant) -> &mut EnforcementDelays {
        self.forget(now);
        let newest = self.parts.back();
        if newest.is_none_or(|part| part.age(now) >= PART) {
            self.parts.push_back(Part {
                begun: now,
                delays: EnforcementDelays::default(),
            });
        }
        let last = self.parts.len() - 1;
        &mut self.parts[last].delays
    }

    fn forget(&mut self, now: Instant) {
        while let Some(oldest) = self.parts.front()
            && oldest.age(now) >= SPAN
        {
            self.parts.pop_front();
        }
    }
}

impl Part {
    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.begun)
    }
}

impl EnforcementDelays {
    /// The number of delays.
    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().map(|count| u64::from(*count)).sum()
    }

    /// A delay that this part of all delays does not exceed. Zero: there is none.
    pub(crate) fn quantile(&self, part: f64) -> Duration {
        let wanted = (self.count() as f64 * part).ceil() as u64;
        let mut seen = 0;
        for (bound, count) in self.buckets() {
            seen += count;
            if seen >= wanted.max(1) {
                // No delay is above the longest one.
                return bound.min(self.max);
            }
        }
        Duration::ZERO
    }

    /// The upper bound and the number of each bucket.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let counts = self.buckets.iter().enumerate();
        counts.map(|(index, count)| (bound(index), u64::from(*count)))
    }
}

fn bucket_of(delay: Duration) -> usize {
    let index = (0..BUCKETS).find(|index| delay <= bound(*index));
    index.unwrap_or(BUCKETS - 1)
}

fn bound(index: usize) -> Duration {
    FIRST_BOUND.mul_f64(FACTOR.powi(i32::try_from(index).unwrap_or(i32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_a_bound_that_so_many_delays_keep() {
        let now = Instant::now();
        let mut hour = LastHour::default();
        assert_eq!(hour.delays(now).quantile(0.5), Duration::ZERO);
        for millis in 1..=100 {
            hour.add(Duration::from_millis(millis), now);
        }
        let delays = hour.delays(now);
        assert_eq!(delays.count(), 100);
        assert_eq!(delays.max, Duration::from_millis(100));
        for (part, exact) in [(0.5, 50.0), (0.9, 90.0), (0.99, 99.0)] {
            let quantile = delays.quantile(part).as_secs_f64() * 1_000.0;
            assert!(quantile >= exact && quantile <= exact * FACTOR, "{part}");
        }
        assert_eq!(delays.quantile(1.0), delays.max);
    }

    #[test]
    fn an_hour_later_all_is_forgotten_and_it_never_grows() {
        let now = Instant::now();
        let mut hour = LastHour::default();
        for second in 0..3 * 3_600 {
            let at = now + Duration::from_secs(second);
            hour.add(Duration::from_millis(1), at);
            hour.add_missed(1, at);
        }
        assert!(hour.parts.len() <= 61);
        let last = now + Duration::from_secs(3 * 3_600 - 1);
        let delays = hour.delays(last);
        assert!(delays.count() >= 3_540 && delays.count() <= 3_660);
        assert_eq!(delays.missed, delays.count());
        assert_eq!(hour.delays(last + SPAN).count(), 0);
    }

    #[test]
    fn the_longest_delays_are_kept() {
        assert!(bound(BUCKETS - 1) > Duration::from_secs(60));
        assert_eq!(bucket_of(Duration::from_secs(86_400)), BUCKETS - 1);
        assert_eq!(bucket_of(Duration::ZERO), 0);
    }
}
