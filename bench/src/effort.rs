//! How much is measured.

use std::time::Duration;

/// How much is measured: all of it, or a tenth, to see that a row works.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    quick: bool,
}

/// The divisor of counts and times in a quick run.
const QUICK: u32 = 10;

impl Effort {
    pub(crate) fn new(quick: bool) -> Self {
        Self { quick }
    }

    /// A number of rounds or requests.
    pub(crate) fn count(self, full: usize) -> usize {
        match self.quick {
            true => (full / QUICK as usize).max(1),
            false => full,
        }
    }

    /// A duration of load.
    pub(crate) fn time(self, full: Duration) -> Duration {
        match self.quick {
            true => full / QUICK,
            false => full,
        }
    }
}
