//! The size of batches, adjusted to the time that recent ones took.

use std::time::Duration;

/// The smallest bound on the targets of a batch.
const TARGETS_MIN: usize = 16;

/// The largest bound on the targets of a batch.
const TARGETS_MAX: usize = 4_096;

/// The bound before any batch was measured.
const TARGETS_FIRST: usize = 256;

/// The bound on the targets of a batch with which it takes about the time that it should.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    goal: Duration,
    targets_max: usize,
}

impl Pace {
    pub(super) fn new(goal: Duration) -> Self {
        Self {
            goal,
            targets_max: TARGETS_FIRST,
        }
    }

    /// The most targets of the next batch.
    pub(super) fn targets_max(&self) -> usize {
        self.targets_max
    }

    /// Adjusts the bound after a batch. A batch that was too slow lowers it at once, at most to a half. A fast batch that
    /// used up at least half of the bound raises it by a quarter.
    pub(super) fn record(&mut self, targets: usize, took: Duration) {
        // A batch of one target cannot be made smaller, so its time says nothing about the bound.
        if took > self.goal && targets > 1 {
            // At most to a half, because a single pause of the disk must not shrink batches to nothing.
            let fitting = targets as f64 * self.goal.as_secs_f64() / took.as_secs_f64();
            let half = self.targets_max / 2;
            self.targets_max = (fitting as usize).clamp(half, self.targets_max);
        } else if took < self.goal / 2 && targets * 2 >= self.targets_max {
            // A small batch that was fast says nothing about large ones.
            self.targets_max += self.targets_max.div_ceil(4);
        }
        self.targets_max = self.targets_max.clamp(TARGETS_MIN, TARGETS_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size after `batches` that are as full as they may be, each target taking `each`.
    fn settled(each: Duration, batches: usize) -> usize {
        let mut pace = Pace::new(Duration::from_millis(20));
        for _ in 0..batches {
            let targets = pace.targets_max();
            pace.record(targets, each * u32::try_from(targets).expect("few"));
        }
        pace.targets_max()
    }

    #[test]
    fn batches_come_to_take_at_most_the_goal() {
        let slow = settled(Duration::from_micros(500), 20);
        assert!((16..=40).contains(&slow), "{slow}");
        let fast = settled(Duration::from_micros(20), 40);
        assert!((400..=1_000).contains(&fast), "{fast}");
    }

    #[test]
    fn the_size_stays_within_its_bounds() {
        assert_eq!(settled(Duration::from_secs(1), 100), TARGETS_MIN);
        assert_eq!(settled(Duration::ZERO, 100), TARGETS_MAX);
    }

    #[test]
    fn one_slow_entry_of_one_target_says_nothing_about_the_size() {
        let mut pace = Pace::new(Duration::from_millis(20));
        pace.record(1, Duration::from_secs(5));
        assert_eq!(pace.targets_max(), TARGETS_FIRST);
    }

    #[test]
    fn the_size_follows_the_time_of_a_batch() {
        let goal = Duration::from_millis(20);
        let after = |targets, took| {
            let mut pace = Pace::new(goal);
            pace.record(targets, took);
            pace.targets_max()
        };
        assert_eq!(after(256, goal), 256, "as it should be");
        assert_eq!(after(100, goal), 256, "and so is a smaller one");
        assert_eq!(after(256, goal + Duration::from_millis(5)), 204);
        assert_eq!(after(256, 10 * goal), 128, "at most to a half");
        assert_eq!(after(128, goal / 2 - Duration::from_millis(1)), 320);
        assert_eq!(after(128, goal / 2), 256, "fast is less than a half");
        assert_eq!(after(127, Duration::ZERO), 256, "it was small");
    }
}
