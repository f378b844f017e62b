//! Counts of verdicts. No two threads write one cache line: a check must not slow another one down.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use portcullis_contract::rejection::Rejection;

/// The names of verdicts: accepted, and the reasons of [`Rejection::reason`].
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

/// Counts since the start, and a few readings of now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Tokens and API keys in the caches now.
    pub cached_tokens: usize,
    /// Requests that best-effort mode accepted while it was stale.
    pub accepted_stale: u64,
    /// Times that the authority's history was another. Any but zero is an alarm.
    pub forks: u64,
    /// Streams that wait for the end of their identity.
    pub streams: usize,
    /// Requests by verdict.
    pub verdicts: Verdicts,
    /// Look-ups that found the token in the cache.
    pub cache_hits: u64,
    /// Look-ups that did not find it, whatever the verdict was.
    pub cache_misses: u64,
    /// The revision in force. `None` without a view.
    pub applied_revision: Option<u64>,
    /// The time since the last proof of freshness. `None` before the first.
    pub freshness_age: Option<Duration>,
    /// The age up to which a proof of freshness counts: [`max_staleness`](crate::Settings::max_staleness).
    pub max_staleness: Duration,
    /// Microseconds by which this machine's clock is ahead of the database's; negative when it is behind. Known to within
    /// half of a probe's round trip. `None` before the first proof of freshness.
    pub clock_skew_micros: Option<i64>,
    /// Tokens with a tracked use now.
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

    /// Requests that were rejected for this reason.
    #[must_use]
    pub fn rejected(&self, rejection: &Rejection) -> u64 {
        self.0[index_of(rejection)]
    }

    /// Iterates over all counts by name: `accepted`, or [`Rejection::reason`].
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        VERDICTS.into_iter().zip(self.0)
    }

    fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// The most shards. Further threads share them.
const SHARDS_MAX: usize = 64;

/// The counters of some threads, on cache lines of their own, as processors fetch them in pairs.
#[repr(align(128))]
#[derive(Default)]
struct Shard {
    verdicts: [AtomicU64; VERDICTS.len()],
    /// Requests that were refused before a look-up in the cache.
    not_looked_up: AtomicU64,
    cache_misses: AtomicU64,
    accepted_stale: AtomicU64,
    untracked: AtomicU64,
}

/// The counters of one validator.
pub(crate) struct Counters(Box<[Shard]>);

impl Counters {
    pub(crate) fn new() -> Self {
        let threads = std::thread::available_parallelism().map_or(8, usize::from);
        // Twice the threads, because async runtimes and blocking pools have more threads than processors.
        let shards = (2 * threads).next_power_of_two().min(SHARDS_MAX);
        Self((0..shards).map(|_| Shard::default()).collect())
    }

    /// Counts a verdict.
    ///
    /// Hits of the cache are the verdicts without a miss, so that the hot path has one counter to write.
    #[inline]
    pub(crate) fn record_verdict(&self, rejection: Option<&Rejection>) {
        self.shard().verdicts[rejection.map_or(ACCEPTED, index_of)].fetch_add(1, Relaxed);
    }

    /// Counts a request that was refused before there was a token to look up.
    #[cold]
    pub(crate) fn record_refused(&self, rejection: &Rejection) {
        self.record_not_looked_up();
        self.record_verdict(Some(rejection));
    }

    #[cold]
    pub(crate) fn record_not_looked_up(&self) {
        self.shard().not_looked_up.fetch_add(1, Relaxed);
    }

    pub(crate) fn record_miss(&self) {
        self.shard().cache_misses.fetch_add(1, Relaxed);
    }

    pub(crate) fn record_accepted_stale(&self) {
        self.shard().accepted_stale.fetch_add(1, Relaxed);
    }

    pub(crate) fn record_untracked(&self) {
        self.shard().untracked.fetch_add(1, Relaxed);
    }

    /// Adds these counters to the statistics.
    pub(crate) fn add_to(&self, statistics: &mut Statistics) {
        let mut not_looked_up = 0;
        for shard in &self.0 {
            for (sum, count) in statistics.verdicts.0.iter_mut().zip(&shard.verdicts) {
                *sum += count.load(Relaxed);
            }
            statistics.accepted_stale += shard.accepted_stale.load(Relaxed);
            statistics.activity_dropped += shard.untracked.load(Relaxed);
            statistics.cache_misses += shard.cache_misses.load(Relaxed);
            not_looked_up += shard.not_looked_up.load(Relaxed);
        }
        // A check in progress may have been counted as a miss and not as a verdict yet.
        statistics.cache_hits = statistics
            .verdicts
            .total()
            .saturating_sub(statistics.cache_misses + not_looked_up);
    }

    #[inline]
    fn shard(&self) -> &Shard {
        // The number of shards is a power of two.
        &self.0[thread_number() & (self.0.len() - 1)]
    }
}

/// Numbers threads in the order in which they first count.
#[inline]
fn thread_number() -> usize {
    thread_local! {
        static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    // A number of its own for each thread: the standard library's thread ids are not dense, and would share shards.
    NUMBER.with(|number| match number.get() {
        usize::MAX => {
            number.set(NEXT.fetch_add(1, Relaxed));
            number.get()
        }
        known => known,
    })
}

/// The index of a rejection in [`VERDICTS`].
fn index_of(rejection: &Rejection) -> usize {
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
        let mut statistics = Statistics::default();
        counters.add_to(&mut statistics);
        statistics
    }

    #[test]
    fn every_rejection_is_counted_under_its_own_reason() {
        for rejection in &ALL {
            let counters = Counters::new();
            counters.record_verdict(Some(rejection));
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
                        counters.record_verdict(None);
                    }
                    counters.record_miss();
                    counters.record_refused(&Rejection::Missing);
                    counters.record_accepted_stale();
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
