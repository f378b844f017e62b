//! Counts the time towards the next turn by this process's own clock, which only moves forward.

use std::time::{Duration, Instant};

use crate::{
    domain::{Count, Counting},
    store::{Store, StoreError},
};

/// This authority's part in counting.
pub(super) struct TurnCounter {
    id: [u8; 16],
    tick: Duration,
    /// The number of this authority's last count, and until when it has counted.
    mine: Option<(i64, Instant)>,
    /// The state that was seen last, and since when.
    seen: Option<(Counting, Instant)>,
}

impl TurnCounter {
    pub(super) fn new(id: [u8; 16], tick: Duration) -> Self {
        Self {
            id,
            tick,
            mine: None,
            seen: None,
        }
    }

    /// Counts what has passed since the last time, if it is this authority that counts.
    pub(super) async fn count(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let counting = store.turn_counting().await?;
        // After the read: what another authority had counted by then is not counted again.
        let now = Instant::now();
        let unchanged = self.unchanged(counting, now);
        let mine = self
            .mine
            .map(|(number, until)| (number, now.saturating_duration_since(until)));
        let passed = match counting.decide(&self.id, mine, unchanged, self.tick) {
            Count::Add(passed) => passed,
            Count::Begin => Duration::ZERO,
            Count::Wait => return Ok(()),
        };
        // Until the answer says otherwise nothing was counted, and the time until then is lost rather than doubled.
        self.mine = None;
        let counted = store.count_towards_turn(&self.id, counting.number, passed);
        if counted.await? {
            self.mine = Some((counting.number + 1, now));
        }
        Ok(())
    }

    /// How long the state has been what it is, as far as this authority saw.
    fn unchanged(&mut self, counting: Counting, now: Instant) -> Duration {
        match self.seen {
            Some((seen, since)) if seen == counting => now.saturating_duration_since(since),
            _ => {
                self.seen = Some((counting, now));
                Duration::ZERO
            }
        }
    }
}
