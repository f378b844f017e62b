//! Counts, without a cache line that two threads write: a check must not slow another one down.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use portcullis_contract::rejection::Rejection;

/// What verdicts are called: accepted, and the reasons of [`Rejection::reason`].
const VERDICTS: [&str; 19] = [
    "accepted",
    "missing",
    "oversized",
    "malformed",
    "wrong_type",
    "wrong_algorithm",
    "unknown_key",
    "distrusted_key",
    "bad_signature",
    "wrong_issuer",
    "wrong_audience",
    "not_yet_valid",
    "expired",
    "revoked",
    "signed_out",
    "stale",
    "unready",
    "clock_skew",
    "busy",
];
const ACCEPTED: usize = 0;

/// Counts since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// Tokens and API keys that the caches hold now.
    pub cached_tokens: usize,
    /// Requests that best-effort mode accepted although it was stale.
    pub accepted_stale: u64,
    /// Times that another history was met. Not zero: an alarm.
    pub forks: u64,
    /// Requests by verdict.
    pub verdicts: Verdicts,
    /// Tokens that the cache knew.
    pub cache_hits: u64,
    /// Tokens that it did not know, whatever became of them.
    pub cache_misses: u64,
    /// The revision in force; none without a view.
    pub applied_revision: Option<u64>,
    /// Since the last proof of freshness; none before the first.
    pub freshness_age: Option<Duration>,
    /// How far this machine's clock is ahead of the database's, in microseconds; negative: behind. It is known to within
    /// half of a probe's round trip. None before the first proof of freshness.
    pub clock_skew_micros: Option<i64>,
    /// Tokens whose use is tracked now.
    pub activity_tracked: usize,
    /// Requests that were reported as use of their session.
    pub activity_reported: u64,
    /// Requests that were admitted and will not be reported, because too many tokens were tracked already.
    pub activity_dropped: u64,
}

/// Requests by verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdicts([u64; VERDICTS.len()]);

impl Verdicts {
    /// Requests that were accepted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.0[ACCEPTED]
    }

    /// Requests that were rejected for this.
    #[must_use]
    pub fn rejected(&self, rejection: &Rejection) -> u64 {
        self.0[slot(rejection)]
    }

    /// All, by name: `accepted`, or [`Rejection::reason`].
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        VERDICTS.into_iter().zip(self.0)
    }

    fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// The most threads that have counters of their own; more share them.
const SHARDS_MAX: usize = 64;

/// Two cache lines, as processors fetch them, belong to nobody else.
#[repr(align(128))]
#[derive(Default)]
struct Shard {
    verdicts: [AtomicU64; VERDICTS.len()],
    /// Requests that did not come to be looked up in the cache.
    unlooked: AtomicU64,
    cache_misses: AtomicU64,
    accepted_stale: AtomicU64,
    untracked: AtomicU64,
}

/// The counters of one validator.
pub(crate) struct Counters(Box<[Shard]>);

impl Counters {
    pub(crate) fn new() -> Self {
        let threads = std::thread::available_parallelism().map_or(8, usize::from);
        let shards = (2 * threads).next_power_of_two().min(SHARDS_MAX);
        Self((0..shards).map(|_| Shard::default()).collect())
    }

    /// Counts a verdict. A hit of the cache is one without [`Counters::miss`] and [`Counters::unlooked`], so that it
    /// costs nothing of its own.
    #[inline]
    pub(crate) fn verdict(&self, rejection: Option<&Rejection>) {
        self.shard().verdicts[rejection.map_or(ACCEPTED, slot)].fetch_add(1, Relaxed);
    }

    /// Counts a request that is refused before it has a token that could be looked up.
    #[cold]
    pub(crate) fn refused(&self, rejection: &Rejection) {
        self.unlooked();
        self.verdict(Some(rejection));
    }

    #[cold]
    pub(crate) fn unlooked(&self) {
        self.shard().unlooked.fetch_add(1, Relaxed);
    }

    pub(crate) fn miss(&self) {
        self.shard().cache_misses.fetch_add(1, Relaxed);
    }

    pub(crate) fn accepted_stale(&self) {
        self.shard().accepted_stale.fetch_add(1, Relaxed);
    }

    pub(crate) fn untracked(&self) {
        self.shard().untracked.fetch_add(1, Relaxed);
    }

