//! From revoked to enforced, by one clock: the authority's own.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use portcullis_contract::position::Revision;

/// Of the revisions acknowledged within a second so many are followed, so that neither memory nor the work of a probe
/// grows with the rate of revocations.
const FOLLOWED_PER_SECOND: usize = 20;
/// Followed revisions that are remembered: those of 51 s at least.
const FOLLOWED_MAX: usize = 1024;

/// Acknowledged revisions, until every validator can have reported them.
#[derive(Default)]
pub(super) struct Acknowledged(Mutex<VecDeque<(Revision, Instant)>>);

impl Acknowledged {
    /// Notes that `revision` was acknowledged now.
    pub(super) fn note(&self, revision: Revision, now: Instant) {
        let mut followed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = followed.back().is_some_and(|(last, _)| revision <= *last);
        let earlier = followed
            .len()
            .checked_sub(FOLLOWED_PER_SECOND)
            .and_then(|at| followed.get(at));
        if known
            || earlier
                .is_some_and(|(_, at)| now.saturating_duration_since(*at) < Duration::from_secs(1))
        {
            return;
        }
        if followed.len() == FOLLOWED_MAX {
            followed.pop_front();
        }
        followed.push_back((revision, now));
    }

    /// How long ago each followed revision in `(before, applied]` was acknowledged, for a validator that has been
    /// connected since `connected`: it cannot have been late for what was acknowledged earlier.
    pub(super) fn reported(
        &self,
        before: Revision,
        applied: Revision,
        connected: Instant,
        now: Instant,
    ) -> Vec<Duration> {
        let followed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first = followed.partition_point(|(revision, _)| *revision <= before);
        let new = followed
            .range(first..)
            .take_while(|(revision, _)| *revision <= applied);
        new.filter(|(_, at)| *at >= connected)
            .map(|(_, at)| now.saturating_duration_since(*at))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: Duration = Duration::from_secs(1);

    #[test]
    fn a_validator_reports_each_revision_once() {
        let (acknowledged, start) = (Acknowledged::default(), Instant::now());
        for step in 1..=3 {
            acknowledged.note(Revision(step.into()), start + LATER * step);
        }
        let report = |before, applied| {
            acknowledged.reported(
                Revision(before),
                Revision(applied),
                start,
                start + LATER * 5,
            )
        };
        assert_eq!(report(0, 2), [LATER * 4, LATER * 3]);
        assert_eq!(report(2, 3), [LATER * 2]);
        assert!(report(3, 3).is_empty());
        let late = acknowledged.reported(
            Revision(0),
            Revision(3),
            start + LATER * 3,
            start + LATER * 5,
        );
        assert_eq!(late, [LATER * 2]);
    }

    #[test]
    fn neither_the_rate_nor_time_makes_it_grow() {
        let (acknowledged, start) = (Acknowledged::default(), Instant::now());
        for step in 0..20_000_u32 {
            acknowledged.note(
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
