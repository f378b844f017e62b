//! Turns of the log: a turn forgets revocations after the longest lifetime of a token.
//!
//! The database's clock alone cannot decide when to turn. Two forward steps of it within one token lifetime would make two
//! turns, and a revoked token would be accepted. So authorities also count the time that passes by monotonic clocks, one
//! authority at a time, and a turn needs both. A restart delays a turn and never hastens one.
//!
//! A clock that was ahead and is set right again is another danger: tokens whose revocations turns have forgotten become
//! valid again. So each turn raises the floor of the clock. Below the floor nothing proves a gate fresh, until everyone
//! has been signed out.

use std::time::Duration;

use super::{Micros, time::span};

/// A generation is kept for the longest life of a token and this much more. Clocks drift, and time servers correct the
/// database's clock by small steps back.
pub const TURN_MARGIN: Duration = Duration::from_secs(60 * 60);

/// Ticks without a count after which another authority takes over.
const SILENT_TICKS: u32 = 3;
/// The most ticks that one count may add. An authority that was suspended must not add the whole pause.
const TICKS_MAX: u32 = 2;

/// The time since the last turn, as the installation records it.
#[derive(Clone, Copy, Debug)]
pub struct SinceTurn {
    /// The time of the turn, by the database's clock or the latest that this clock had shown.
    pub turned: Micros,
    /// The latest that the database's clock has shown. Tokens that were issued then may still be alive.
    pub latest: Micros,
    /// The time that authorities have counted, in microseconds.
    pub counted_us: i64,
    /// The floor of the database's clock ([`is_set_back`]).
    pub clock_floor: Micros,
}

/// Whether the database's clock is below its floor: the earliest time at which everything has expired that gates have
/// forgotten.
///
/// Then a revoked token may be valid again by this clock, and no gate may be told that it is up to date.
#[must_use]
pub fn is_set_back(clock: Micros, floor: Micros) -> bool {
    clock < floor
}

impl SinceTurn {
    /// Whether a turn is due.
    #[must_use]
    pub fn is_due(&self, period: Duration, now: Micros) -> bool {
        let period = span(period);
        // Both: the clock may step forward, and counted time knows nothing of tokens that a clock ahead has dated.
        self.counted_us >= period && self.turned.0.saturating_add(period) <= now.0
    }

    /// The time to record for a turn at `now`.
    #[must_use]
    pub fn turning_at(&self, now: Micros) -> Micros {
        // A clock that was ahead may have issued tokens that live until then.
        now.max(self.latest)
    }

    /// The floor of the clock after a turn. `life` is the longest life of a token.
    #[must_use]
    pub fn floor_after_turn(&self, life: Duration) -> Micros {
        // The turn forgets what was revoked before the last turn, and those tokens were issued before it. Without the
        // margin of the turn: a step back that is smaller than the margin stays above the floor.
        self.clock_floor.max(self.turned.after(life))
    }
}

/// The authority that counts, as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counting {
    /// The authority's id. None until the first one begins.
    pub by: Option<[u8; 16]>,
    /// A number that changes with each count and each turn.
    pub number: i64,
}

/// The action of an authority at a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Count this much.
    Add(Duration),
    /// Begin to count, with nothing.
    Begin,
    /// Leave the counting to another authority.
    Wait,
}

