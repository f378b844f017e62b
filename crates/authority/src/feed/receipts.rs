//! Receipts: how far a revision is enforced, and the wait until it is enforced everywhere.
//!
//! A revision is enforced when no strict validator can accept without it: it has confirmed the revision, or its lease
//! ended ([`lease`](super::lease)). For a validator of another authority the lease counts from when this authority knew
//! that the log had the revision.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use portcullis_contract::position::Revision;
use tokio::time::{sleep, sleep_until};

use super::{Feed, Validators, counts::Counts, peers::Peers, validators::lease_length};
use crate::net::{Full, Share, Shares};

/// The least time between two counts of one receipt.
const COUNT_PAUSE_MIN: Duration = Duration::from_millis(1);
/// The longest such time, when very many callers wait.
const COUNT_PAUSE_MAX: Duration = Duration::from_millis(250);
/// All counts together take at most one part in so many of a core's time.
const COUNT_SHARE: u32 = 4;

/// The time between two counts for the canary, which nobody waits for.
const MISSED_PAUSE: Duration = Duration::from_millis(100);

/// How far a revision is enforced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enforcement {
    /// The revision.
    pub revision: Revision,
    /// Gates with a stream, or with a lease of a stream that ended.
    pub validators: u32,
    /// Gates that have applied the revision.
    pub confirmed: u32,
    /// Strict gates that have not, and cannot accept any more.
    pub lapsed: u32,
    /// Gates that accept without a bound while they cannot prove that their view is fresh.
    pub unbounded: u32,
    /// Strict gates that may still accept without the revision.
    pub pending: u32,
    /// Whether no strict gate of any authority accepts without the revision.
    pub complete: bool,
    /// Whether the gates of other authorities could not be read.
    pub partial: bool,
    /// The time from the arrival of the call to its answer.
    pub elapsed: Duration,
}

/// A question for a receipt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReceiptQuestion {
    pub(crate) revision: Revision,
    /// The arrival of the call.
    pub(crate) received: Instant,
    /// The time by which the log had the revision.
    known: Instant,
    /// The history that the revision is of.
    history: u64,
}

/// An answer, and the time at which it may change without a confirmation.
struct Receipt {
    enforcement: Enforcement,
    next_change: Option<Instant>,
}

/// A place for a caller that waits.
pub(crate) type ReceiptPlace = Share<String>;

/// The receipts of one authority.
pub(crate) struct Receipts {
    feed: Arc<Feed>,
    validators: Arc<Validators>,
    peers: Arc<Peers>,
    places: Arc<Shares<String>>,
    staleness_max: Duration,
}

impl Receipts {
    pub(crate) fn new(
        feed: Arc<Feed>,
        validators: Arc<Validators>,
        peers: Arc<Peers>,
        waits_max: usize,
        staleness_max: Duration,
    ) -> Self {
        Self {
            feed,
            validators,
            peers,
            places: Shares::new(waits_max, usize::MAX),
            staleness_max,
        }
    }

    /// Takes a place for a caller that waits. The callers of one holder get at most half of the places.
    pub(crate) fn take_place(&self, holder: String) -> Result<ReceiptPlace, Full> {
        self.places.take(holder, 1)
    }

    /// Has the validators confirm the next revision as soon as they have it, for a change that is about to be appended.
    pub(crate) fn expect_next(&self) {
        let next = self.feed.view().position().revision.next();
        self.validators.confirmations.expect(next);
    }

    /// A question about a revision that the log has.
    pub(crate) fn question(&self, revision: Revision, received: Instant) -> ReceiptQuestion {
        ReceiptQuestion {
            revision,
            received,
            // The feed may not have read the revision yet. The log has it: it was acknowledged, or the head is above it.
            known: self.feed.known_by(revision).unwrap_or_else(Instant::now),
            history: self.feed.history(),
        }
    }

    /// Has the validators asked about a revision.
    pub(crate) fn ask(&self, question: &ReceiptQuestion) {
        self.validators.confirmations.want(question.revision);
    }

    /// The receipt as it is known now.
    pub(crate) fn now(&self, question: &ReceiptQuestion) -> Enforcement {
        self.count(question, Instant::now()).enforcement
    }

    /// Waits until the revision is enforced, at most until `until`.
    pub(crate) async fn wait(&self, question: &ReceiptQuestion, until: Instant) -> Enforcement {
        self.wait_for(question, until, |receipt| receipt.complete)
            .await
    }

