//! Pauses between attempts, for both sides: full jitter.

use std::time::Duration;

/// Pauses whose bound doubles from attempt to attempt. Each is a random time from nothing to the whole bound, so that
/// peers which failed together do not come back together.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    first: Duration,
    next: Duration,
    max: Duration,
}

impl Backoff {
    /// Pauses of at most `first`, then of twice as much, and never of more than `max`.
    #[must_use]
    pub fn new(first: Duration, max: Duration) -> Self {
        Self {
            first,
            next: first,
            max,
        }
    }

    /// Starts over, after a success.
    pub fn reset(&mut self) {
        self.next = self.first;
    }

    /// Returns the next pause.
    #[must_use]
    pub fn step(&mut self) -> Duration {
        // The bound grows, and not the pause itself: a short pause by chance must not make the next
        // ones short.
        let bound = self.next;
        self.next = (bound * 2).min(self.max);
        jittered(bound)
    }
}

/// Returns a random time from nothing to `bound`, each as likely as any other.
#[must_use]
pub fn jittered(bound: Duration) -> Duration {
    let random = u64::from_be_bytes(crate::random());
    bound.mul_f64(random as f64 / u64::MAX as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(100);
    const MAX: Duration = Duration::from_secs(2);

    /// The most of `pauses` that end within one hundredth of `bound`.
    fn crowd(pauses: &[Duration], bound: Duration) -> usize {
        let mut ended = [0_usize; 101];
        for pause in pauses {
            let hundredth = pause.as_nanos() * 100 / bound.as_nanos();
            ended[usize::try_from(hundredth).expect("at most 100")] += 1;
        }
        ended.into_iter().max().expect("hundredths")
    }

    #[test]
    fn a_herd_is_spread_over_the_whole_of_a_bound_that_doubles() {
        let mut herd = vec![Backoff::new(FIRST, MAX); 10_000];
        for attempt in 0..8 {
            let bound = (FIRST * (1 << attempt)).min(MAX);
            let mut pauses = Vec::new();
            for peer in &mut herd {
                let pause = peer.step();
                assert!(pause <= bound, "{pause:?} of {bound:?}");
                pauses.push(pause);
            }
            // Evenly spread, a hundredth has 100 of them. Pauses of half a bound or more would have 200.
            let crowd = crowd(&pauses, bound);
            assert!(crowd < 160, "{crowd} come back together, attempt {attempt}");
        }
    }

    #[test]
    fn a_success_starts_over() {
        let mut backoff = Backoff::new(FIRST, MAX);
        for _ in 0..10 {
            let _ = backoff.step();
        }
        backoff.reset();
        assert!(backoff.step() <= FIRST);
    }
}
