//! The database's clock, as a gate knows it: tokens carry its times, so they are judged by it.

use std::time::Duration;

use crate::clock::Mark;

/// The database's clock as one beat told it.
///
/// Between two beats it goes on by the gate's boot clock, which no administrator sets. The gate's wall clock is only
/// compared with it, so a wall clock that is wrong or stepped judges no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DatabaseClock {
    asked: Mark,
    answered: Mark,
    /// The database's time since 1970, read between `asked` and `answered`.
    told: Duration,
}

/// The difference between the gate's wall clock and the database's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Skew {
    /// Microseconds that the gate is ahead; negative when it is behind.
    pub(crate) ahead_micros: i64,
    /// Half of the round trip: the true difference is no further away than this.
    pub(crate) uncertainty: Duration,
}

impl Skew {
    /// Returns whether the clocks differ by more than `bound` for certain.
    pub(crate) fn exceeds(&self, bound: Duration) -> bool {
        Duration::from_micros(self.ahead_micros.unsigned_abs()) > bound + self.uncertainty
    }
}

impl DatabaseClock {
    pub(crate) fn new(asked: Mark, answered: Mark, told: Duration) -> Self {
        Self {
            asked,
            answered,
            told,
        }
    }

    /// The database's time at `now`, in whole seconds since 1970: never earlier than the truth.
    #[inline]
    pub(crate) fn unix_seconds(&self, now: &Mark) -> u64 {
        // Counted from when the beat was asked for: the round trip makes tokens expire early instead of late.
        (self.told + now.since(&self.asked)).as_secs()
    }

    /// The same by the boot clock alone, which cannot be stepped. It stands still while a virtual machine is saved.
    pub(crate) fn unstepped_unix_seconds(&self, now: &Mark) -> u64 {
        (self.told + now.boot_since(&self.asked)).as_secs()
    }

    /// Returns whether the two clocks of the gate went on differently since the beat, by more than they can drift.
    pub(crate) fn was_stepped(&self, now: &Mark) -> bool {
        // `since` is the greater of both clocks, so a step backwards shows nothing here: the boot clock decided anyway.
        let difference = now.since(&self.asked) - now.boot_since(&self.asked);
        difference > Duration::from_secs(1)
    }

    /// The skew of the gate's wall clock at `now`. A step of the wall clock shows at once.
    #[inline]
    pub(crate) fn skew(&self, now: &Mark) -> Skew {
        let uncertainty = self.answered.boot_since(&self.asked) / 2;
        // The database read its clock in the middle, give or take the uncertainty.
        let here = self.told + now.boot_since(&self.asked).saturating_sub(uncertainty);
        // The wall clock takes part here alone. Everything else goes by the boot clock.
        let ahead = micros(now.wall()).saturating_sub(micros(here));
        Skew {
            ahead_micros: ahead,
            uncertainty,
        }
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_secs(300);

    /// Asked at 100 s after the start and answered 2 s later by a database whose clock is the true one.
    fn clock(wall_ahead: i64) -> (DatabaseClock, impl Fn(u64) -> Mark) {
        let wall = move |boot: u64| (1_000_000 + boot).saturating_add_signed(wall_ahead);
        let mark = move |boot: u64| Mark::at(boot, wall(boot));
        let told = Duration::from_secs(1_000_101);
        (DatabaseClock::new(mark(100), mark(102), told), mark)
    }

    #[test]
    fn a_wall_clock_that_is_wrong_is_noticed_and_judges_nothing() {
        for ahead in [-7_200, -302, 302, 7_200] {
            let (clock, mark) = clock(ahead);
            let skew = clock.skew(&mark(110));
            assert_eq!(skew.ahead_micros, ahead * 1_000_000);
            assert!(skew.exceeds(BOUND));
            // The truth is 1,000,110; half a round trip of doubt goes to the side that refuses.
            assert_eq!(clock.unix_seconds(&mark(110)), 1_000_111);
        }
        for ahead in [-299, 0, 299] {
            let (clock, mark) = clock(ahead);
            assert!(!clock.skew(&mark(110)).exceeds(BOUND));
        }
    }

    #[test]
    fn a_step_of_the_wall_clock_shows_before_the_next_beat() {
        let (clock, _) = clock(0);
        let forwards = Mark::at(110, 1_000_110 + 7_200);
        assert!(clock.skew(&forwards).exceeds(BOUND));
        // One of the two says that the time has come and the other does not: neither is believed.
        assert_eq!(clock.unix_seconds(&forwards), 1_000_101 + 7_210);
        assert_eq!(clock.unstepped_unix_seconds(&forwards), 1_000_111);
        let backwards = Mark::at(110, 1_000_110 - 7_200);
        assert!(clock.skew(&backwards).exceeds(BOUND));
        assert_eq!(clock.unix_seconds(&backwards), 1_000_111);
    }

    #[test]
    fn a_skew_of_the_bound_itself_is_allowed() {
        let uncertainty = Duration::from_secs(1);
        for (ahead_micros, exceeds) in [
            (301_000_000, false),
            (301_000_001, true),
            (-301_000_000, false),
            (-301_000_001, true),
        ] {
            let skew = Skew {
                ahead_micros,
                uncertainty,
            };
            assert_eq!(skew.exceeds(BOUND), exceeds, "{ahead_micros}");
        }
    }

    #[test]
    fn a_slow_answer_makes_no_skew() {
        let asked = Mark::at(100, 1_000_100);
        let answered = Mark::at(1_100, 1_001_100);
        for told in [1_000_100, 1_001_100] {
            let clock = DatabaseClock::new(asked, answered, Duration::from_secs(told));
            assert!(!clock.skew(&answered).exceeds(BOUND), "{told}");
        }
    }
}
