//! The lease of a stream: for how long its validator may accept by a view that lacks a revision.
//!
//! A strict validator accepts only while the send time of a probe is at most `max_staleness` ago, whose answer named a
//! head that it has applied. While it has not applied revision R, only answers with a head below R count. A probe arrives
//! after it was sent. So the validator cannot accept without R from `max_staleness` after the *arrival* of the last probe
//! that was answered with a head below R. All times are the authority's own.

use std::{collections::VecDeque, time::Instant};

use portcullis_contract::position::Revision;

/// The most answers that are remembered. Older ones are merged, which makes a lease longer and never shorter.
const ANSWERS_MAX: usize = 32;

/// A probe with its answer.
#[derive(Clone, Copy, Debug)]
struct Proof {
    /// The head that the answer names. Of a probe that waits: a head that the answer will not be below.
    head: Revision,
    arrived: Instant,
}

/// The probes of one stream that prove something.
#[derive(Clone, Debug, Default)]
pub(super) struct Lease {
    /// In the order of their heads and of their arrival.
    answered: VecDeque<Proof>,
    /// In the order of their arrival, which is that of the answers. The stream bounds their number.
    waiting: VecDeque<Proof>,
}

impl Lease {
    /// Records a probe that will be answered by a beat that begins after `arrived`. The log had the revision `known` by
    /// then, so the answer names that or a later one.
    pub(super) fn ask(&mut self, known: Revision, arrived: Instant) {
        self.waiting.push_back(Proof {
            head: known,
            arrived,
        });
    }

    /// Records that the oldest waiting probe is answered with `head`.
    pub(super) fn answer(&mut self, head: Revision) {
        let Some(Proof { arrived, .. }) = self.waiting.pop_front() else {
            return;
        };
        if let Some(last) = self.answered.back_mut()
            && last.head == head
        {
            // Only the latest probe of a head decides. So a quiet log needs one entry, however many
            // probes come.
            last.arrived = arrived;
            return;
        }
        self.answered.push_back(Proof { head, arrived });
        if self.answered.len() > ANSWERS_MAX
            && let Some(oldest) = self.answered.pop_front()
            && let Some(next) = self.answered.front_mut()
        {
            // As if the later answer had named the earlier head: it counts for more revisions than it should.
            next.head = oldest.head;
        }
    }

    /// Records that the oldest waiting probe gets no answer.
    pub(super) fn give_up(&mut self) {
        self.waiting.pop_front();
    }

    /// Records that the stream has ended: no waiting probe is answered any more.
    pub(super) fn end(&mut self) {
        self.waiting.clear();
    }

    /// The arrival of the last probe whose answer lets the validator accept without `revision`. None: no answer does.
    pub(super) fn last_without(&self, revision: Revision) -> Option<Instant> {
        self.proofs()
            .filter(|proof| proof.head < revision)
            .map(|proof| proof.arrived)
            .max()
    }

    /// The arrival of the last probe that was or will be answered.
    pub(super) fn last(&self) -> Option<Instant> {
        self.proofs().map(|proof| proof.arrived).max()
    }

    /// The arrival of the last probe that was answered with a head up to `applied`.
    pub(super) fn last_proof(&self, applied: Revision) -> Option<Instant> {
        self.answered
            .iter()
            .filter(|proof| proof.head <= applied)
            .map(|proof| proof.arrived)
            .max()
    }

    fn proofs(&self) -> impl Iterator<Item = &Proof> {
        self.answered.iter().chain(&self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A lease with probes that arrived at these seconds and were answered with these heads.
    fn lease(start: Instant, answers: &[(u64, u64)]) -> Lease {
        let mut lease = Lease::default();
        for (arrived, head) in answers {
            lease.ask(Revision(0), start + seconds(*arrived));
            lease.answer(Revision(*head));
        }
        lease
    }

    #[test]
    fn only_answers_below_the_revision_let_a_validator_accept_without_it() {
        let start = Instant::now();
        let lease = lease(start, &[(1, 5), (2, 5), (3, 6), (4, 9)]);
        let last = |revision| lease.last_without(Revision(revision));
        assert_eq!(last(5), None, "every answer named it");
        assert_eq!(last(6), Some(start + seconds(2)));
        assert_eq!(last(7), Some(start + seconds(3)));
        assert_eq!(last(9), Some(start + seconds(3)));
        assert_eq!(last(10), Some(start + seconds(4)));
        assert_eq!(lease.last(), Some(start + seconds(4)));
        assert_eq!(lease.last_proof(Revision(8)), Some(start + seconds(3)));
    }

    #[test]
    fn a_waiting_probe_counts_below_what_the_log_had_when_it_arrived() {
        let start = Instant::now();
        let mut lease = lease(start, &[(1, 5)]);
        lease.ask(Revision(5), start + seconds(2));
        assert_eq!(lease.last_without(Revision(5)), None);
        assert_eq!(lease.last_without(Revision(6)), Some(start + seconds(2)));

        lease.answer(Revision(6));
        assert_eq!(lease.last_without(Revision(6)), Some(start + seconds(1)));
        lease.ask(Revision(6), start + seconds(3));
        lease.give_up();
        lease.ask(Revision(6), start + seconds(4));
        lease.end();
        assert_eq!(lease.last(), Some(start + seconds(2)));
    }

    #[test]
    fn a_lease_stays_small_and_never_becomes_shorter_by_that() {
        let start = Instant::now();
        let answers: Vec<_> = (1..=1_000).map(|number| (number, number)).collect();
        let lease = lease(start, &answers);
        assert!(lease.answered.len() <= ANSWERS_MAX);
        for revision in 2..=1_001 {
            let exact = start + seconds(revision - 1);
            let last = lease.last_without(Revision(revision));
            assert!(last.is_some_and(|last| last >= exact), "{revision}");
        }
        assert_eq!(
            lease.last_without(Revision(1_001)),
            Some(start + seconds(1_000))
        );
    }

    #[test]
    fn the_oldest_answers_are_merged_when_there_are_too_many() {
        let start = Instant::now();
        let answers: Vec<_> = (1..=ANSWERS_MAX as u64).map(|at| (at, at)).collect();
        let mut lease = lease(start, &answers);
        assert_eq!(lease.answered.len(), ANSWERS_MAX);
        assert_eq!(lease.last_without(Revision(2)), Some(start + seconds(1)));

        let next = ANSWERS_MAX as u64 + 1;
        lease.ask(Revision(0), start + seconds(next));
        lease.answer(Revision(next));
        assert_eq!(lease.answered.len(), ANSWERS_MAX);
        assert_eq!(lease.last_without(Revision(2)), Some(start + seconds(2)));
    }

    #[test]
    fn a_probe_that_gets_no_answer_leaves_the_next_one_its_own() {
        let start = Instant::now();
        let mut lease = Lease::default();
        lease.ask(Revision(5), start + seconds(1));
        lease.ask(Revision(5), start + seconds(2));
        lease.give_up();
        lease.answer(Revision(5));
        assert_eq!(lease.last_proof(Revision(5)), Some(start + seconds(2)));
    }
}
