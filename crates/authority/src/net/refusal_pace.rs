//! The pace of refusals: a caller that comes back as fast as it is refused waits for its next refusal.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// The refusals that one caller gets at once, before the pace begins.
const BURST: u32 = 20;
/// The time between two refusals of one caller after that.
const INTERVAL: Duration = Duration::from_millis(50);
/// The longest wait for a refusal. A refused caller is told to come back after this time.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// The most callers with a pace of their own. Further ones are refused at once.
const KEYS_MAX: usize = 10_000;

/// The time of the next refusal of each caller.
///
/// A refusal costs a request's way in and out, and a crowd that repeats its calls without a pause pays nothing for it.
/// The pause makes such a crowd as slow as it was asked to be. A caller that is refused now and then never waits.
pub(crate) struct RefusalPace<K> {
    /// The time at which each caller's refusals so far are paid for.
    paid: Mutex<HashMap<K, Instant>>,
}

impl<K: Clone + Eq + Hash> RefusalPace<K> {
    pub(crate) fn new() -> Self {
        Self {
            paid: Mutex::default(),
        }
    }

    /// Records a refusal, and returns the time to wait before it is sent.
    pub(crate) fn record(&self, key: &K, now: Instant) -> Duration {
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        if paid.len() >= KEYS_MAX && !paid.contains_key(key) {
            paid.retain(|_, until| *until > now);
            if paid.len() >= KEYS_MAX {
                return Duration::ZERO;
            }
        }

        let until = paid.entry(key.clone()).or_insert(now);
        let free = INTERVAL * BURST;
        // Bounded, so that a caller that behaves again is refused at once a second later.
        let latest = now + free + PAUSE_MAX;
        *until = ((*until).max(now) + INTERVAL).min(latest);
        until.duration_since(now).saturating_sub(free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_waits_and_others_do_not() {
        let (pace, begun) = (RefusalPace::new(), Instant::now());
        for _ in 0..BURST {
            assert_eq!(pace.record(&"crowd", begun), Duration::ZERO);
        }
        assert_eq!(pace.record(&"crowd", begun), INTERVAL);
        for _ in 0..1_000 {
            assert!(pace.record(&"crowd", begun) <= PAUSE_MAX);
        }
        assert_eq!(pace.record(&"crowd", begun), PAUSE_MAX);
        assert_eq!(pace.record(&"other", begun), Duration::ZERO);
    }

    #[test]
    fn a_caller_that_waits_as_it_was_told_is_refused_at_once() {
        let pace = RefusalPace::new();
        let mut now = Instant::now();
        for _ in 0..1_000 {
            pace.record(&"crowd", now);
        }
        now += PAUSE_MAX + INTERVAL;
        assert_eq!(pace.record(&"crowd", now), Duration::ZERO);
        for _ in 0..100 {
            now += PAUSE_MAX;
            assert_eq!(pace.record(&"patient", now), Duration::ZERO);
        }
    }

    #[test]
    fn memory_is_bounded_whoever_comes() {
        let (pace, begun) = (RefusalPace::new(), Instant::now());
        for key in 0..KEYS_MAX + 1_000 {
            assert_eq!(pace.record(&key, begun), Duration::ZERO);
        }
        assert_eq!(pace.paid.lock().expect("no panic").len(), KEYS_MAX);
        // Callers whose refusals are paid for give their place up.
        pace.record(&usize::MAX, begun + PAUSE_MAX);
        assert_eq!(pace.paid.lock().expect("no panic").len(), 1);
    }
}
