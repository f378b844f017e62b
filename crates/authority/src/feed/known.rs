//! The times at which this authority knew that the log had a revision.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use portcullis_contract::position::Revision;

/// The most times that are remembered.
const TIMES_MAX: usize = 1_024;

/// The times, at a resolution that lets them cover a span.
#[derive(Debug)]
pub(super) struct Known {
    resolution: Duration,
    times: VecDeque<Time>,
}

#[derive(Clone, Copy, Debug)]
struct Time {
    revision: Revision,
    /// The log had the revision by then.
    at: Instant,
    /// When the first revision was merged into this.
    since: Instant,
}

impl Known {
    /// Remembers times for `span` at least.
    pub(super) fn over(span: Duration) -> Self {
        Self {
            resolution: span * 2 / TIMES_MAX as u32,
            times: VecDeque::new(),
        }
    }

    /// Records that the log has `revision` now.
    pub(super) fn add(&mut self, revision: Revision, now: Instant) {
        if let Some(last) = self.times.back_mut()
            && now.saturating_duration_since(last.since) < self.resolution
        {
            // The earlier revision is taken for known a little later than it was.
            *last = Time {
                revision,
                at: now,
                since: last.since,
            };
            return;
        }
        if self.times.len() == TIMES_MAX {
            self.times.pop_front();
        }
        self.times.push_back(Time {
            revision,
            at: now,
            since: now,
        });
    }

    /// A time by which the log had `revision`. None: it is not known that it has.
    pub(super) fn by(&self, revision: Revision) -> Option<Instant> {
        // The entry may be of a later revision, and so of a later time. That makes a lease longer
        // and never shorter.
        let index = self.times.partition_point(|time| time.revision < revision);
        Some(self.times.get(index)?.at)
    }

    /// Begins anew, with another history.
    pub(super) fn restart(&mut self, revision: Revision, now: Instant) {
        self.times.clear();
        self.add(revision, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_known_from_when_the_log_had_it_or_a_later_one() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut known = Known::over(Duration::from_secs(60));
        known.add(Revision(10), start);
        known.add(Revision(12), start + second);
        assert_eq!(known.by(Revision(3)), Some(start));
        assert_eq!(known.by(Revision(11)), Some(start + second));
        assert_eq!(known.by(Revision(13)), None);

        let soon = start + second + Duration::from_millis(1);
        known.add(Revision(13), soon);
        assert_eq!(known.by(Revision(12)), Some(soon), "later, never earlier");
        known.restart(Revision(5), soon);
        assert_eq!(known.by(Revision(6)), None);
    }

    #[test]
    fn a_busy_log_is_remembered_over_the_whole_span() {
        let start = Instant::now();
        let span = Duration::from_secs(60);
        let mut known = Known::over(span);
        for millis in 0..200_000_u64 {
            known.add(Revision(millis), start + Duration::from_millis(millis));
        }
        assert!(known.times.len() <= TIMES_MAX);
        let oldest = known.times.front().expect("times").at;
        assert!(start + Duration::from_millis(199_999) - oldest >= span);
    }

    #[test]
    fn times_of_one_resolution_are_one() {
        let start = Instant::now();
        let mut known = Known::over(Duration::from_secs(60));
        known.add(Revision(1), start);
        known.add(Revision(2), start + known.resolution);
        assert_eq!(known.times.len(), 2);
        assert_eq!(known.by(Revision(1)), Some(start), "its own time");
        assert_eq!(known.by(Revision(2)), Some(start + known.resolution));
    }
}
