//! The delay from the acknowledgement of a revocation until a gate enforces it, by one clock: the authority's own.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use opentelemetry::{
    KeyValue,
    metrics::{Histogram, Meter},
};
use portcullis_contract::position::Revision;

use super::{
    delays::{EnforcementDelays, LastHour},
    histogram,
    native::NativeHistogram,
};
use crate::domain::Outcome;

/// The source of a delay: a revocation of a caller, reported by the next message of a gate, or the canary, about which
/// gates are asked.
const SOURCE: &str = "portcullis.enforcement.source";

/// Seconds, from one round trip to the largest staleness that is allowed by default.
const DELAY_BUCKETS: &[f64] = &[
    0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];
/// The most revisions of one second that are followed, so that neither memory nor the work of a probe grows with the
/// rate of revocations.
const FOLLOWED_PER_SECOND: usize = 20;
/// The most followed revisions that are remembered. They cover 51 s at least.
const FOLLOWED_MAX: usize = 1024;

/// The delays of enforcement.
pub(crate) struct Enforcement {
    acknowledged: Acknowledged,
    canary: Mutex<Option<Canary>>,
    last_hour: Mutex<LastHour>,
    delays: Histogram<f64>,
    /// The same delays, in finer buckets.
    native: Arc<NativeHistogram>,
}

impl Enforcement {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            acknowledged: Acknowledged::default(),
            canary: Mutex::default(),
            last_hour: Mutex::default(),
            delays: histogram::of_seconds(
                meter,
                "portcullis.enforcement.delay",
                DELAY_BUCKETS,
                "From the acknowledgement of a revocation until a validator reports it as applied.",
            ),
            native: Arc::default(),
        }
    }

    /// The delays by their source, for [`Telemetry::metrics`](super::Telemetry::metrics).
    pub(super) fn native(&self) -> Arc<NativeHistogram> {
        Arc::clone(&self.native)
    }

    /// Records that the canary's batch is acknowledged now.
    pub(crate) fn record_canary(&self, outcome: &Outcome) {
        let mut canary = lock(&self.canary);
        if let Some(canary) = &mut *canary {
            canary.revision = Some(outcome.revision);
            self.acknowledged.follow(outcome.revision, Instant::now());
        }
    }

    /// Records that these outcomes are acknowledged now.
    pub(crate) fn record_acknowledged<'a>(&self, outcomes: impl Iterator<Item = &'a Outcome>) {
        // An entry that changed nothing has no revision of its own that a gate could report.
        let changed = outcomes.filter(|outcome| outcome.changed > 0);
        if let Some(revision) = changed.map(|outcome| outcome.revision).max() {
            self.acknowledged.add(revision, Instant::now());
        }
    }

    /// Records that a validator, connected since `connected`, reports `applied`. It reported `before` the last time.
    pub(crate) fn record_applied(&self, before: Revision, applied: Revision, connected: Instant) {
        if applied <= before {
            return;
        }
        let now = Instant::now();
        let canary = *lock(&self.canary);
        for (revision, delay) in self.acknowledged.delays(before, applied, connected, now) {
            let is_canary = canary.is_some_and(|canary| canary.revision == Some(revision));
            let source = match is_canary {
                true => "measured",
                false => "reported",
            };
            let seconds = delay.as_secs_f64();
            self.delays
                .record(seconds, &[KeyValue::new(SOURCE, source)]);
            self.native.record(source, seconds);
            if is_canary {
                lock(&self.last_hour).add(delay, now);
            }
        }
    }

    /// Prepares for the canary: the next acknowledged revision is followed, whatever else is.
    pub(crate) fn expect_canary(&self) {
        *lock(&self.canary) = Some(Canary::default());
    }

    /// Records that so many gates did not confirm the canary in time.
    pub(crate) fn record_missed(&self, missed: u32) {
        lock(&self.last_hour).add_missed(missed, Instant::now());
    }

    /// The delays of the canary in the last hour.
    pub(crate) fn last_hour(&self) -> EnforcementDelays {
        lock(&self.last_hour).delays(Instant::now())
    }
}