    /// Waits until a receipt is complete or differs from `before` in its counts, at most until `until`.
    pub(crate) async fn wait_for_change(
        &self,
        question: &ReceiptQuestion,
        before: &Enforcement,
        until: Instant,
    ) -> Enforcement {
        let is_news = |receipt: &Enforcement| {
            let before = Enforcement {
                elapsed: receipt.elapsed,
                ..before.clone()
            };
            receipt.complete || *receipt != before
        };
        self.wait_for(question, until, is_news).await
    }

    /// Waits until the gates of this authority have confirmed a revision or lapsed, at most until `until`. Returns the
    /// number of those that did not confirm.
    pub(crate) async fn count_missed(&self, revision: Revision, until: Instant) -> u32 {
        let question = self.question(revision, Instant::now());
        let confirmations = &self.validators.confirmations;
        let _waiting = confirmations.enter();
        confirmations.want(revision);
        loop {
            let changed = confirmations.changed();
            tokio::pin!(changed);
            // Before the count: otherwise a confirmation between the count and the wait would be missed.
            changed.as_mut().enable();
            let now = Instant::now();
            let lines = self
                .validators
                .lines(revision, question.received, question.history);
            let counts = Counts::of(lines, now);
            if counts.pending == 0 || now >= until {
                return counts.lapsed + counts.pending;
            }
            sleep(MISSED_PAUSE).await;
            let lapse = counts.next_lapse.map_or(until, |lapse| lapse.min(until));
            tokio::select! {
                () = changed => {}
                () = sleep_until((lapse + COUNT_PAUSE_MIN).into()) => {}
            }
        }
    }

    async fn wait_for(
        &self,
        question: &ReceiptQuestion,
        until: Instant,
        is_enough: impl Fn(&Enforcement) -> bool,
    ) -> Enforcement {
        let confirmations = &self.validators.confirmations;
        let _waiting = confirmations.enter();
        confirmations.want(question.revision);
        loop {
            // Before the count, so that a confirmation during it is not missed.
            let changed = confirmations.changed();
            tokio::pin!(changed);
            changed.as_mut().enable();

            let begun = Instant::now();
            let receipt = self.count(question, begun);
            // In another history the revision may be another batch, so no wait could make this
            // receipt complete.
            let is_lost = self.feed.history() != question.history;
            if begun >= until || is_lost || is_enough(&receipt.enforcement) {
                return receipt.enforcement;
            }

            // The next count comes soon enough, and all counts leave the cores to others.
            let cost = begun.elapsed() * COUNT_SHARE;
            let waiting = u32::try_from(confirmations.waiting()).unwrap_or(u32::MAX);
            let pause = cost.saturating_mul(waiting);
            sleep(pause.clamp(COUNT_PAUSE_MIN, COUNT_PAUSE_MAX)).await;
            let next = receipt.next_change.map_or(until, |next| next.min(until));
            tokio::select! {
                () = changed => {}
                () = sleep_until(next.into()) => {}
            }
        }
    }

    fn count(&self, question: &ReceiptQuestion, now: Instant) -> Receipt {
        let ReceiptQuestion {
            revision,
            received,
            known,
            history,
        } = *question;
        // Before the lists: what they say is then at least as new.
        let peers_seen = self.peers.were_seen_after(known);
        let mut lines = self.validators.lines(revision, received, history);
        lines.extend(self.peers.lines(revision, known));
        let counts = Counts::of(lines, now);

        // Validators that nobody here knows of lapse as well.
        let all_lapsed = known + lease_length(self.staleness_max);
        // Streams that had to be forgotten for want of room are in no list, but their validators
        // may still accept.
        let forgotten = self.validators.forgotten_until();
        let is_known = peers_seen && forgotten.is_none_or(|until| until < now);
        let is_same_history = self.feed.history() == history;
        let complete = is_same_history && counts.pending == 0 && (is_known || all_lapsed < now);
        let enforcement = Enforcement {
            revision,
            validators: counts.validators,
            confirmed: counts.confirmed,
            lapsed: counts.lapsed,
            unbounded: counts.unbounded,
            pending: counts.pending,
            complete,
            partial: !complete && !peers_seen && self.peers.are_unknown(),
            elapsed: received.elapsed(),
        };
        let next_lapse = counts.next_lapse.unwrap_or(all_lapsed);
        Receipt {
            enforcement,
            // A moment later than the lapse: at the very moment a validator may still accept.
            next_change: Some(next_lapse + COUNT_PAUSE_MIN),
        }
    }
}

#[cfg(test)]
mod tests;