    /// Fills in what is counted here.
    pub(crate) fn add_to(&self, statistics: &mut Statistics) {
        let mut unlooked = 0;
        for shard in &self.0 {
            for (sum, count) in statistics.verdicts.0.iter_mut().zip(&shard.verdicts) {
                *sum += count.load(Relaxed);
            }
            statistics.accepted_stale += shard.accepted_stale.load(Relaxed);
            statistics.activity_dropped += shard.untracked.load(Relaxed);
            statistics.cache_misses += shard.cache_misses.load(Relaxed);
            unlooked += shard.unlooked.load(Relaxed);
        }
        // What is under way may have been counted as a miss and not as a verdict yet.
        statistics.cache_hits = statistics
            .verdicts
            .total()
            .saturating_sub(statistics.cache_misses + unlooked);
    }

    #[inline]
    fn shard(&self) -> &Shard {
        // The number of shards is a power of two.
        &self.0[thread_number() & (self.0.len() - 1)]
    }
}

/// Threads are numbered in the order in which they first count.
#[inline]
fn thread_number() -> usize {
    thread_local! {
        static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NUMBER.with(|number| match number.get() {
        usize::MAX => {
            number.set(NEXT.fetch_add(1, Relaxed));
            number.get()
        }
        known => known,
    })
}

/// The place of a rejection in [`VERDICTS`].
fn slot(rejection: &Rejection) -> usize {
    match rejection {
        Rejection::Missing => 1,
        Rejection::Oversized => 2,
        Rejection::Malformed => 3,
        Rejection::WrongType => 4,
        Rejection::WrongAlgorithm => 5,
        Rejection::UnknownKey => 6,
        Rejection::DistrustedKey => 7,
        Rejection::BadSignature => 8,
        Rejection::WrongIssuer => 9,
        Rejection::WrongAudience => 10,
        Rejection::NotYetValid => 11,
        Rejection::Expired => 12,
        Rejection::Revoked => 13,
        Rejection::SignedOut => 14,
        Rejection::Stale { .. } => 15,
        Rejection::Unready => 16,
        Rejection::ClockSkew => 17,
        Rejection::Busy => 18,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Rejection; 18] = [
        Rejection::Missing,
        Rejection::Oversized,
        Rejection::Malformed,
        Rejection::WrongType,
        Rejection::WrongAlgorithm,
        Rejection::UnknownKey,
        Rejection::DistrustedKey,
        Rejection::BadSignature,
        Rejection::WrongIssuer,
        Rejection::WrongAudience,
        Rejection::NotYetValid,
        Rejection::Expired,
        Rejection::Revoked,
        Rejection::SignedOut,
        Rejection::Stale {
            age: Duration::ZERO,
        },
        Rejection::Unready,
        Rejection::ClockSkew,
        Rejection::Busy,
    ];

    fn count(counters: &Counters) -> Statistics {
        let mut statistics = Statistics {
            cached_tokens: 0,
            accepted_stale: 0,
            forks: 0,
            verdicts: Verdicts::default(),
            cache_hits: 0,
            cache_misses: 0,
            applied_revision: None,
            freshness_age: None,
            clock_skew_micros: None,
            activity_tracked: 0,
            activity_reported: 0,
            activity_dropped: 0,
        };
        counters.add_to(&mut statistics);
        statistics
    }

    #[test]
    fn every_rejection_is_counted_under_its_own_reason() {
        for rejection in &ALL {
            let counters = Counters::new();
            counters.verdict(Some(rejection));
            let counted: Vec<_> = count(&counters)
                .verdicts
                .iter()
                .filter(|(_, count)| *count > 0)
                .collect();
            assert_eq!(counted, [(rejection.reason(), 1)]);
        }
    }

    #[test]
    fn no_count_is_lost_between_threads_and_hits_are_what_is_left() {
        let counters = Counters::new();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        counters.verdict(None);
                    }
                    counters.miss();
                    counters.refused(&Rejection::Missing);
                    counters.accepted_stale();
                });
            }
        });
        let counted = count(&counters);
        assert_eq!(
            (
                counted.verdicts.accepted(),
                counted.verdicts.rejected(&Rejection::Missing)
            ),
            (8000, 8)
        );
        assert_eq!(
            (
                counted.cache_misses,
                counted.cache_hits,
                counted.accepted_stale
            ),
            (8, 7992, 8)
        );
    }

    #[test]
    fn two_threads_have_no_cache_line_in_common() {
        assert_eq!(align_of::<Shard>(), 128);
        let elsewhere = std::thread::spawn(thread_number).join().expect("a number");
        assert_ne!(thread_number(), elsewhere);
        assert_eq!(thread_number(), thread_number());
    }
}
