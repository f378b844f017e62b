//! Time towards the next turn of generations, counted by a clock that only moves forward.
//!
//! A database clock that is set forward would make a generation look old enough to forget while tokens of it still
//! live. So one authority at a time also counts the time by its process clock, and a turn needs both.

use std::time::{Duration, Instant};

use crate::{
    domain::{Count, Counting},
    store::{Store, StoreError},
};

/// This authority's part in counting.
pub(super) struct TurnCounter {
    id: [u8; 16],
    tick: Duration,
    mine: Option<LastCount>,
    seen: Option<Seen>,
}

/// The count that this authority made last.
#[derive(Clone, Copy)]
struct LastCount {
    number: i64,
    /// Time up to here is counted.
    until: Instant,
}

/// The state of counting that this authority read last.
#[derive(Clone, Copy)]
struct Seen {
    counting: Counting,
    since: Instant,
}

impl TurnCounter {
    /// A counter of the authority `id` that counts every `tick`.
    pub(super) fn new(id: [u8; 16], tick: Duration) -> Self {
        Self {
            id,
            tick,
            mine: None,
            seen: None,
        }
    }

    /// Counts the time that passed since the last call, if this authority is the one that counts.
    pub(super) async fn count(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let counting = store.turn_counting().await?;
        // Read after the state: time that another authority had counted by then must not be counted again.
        let now = Instant::now();

        // Silence is measured by this process, too: the clock of the database is the one that is not trusted here.
        let unchanged = self.time_unchanged(counting, now);
        let mine = self.mine.map(|last| {
            let passed = now.saturating_duration_since(last.until);
            (last.number, passed)
        });
        let passed = match counting.decide(&self.id, mine, unchanged, self.tick) {
            Count::Add(passed) => passed,
            Count::Begin => Duration::ZERO,
            Count::Wait => return Ok(()),
        };

        // Forgotten before the write. If its answer is lost, the time until the next count is lost too; counting it
        // twice would let a turn come too early.
        self.mine = None;
        let is_counted = store
            .count_towards_turn(&self.id, counting.number, passed)
            .await?;
        if is_counted {
            self.mine = Some(LastCount {
                // Any other number at the next call shows that a turn or another authority came in between.
                number: counting.number + 1,
                until: now,
            });
        }
        Ok(())
    }

    /// How long the state has been the same, as far as this authority saw.
    fn time_unchanged(&mut self, counting: Counting, now: Instant) -> Duration {
        if let Some(seen) = self.seen
            && seen.counting == counting
        {
            return now.saturating_duration_since(seen.since);
        }
        self.seen = Some(Seen {
            counting,
            since: now,
        });
        Duration::ZERO
    }
}