impl Counting {
    /// Decides the action of the authority `me`.
    ///
    /// `mine` is the number after its last count and the time since. `unchanged` is the time for which it has seen this
    /// very state.
    #[must_use]
    pub fn decide(
        &self,
        me: &[u8; 16],
        mine: Option<(i64, Duration)>,
        unchanged: Duration,
        tick: Duration,
    ) -> Count {
        match (self.by, mine) {
            (Some(by), Some((number, passed))) if by == *me && number == self.number => {
                Count::Add(passed.min(tick * TICKS_MAX))
            }
            // Either its own count whose answer was lost, or a turn. The time until now may already be counted.
            (Some(by), _) if by == *me => Count::Begin,
            (Some(_), _) if unchanged < tick * SILENT_TICKS => Count::Wait,
            // Nobody counts, or the one that did is silent. Its last count may be under way, so nothing is added.
            _ => Count::Begin,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const TICK: Duration = Duration::from_secs(60);
    const ME: [u8; 16] = [1; 16];
    const OTHER: [u8; 16] = [2; 16];

    fn since(turned_s: i64, latest_s: i64, counted_s: i64) -> SinceTurn {
        SinceTurn {
            turned: Micros(turned_s * 1_000_000),
            latest: Micros(latest_s * 1_000_000),
            counted_us: counted_s * 1_000_000,
            clock_floor: Micros(0),
        }
    }

    #[test]
    fn a_step_back_behind_a_turn_is_noticed_and_one_within_the_margin_is_not() {
        let life = HOUR;
        let now = Micros(0).after(10 * HOUR);
        let turned = Micros(0).after(8 * HOUR);
        let since = SinceTurn {
            turned,
            latest: now,
            counted_us: span(life + TURN_MARGIN),
            clock_floor: Micros(0),
        };
        assert!(since.is_due(life + TURN_MARGIN, now));

        let floor = since.floor_after_turn(life);
        assert_eq!(
            floor,
            turned.after(life),
            "the last forgotten token expires"
        );
        assert!(!is_set_back(now, floor));
        assert!(!is_set_back(Micros(now.0 - span(TURN_MARGIN)), floor));
        assert!(is_set_back(Micros(now.0 - span(TURN_MARGIN) - 1), floor));
    }

    #[test]
    fn the_floor_of_the_clock_never_sinks_by_a_turn() {
        let since = SinceTurn {
            clock_floor: Micros(0).after(9 * HOUR),
            ..since(3_600, 7_200, 3_600)
        };
        assert_eq!(since.floor_after_turn(HOUR), Micros(0).after(9 * HOUR));
    }

    #[test]
    fn a_turn_needs_both_the_clock_and_the_counted_time() {
        let now = Micros(10_000 * 1_000_000);
        assert!(since(6_400, 10_000, 3_600).is_due(HOUR, now));
        assert!(!since(6_401, 10_000, 3_600).is_due(HOUR, now));
        assert!(!since(0, 10_000, 3_599).is_due(HOUR, now), "a step forward");
    }

    #[test]
    fn a_clock_that_was_ahead_delays_the_turn_after_the_next() {
        let now = Micros(10_000 * 1_000_000);
        let ahead = since(6_400, 90_000, 3_600);
        assert!(ahead.is_due(HOUR, now));
        let turned = ahead.turning_at(now);
        assert_eq!(
            turned,
            Micros(90_000 * 1_000_000),
            "tokens may live from then"
        );
        let next = SinceTurn { turned, ..ahead };
        assert!(!next.is_due(HOUR, now.after(2 * HOUR)));
    }

    #[test]
    fn one_authority_counts_and_another_goes_on_when_it_is_silent() {
        let state = |by, number| Counting { by, number };
        let decide = |state: Counting, mine, unchanged| state.decide(&ME, mine, unchanged, TICK);
        assert_eq!(decide(state(None, 0), None, TICK), Count::Begin);
        let mine = state(Some(ME), 4);
        assert_eq!(decide(mine, Some((4, TICK)), TICK), Count::Add(TICK));
        assert_eq!(decide(mine, Some((4, HOUR)), TICK), Count::Add(2 * TICK));
        assert_eq!(
            decide(mine, Some((3, TICK)), TICK),
            Count::Begin,
            "a lost answer is not counted twice"
        );
        let others = state(Some(OTHER), 4);
        assert_eq!(decide(others, Some((4, TICK)), TICK), Count::Wait);
        assert_eq!(decide(others, None, 3 * TICK), Count::Begin);
    }
}
