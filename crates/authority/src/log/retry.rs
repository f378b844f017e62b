//! Backoff with jitter.

use std::time::Duration;

/// Pauses that double up to a bound. Each is shortened by a random part, so that calls which failed together do not
/// come back together.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    next: Duration,
    max: Duration,
}

impl Backoff {
    /// Pauses from `first` up to `max`.
    #[must_use]
    pub fn new(first: Duration, max: Duration) -> Self {
        Self { next: first, max }
    }

    /// Returns the next pause: between a half and the whole of the step.
    #[must_use]
    pub fn step(&mut self) -> Duration {
        // Never less than a half, so that the pauses still grow.
        let whole = self.next;
        self.next = (whole * 2).min(self.max);
        let [random] = crate::keys::random::<1>();
        whole / 2 + whole / 2 * u32::from(random) / 255
    }
}
