//! Token buckets by key, in bounded memory.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// The most keys with a bucket of their own. A key that loses its bucket gets a full one again.
const KEYS_MAX: usize = 100_000;

/// A bucket for each key, filled at one rate. A full bucket needs no memory.
pub(super) struct Buckets<K> {
    per_second: f64,
    burst: f64,
    buckets: Mutex<HashMap<K, Bucket>>,
}

struct Bucket {
    tokens: f64,
    at: Instant,
}

impl<K: Clone + Eq + Hash> Buckets<K> {
    pub(super) fn new(per_minute: u32, burst: u32) -> Self {
        Self {
            per_second: f64::from(per_minute) / 60.0,
            burst: f64::from(burst),
            buckets: Mutex::default(),
        }
    }

    /// Takes `count` tokens of a key.
    ///
    /// # Errors
    /// The time until there are so many. Nothing was taken.
    pub(super) fn take(&self, key: &K, count: usize, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= KEYS_MAX && !buckets.contains_key(key) {
            self.make_room(&mut buckets, now);
        }

        let bucket = buckets.entry(key.clone()).or_insert(Bucket {
            tokens: self.burst,
            at: now,
        });
        // Filled when it is used and not by a timer, so an idle key costs nothing.
        bucket.tokens = self.filled(bucket, now);
        bucket.at = now;
        let missing = count as f64 - bucket.tokens;
        if missing > 0.0 {
            // A refused call takes no tokens, so callers that try too early do not put off their own turn.
            return Err(Duration::from_secs_f64(missing / self.per_second));
        }
        bucket.tokens -= count as f64;
        Ok(())
    }

    /// Removes the buckets that are full again, which need no memory, or else any one.
    fn make_room(&self, buckets: &mut HashMap<K, Bucket>, now: Instant) {
        buckets.retain(|_, bucket| self.filled(bucket, now) < self.burst);
        // All are in use. The rate of one key is exceeded then, but memory stays bounded.
        if buckets.len() >= KEYS_MAX
            && let Some(other) = buckets.keys().next().cloned()
        {
            buckets.remove(&other);
        }
    }

    /// The tokens of a bucket at `now`.
    fn filled(&self, bucket: &Bucket, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        (bucket.tokens + passed * self.per_second).min(self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_admitted_and_then_the_rate() {
        let (buckets, begun) = (Buckets::new(10, 20), Instant::now());
        for _ in 0..20 {
            assert_eq!(buckets.take(&"u", 1, begun), Ok(()));
        }
        let retry = buckets.take(&"u", 1, begun).expect_err("the burst is over");
        assert!((retry.as_secs_f64() - 6.0).abs() < 0.01, "{retry:?}");
        assert_eq!(buckets.take(&"v", 1, begun), Ok(()), "others are free");
        let later = begun + retry + Duration::from_millis(1);
        assert_eq!(buckets.take(&"u", 1, later), Ok(()));
        assert!(buckets.take(&"u", 1, later).is_err());
    }

    #[test]
    fn memory_is_bounded_whoever_comes() {
        let (buckets, begun) = (Buckets::new(10, 20), Instant::now());
        for key in 0..KEYS_MAX + 1_000 {
            assert_eq!(buckets.take(&key, 1, begun), Ok(()));
        }
        assert!(buckets.buckets.lock().expect("no panic").len() <= KEYS_MAX);
        // Those that are full again give their place up first.
        let later = begun + Duration::from_secs(3_600);
        assert_eq!(buckets.take(&usize::MAX, 1, later), Ok(()));
        assert_eq!(buckets.buckets.lock().expect("no panic").len(), 1);
    }
}
