//! The randomness of a run. One seed gives one run.

use std::{
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::SmallRng};

/// Dice that every part of a run shares. All parts run on one thread in a fixed order, so each draws the same again.
#[derive(Clone)]
pub struct Dice(Arc<Mutex<SmallRng>>);

impl Dice {
    /// Dice of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(SmallRng::seed_from_u64(seed))))
    }

    fn rng(&self) -> MutexGuard<'_, SmallRng> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number.
    #[must_use]
    pub fn number(&self, range: RangeInclusive<u64>) -> u64 {
        self.rng().random_range(range)
    }

    /// An index below `length`.
    #[must_use]
    pub fn index(&self, length: usize) -> usize {
        self.rng().random_range(0..length)
    }

    /// A duration, in microseconds.
    #[must_use]
    pub fn duration(&self, micros: RangeInclusive<u64>) -> Duration {
        Duration::from_micros(self.number(micros))
    }

    /// A duration, in milliseconds.
    #[must_use]
    pub fn millis(&self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.number(range))
    }

    /// Whether something happens that happens once in `times`.
    #[must_use]
    pub fn once_in(&self, times: u64) -> bool {
        self.number(1..=times) == 1
    }

    /// A digest that no other has.
    #[must_use]
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng().fill(&mut bytes[..]);
        bytes
    }
}
