//! Questions for confirmations: callers wait for a revision, and streams ask their validators whether they applied it.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use portcullis_contract::position::Revision;
use tokio::sync::{
    Notify,
    futures::Notified,
    watch::{Receiver, Sender},
};

/// The least time between two questions to one validator, for each stream of the authority. With many streams the
/// questions come less often, so that they cost at most a part of a core.
const PAUSE_PER_STREAM: Duration = Duration::from_micros(20);
/// The longest such time. A validator of the default staleness probes about as often, and a probe says the same.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Returns the least time between two questions to one validator.
pub(super) fn question_pause(streams: u64) -> Duration {
    let streams = u32::try_from(streams).unwrap_or(u32::MAX);
    PAUSE_PER_STREAM.saturating_mul(streams).min(PAUSE_MAX)
}

/// The revision that callers wait for, and the word that something was confirmed.
#[derive(Debug)]
pub(crate) struct Confirmations {
    wanted: Sender<Revision>,
    waiting: AtomicUsize,
    /// Rises with each confirmation.
    progress: AtomicU64,
    changed: Notify,
}

impl Default for Confirmations {
    fn default() -> Self {
        Self {
            wanted: Sender::new(Revision(0)),
            waiting: AtomicUsize::new(0),
            progress: AtomicU64::new(0),
            changed: Notify::new(),
        }
    }
}

/// A caller that waits, until it is dropped.
pub(crate) struct Waiting<'a>(&'a Confirmations);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Confirmations {
    /// Has all validators asked about `revision` by their streams.
    pub(super) fn want(&self, revision: Revision) {
        self.wanted.send_if_modified(|wanted| {
            let is_new = *wanted < revision;
            *wanted = revision.max(*wanted);
            is_new
        });
    }

    /// Has all validators asked about `revision` when it comes. The question then follows the batch at once, and no
    /// stream has to be woken for it.
    pub(super) fn expect(&self, revision: Revision) {
        self.wanted.send_if_modified(|wanted| {
            *wanted = revision.max(*wanted);
            false
        });
    }

    /// The revision that callers wait for. A change wakes the receiver.
    pub(super) fn wanted(&self) -> Receiver<Revision> {
        self.wanted.subscribe()
    }

    /// Counts a caller that waits.
    pub(super) fn enter(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        Waiting(self)
    }

    /// The number of callers that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// Records that something was confirmed, or that other authorities were read.
    pub(super) fn record_progress(&self) {
        self.progress.fetch_add(1, Ordering::AcqRel);
        // Without a caller this costs one read.
        if self.waiting() > 0 {
            self.changed.notify_waiters();
        }
    }

    /// The number of confirmations so far.
    pub(super) fn progress(&self) -> u64 {
        self.progress.load(Ordering::Acquire)
    }

    /// Resolves with the next progress.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn questions_come_less_often_with_many_streams() {
        assert_eq!(question_pause(0), Duration::ZERO);
        assert_eq!(question_pause(100), Duration::from_millis(2));
        assert_eq!(question_pause(50_000), PAUSE_MAX);
        assert_eq!(question_pause(u64::MAX), PAUSE_MAX);
    }

    #[test]
    fn a_question_wakes_the_streams_once_and_an_expectation_wakes_none() {
        let confirmations = Confirmations::default();
        let mut wanted = confirmations.wanted();
        confirmations.expect(Revision(5));
        assert!(!wanted.has_changed().expect("open"));
        assert_eq!(*wanted.borrow_and_update(), Revision(5));

        confirmations.want(Revision(5));
        confirmations.want(Revision(4));
        confirmations.expect(Revision(3));
        assert!(!wanted.has_changed().expect("open"), "they were asked");
        assert_eq!(*wanted.borrow_and_update(), Revision(5));
        confirmations.want(Revision(6));
        assert!(wanted.has_changed().expect("open"));
        assert_eq!(*wanted.borrow_and_update(), Revision(6));
    }

    #[test]
    fn progress_is_counted_and_told_to_those_who_wait() {
        let confirmations = Confirmations::default();
        assert_eq!((confirmations.waiting(), confirmations.progress()), (0, 0));
        {
            let _one = confirmations.enter();
            let _other = confirmations.enter();
            assert_eq!(confirmations.waiting(), 2);

            let mut changed = Box::pin(confirmations.changed());
            changed.as_mut().enable();
            assert!(changed.as_mut().now_or_never().is_none());
            confirmations.record_progress();
            assert!(changed.now_or_never().is_some());
        }
        assert_eq!(confirmations.waiting(), 0);
        confirmations.record_progress();
        assert_eq!(confirmations.progress(), 2);
    }
}
