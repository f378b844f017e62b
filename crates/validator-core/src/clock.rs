//! The gate's own clock. Freshness goes by it alone; `database_clock` compares it with the database's.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// An instant by two clocks: the boot clock, which no administrator sets and which goes on while the machine is
/// suspended, and the wall clock, which also goes on while a virtual machine is saved and restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    boot: Duration,
    wall: Duration,
}

impl Mark {
    /// Reads both clocks.
    #[must_use]
    pub fn now() -> Self {
        Self {
            boot: read(ClockId::Boottime),
            // As of the kernel's last tick, up to 10 ms ago, at a quarter of the cost.
            wall: read(ClockId::RealtimeCoarse),
        }
    }

    /// Makes an instant of clocks that the host reads itself, for example those of a simulation.
    #[must_use]
    pub fn from_clocks(boot: Duration, wall: Duration) -> Self {
        Self { boot, wall }
    }

    /// The time since `earlier`: the greater of the two clocks' answers.
    ///
    /// A proof of freshness must not look younger than it is, so the clock that says "longer ago" is right.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Duration {
        let by_wall = self.wall.saturating_sub(earlier.wall);
        self.boot_since(earlier).max(by_wall)
    }

    /// The time since `earlier` by the boot clock.
    pub(crate) fn boot_since(&self, earlier: &Self) -> Duration {
        self.boot.saturating_sub(earlier.boot)
    }

    /// The wall clock, since 1970.
    pub(crate) fn wall(&self) -> Duration {
        self.wall
    }

    /// The boot clock, in milliseconds.
    pub(crate) fn millis(&self) -> u64 {
        self.boot.as_secs() * 1_000 + u64::from(self.boot.subsec_millis())
    }

    /// The boot clock, in microseconds.
    pub(crate) fn micros(&self) -> u64 {
        self.boot.as_secs() * 1_000_000 + u64::from(self.boot.subsec_micros())
    }

    #[cfg(test)]
    pub(crate) fn earlier_by(self, time: Duration) -> Self {
        Self {
            boot: self.boot.saturating_sub(time),
            wall: self.wall.saturating_sub(time),
        }
    }

    #[cfg(test)]
    pub(crate) fn at(boot: u64, wall: u64) -> Self {
        Self {
            boot: Duration::from_secs(boot),
            wall: Duration::from_secs(wall),
        }
    }
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    // A clock before its epoch reads as zero: ages then are too large, which refuses instead of accepting.
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_faster_clock_counts_and_none_runs_backwards() {
        let earlier = Mark::at(10, 1_000);
        assert_eq!(Mark::at(13, 1_002).since(&earlier), Duration::from_secs(3));
        assert_eq!(
            Mark::at(11, 1_500).since(&earlier),
            Duration::from_secs(500)
        );
        assert_eq!(Mark::at(12, 1).since(&earlier), Duration::from_secs(2));
        assert_eq!(Mark::at(1, 1).since(&earlier), Duration::ZERO);
    }

    #[test]
    fn the_boot_clock_is_read_in_two_units() {
        let mark = Mark::from_clocks(Duration::from_micros(3_004_005), Duration::ZERO);
        assert_eq!(mark.millis(), 3_004);
        assert_eq!(mark.micros(), 3_004_005);
    }

    #[test]
    fn time_passes() {
        let earlier = Mark::now();
        assert!(Mark::now().since(&earlier) < Duration::from_secs(5));
        assert!(Mark::now().wall() > Duration::from_secs(1_700_000_000));
    }
}
