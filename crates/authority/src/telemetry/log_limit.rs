//! A bound for the log lines about one kind of trouble.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Admits one line per interval, and counts the others.
#[derive(Debug)]
pub(crate) struct LogLimit {
    interval: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    unlogged: u64,
}

impl LogLimit {
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            interval,
            state: Mutex::default(),
        }
    }

    /// Returns how many lines were left out since the last one. None: this one is to be left out too.
    pub(crate) fn admit(&self) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = state.last
            && last.elapsed() < self.interval
        {
            state.unlogged += 1;
            return None;
        }
        state.last = Some(Instant::now());
        Some(std::mem::take(&mut state.unlogged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_within_the_interval_are_counted_instead() {
        let limit = LogLimit::new(Duration::from_secs(3600));
        assert_eq!(limit.admit(), Some(0));
        assert_eq!(limit.admit(), None);
        let none = LogLimit::new(Duration::ZERO);
        assert_eq!((none.admit(), none.admit()), (Some(0), Some(0)));
    }
}
