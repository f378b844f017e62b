//! Reports of activity, without the network: which credentials were used, in batches that an authority takes.
//!
//! Requests are counted at the credential until a report was taken, and only the reported number is taken off. A failed
//! report needs no retry buffer: the next one has its counts as well.

use std::sync::{Arc, mpsc::Receiver};

use portcullis_contract::v1;
use prost::Message;

use crate::{
    clock::Mark,
    tracking::{Tracked, Tracking},
};

/// The most credentials of one report.
const ACTIVITIES_MAX: usize = 10_000;
/// The size at which a report is full, in bytes: a half of the message that an authority takes.
const REPORT_BYTES_MAX: usize = 2 << 20;

/// The reporter's end of tracking: the credentials that were used, until they are reported and forgotten.
pub struct Reports {
    tracking: Arc<Tracking>,
    incoming: Receiver<Arc<dyn Tracked>>,
    credentials: Vec<Arc<dyn Tracked>>,
}

impl Reports {
    pub(crate) fn new(tracking: Arc<Tracking>, incoming: Receiver<Arc<dyn Tracked>>) -> Self {
        Self {
            tracking,
            incoming,
            credentials: Vec::new(),
        }
    }

    /// Begins a round over all credentials that are tracked now.
    pub fn begin_round(&mut self) -> Round<'_> {
        while let Ok(credential) = self.incoming.try_recv() {
            self.credentials.push(credential);
        }
        // Taken before the counts are read, so that use dropped during the round belongs to the next one.
        let was_dropped = self.tracking.take_dropped();
        let mut round = Round {
            tracking: &self.tracking,
            left: &self.credentials,
            next: None,
            begun: Mark::now(),
            was_dropped,
        };
        // One batch ahead, so that each knows whether another follows.
        round.next = round.fill_batch();
        round
    }

    /// Forgets credentials that only the reporter still holds and that have no pending requests.
    pub fn forget_reported(&mut self) {
        let before = self.credentials.len();
        // An identity that the cache still holds stays: its activity goes on counting, and nobody else reports it.
        self.credentials
            .retain(|credential| Arc::strong_count(credential) > 1 || credential.pending() > 0);
        self.tracking.release(before - self.credentials.len());
    }
}

/// One round of reports: a batch for each message.
pub struct Round<'a> {
    tracking: &'a Tracking,
    left: &'a [Arc<dyn Tracked>],
    /// The batch after the present one: without it the last batch could not say that it is the last.
    next: Option<Batch<'a>>,
    begun: Mark,
    was_dropped: bool,
}

impl<'a> Round<'a> {
    /// Returns the next batch. The first may be empty: its message still tells that nothing else was used.
    pub fn next_batch(&mut self) -> Batch<'a> {
        let mut batch = self
            .next
            .take()
            .unwrap_or_else(|| Batch::new(self.tracking));
        self.next = self.fill_batch();
        batch.is_last = self.next.is_none();
        batch
    }

    /// The moment up to which the round, once all of it was taken, reports all use. `None` when use found no room.
    #[must_use]
    pub fn complete_as_of(&self) -> Option<Mark> {
        if self.was_dropped {
            return None;
        }
        Some(self.begun)
    }

    /// Ends a round that failed. Use that found no room is remembered for the next one.
    pub fn abandon(self) {
        if self.was_dropped {
            self.tracking.record_dropped();
        }
    }

    fn fill_batch(&mut self) -> Option<Batch<'a>> {
        let mut batch = Batch::new(self.tracking);
        let mut bytes = 0;
        let now = Mark::now();
        while let Some((credential, rest)) = self.left.split_first() {
            if batch.activities.len() >= ACTIVITIES_MAX || bytes >= REPORT_BYTES_MAX {
                break;
            }
            // Moved on also for credentials without use, so that a round always ends.
            self.left = rest;
            let Some(activity) = credential.report(&now) else {
                continue;
            };
            // Checked before adding, so a batch may exceed the bound by one entry. The authority takes twice as much.
            bytes += activity.encoded_len();
            batch.counted.push((&**credential, activity.requests));
            batch.activities.push(activity);
        }
        if batch.activities.is_empty() {
            return None;
        }
        Some(batch)
    }
}

/// The entries of one report, and the counts that it takes off once it was answered.
pub struct Batch<'a> {
    tracking: &'a Tracking,
    activities: Vec<v1::Activity>,
    counted: Vec<(&'a dyn Tracked, u32)>,
    is_last: bool,
}

impl<'a> Batch<'a> {
    fn new(tracking: &'a Tracking) -> Self {
        Self {
            tracking,
            activities: Vec::new(),
            counted: Vec::new(),
            is_last: false,
        }
    }

    /// Returns whether this is the last batch of its round.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.is_last
    }

    /// Takes the entries, for the message.
    pub fn take_activities(&mut self) -> Vec<v1::Activity> {
        std::mem::take(&mut self.activities)
    }

    /// Settles a report that the authority took.
    pub fn settle_taken(self) {
        let mut requests = 0;
        for (_, count) in &self.counted {
            requests += u64::from(*count);
        }
        // Counted for statistics only once the authority took them.
        self.tracking.add_reported(requests);
        self.settle();
    }

    /// Settles a report that the authority refused as invalid: it would refuse it again and again.
    pub fn settle_refused(self) {
        self.settle();
    }

    fn settle(self) {
        for (credential, count) in self.counted {
            // Requests that came since the batch was made stay for the next report.
            credential.settle(count);
        }
    }
}