/// The canary that is being measured.
#[derive(Clone, Copy, Default)]
struct Canary {
    /// None: it is not acknowledged yet.
    revision: Option<Revision>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Acknowledged revisions, until every validator can have reported them.
#[derive(Default)]
struct Acknowledged(Mutex<VecDeque<(Revision, Instant)>>);

impl Acknowledged {
    /// Follows `revision`, which was acknowledged at `now`, unless enough of this second are followed already.
    fn add(&self, revision: Revision, now: Instant) {
        let mut followed = self.lock();
        // `delays` needs the revisions in order. An entry that was recalled from an earlier batch has an old one.
        if let Some((last, _)) = followed.back()
            && revision <= *last
        {
            return;
        }
        let earlier = followed.len().checked_sub(FOLLOWED_PER_SECOND);
        if let Some((_, at)) = earlier.and_then(|index| followed.get(index))
            && now.saturating_duration_since(*at) < Duration::from_secs(1)
        {
            return;
        }
        push(&mut followed, revision, now);
    }

    /// Follows `revision`, however many of this second are followed.
    fn follow(&self, revision: Revision, now: Instant) {
        let mut followed = self.lock();
        if followed.back().is_none_or(|(last, _)| revision > *last) {
            push(&mut followed, revision, now);
        }
    }

    /// The followed revisions in `(before, applied]` with their ages.
    ///
    /// Those from before `connected` are left out: the validator cannot have been late for them.
    fn delays(
        &self,
        before: Revision,
        applied: Revision,
        connected: Instant,
        now: Instant,
    ) -> Vec<(Revision, Duration)> {
        let followed = self.lock();
        let first = followed.partition_point(|(revision, _)| *revision <= before);
        let mut delays = Vec::new();
        for (revision, at) in followed.range(first..) {
            if *revision > applied {
                break;
            }
            if *at >= connected {
                delays.push((*revision, now.saturating_duration_since(*at)));
            }
        }
        delays
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Revision, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn push(followed: &mut VecDeque<(Revision, Instant)>, revision: Revision, now: Instant) {
    if followed.len() == FOLLOWED_MAX {
        followed.pop_front();
    }
    followed.push_back((revision, now));
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: Duration = Duration::from_secs(1);

    #[test]
    fn a_validator_reports_each_revision_once() {
        let (acknowledged, start) = (Acknowledged::default(), Instant::now());
        for step in 1..=3 {
            acknowledged.add(Revision(step.into()), start + LATER * step);
        }
        let report = |before, applied| {
            acknowledged.delays(
                Revision(before),
                Revision(applied),
                start,
                start + LATER * 5,
            )
        };
        assert_eq!(
            report(0, 2),
            [(Revision(1), LATER * 4), (Revision(2), LATER * 3)]
        );
        assert_eq!(report(2, 3), [(Revision(3), LATER * 2)]);
        assert!(report(3, 3).is_empty());
        let late = acknowledged.delays(
            Revision(0),
            Revision(3),
            start + LATER * 3,
            start + LATER * 5,
        );
        assert_eq!(late, [(Revision(3), LATER * 2)]);
    }

    #[test]
    fn neither_the_rate_nor_time_makes_it_grow() {
        let (acknowledged, start) = (Acknowledged::default(), Instant::now());
        for step in 0..20_000_u32 {
            acknowledged.add(
                Revision(u64::from(step) + 1),
                start + Duration::from_millis(10) * step,
            );
        }
        let followed = acknowledged.0.lock().expect("whole");
        assert_eq!(followed.len(), FOLLOWED_MAX);
        let second_later = followed
            .iter()
            .zip(followed.iter().skip(FOLLOWED_PER_SECOND));
        assert!(
            second_later
                .into_iter()
                .all(|(one, later)| later.1 - one.1 >= Duration::from_secs(1))
        );
    }
}
