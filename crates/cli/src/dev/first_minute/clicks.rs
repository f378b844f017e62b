//! The time of the last click: of the last request that could change something.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A refusal that follows a click by more than this has another cause: a timeout, or a call in a terminal.
const RELATED_MAX: Duration = Duration::from_secs(5);

/// Remembers the last click. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Clicks {
    last: Arc<Mutex<Option<Instant>>>,
}

impl Clicks {
    /// The time since the last click, unless it was so long ago that nothing now is its effect.
    pub(super) fn since_last(&self) -> Option<Duration> {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let since = last?.elapsed();
        (since <= RELATED_MAX).then_some(since)
    }

    pub(super) fn record(&self) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(Instant::now());
    }
}
