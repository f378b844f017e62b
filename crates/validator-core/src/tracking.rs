//! The bound on how many credentials have their use tracked, and their way to the reporter.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    mpsc::{Receiver, Sender, channel},
};

use portcullis_contract::{token::TokenClaims, v1};

use crate::{activity::Activity, clock::Mark, identity::Admitted};

/// An identity of any kind with a use that is reported.
pub trait Tracked: Send + Sync {
    /// The number of requests that have not been reported.
    fn pending(&self) -> u64;

    /// Returns the entry of a report, or `None` when the credential was not used.
    fn report(&self, now: &Mark) -> Option<v1::Activity>;

    /// Takes reported requests off the count.
    fn settle(&self, requests: u32);
}

impl<C: TokenClaims> Tracked for Admitted<C> {
    fn pending(&self) -> u64 {
        self.activity().map_or(0, Activity::pending)
    }

    fn report(&self, now: &Mark) -> Option<v1::Activity> {
        self.activity()?.report(&self.claims, now)
    }

    fn settle(&self, requests: u32) {
        if let Some(activity) = self.activity() {
            activity.settle(requests);
        }
    }
}

/// The bound on tracked credentials, and the counts about them.
pub(crate) struct Tracking {
    tracked: AtomicUsize,
    tracked_max: usize,
    reported: AtomicU64,
    /// Whether use found no room since the last round of reports.
    dropped: AtomicBool,
    incoming: Sender<Arc<dyn Tracked>>,
}

impl Tracking {
    /// Tracks at most `tracked_max` credentials at a time. The receiver gets each of them once.
    pub(crate) fn new(tracked_max: usize) -> (Self, Receiver<Arc<dyn Tracked>>) {
        #[allow(
            clippy::disallowed_methods,
            reason = "`tracked` bounds its content, and a bounded channel would reserve the memory for all of it"
        )]
        let (incoming, tracked) = channel();
        let tracking = Self {
            tracked: AtomicUsize::new(0),
            tracked_max,
            reported: AtomicU64::new(0),
            dropped: AtomicBool::new(false),
            incoming,
        };
        (tracking, tracked)
    }

    /// Tracks the use of an identity from now on. Returns `None` when there is no room.
    pub(crate) fn track<'a, C: TokenClaims>(
        &self,
        identity: &'a Arc<Admitted<C>>,
    ) -> Option<&'a Activity> {
        // The place is reserved before the identity is sent, so the channel never holds more than the bound.
        if !self.reserve() {
            self.record_dropped();
            return None;
        }
        if identity.begin_activity() {
            let tracked: Arc<dyn Tracked> = Arc::<Admitted<C>>::clone(identity);
            // The channel is closed when the reporter has ended, and then nobody needs to know.
            let _ = self.incoming.send(tracked);
        } else {
            // Another thread tracks the same identity and reserved room as well.
            self.release(1);
        }
        identity.activity()
    }

    /// Takes one place of the bound.
    fn reserve(&self) -> bool {
        let reserved = self.tracked.fetch_update(Relaxed, Relaxed, |tracked| {
            (tracked < self.tracked_max).then_some(tracked + 1)
        });
        reserved.is_ok()
    }

    /// Makes room for other identities.
    pub(crate) fn release(&self, identities: usize) {
        // Relaxed: the count is a bound on memory, and nothing else is read by it.
        self.tracked.fetch_sub(identities, Relaxed);
    }

    /// Records that use found no room.
    pub(crate) fn record_dropped(&self) {
        self.dropped.store(true, Relaxed);
    }

    /// Returns whether use found no room since the last call.
    pub(crate) fn take_dropped(&self) -> bool {
        self.dropped.swap(false, Relaxed)
    }

    /// Counts requests that were reported.
    pub(crate) fn add_reported(&self, requests: u64) {
        self.reported.fetch_add(requests, Relaxed);
    }

    /// The number of identities that are tracked.
    pub(crate) fn tracked(&self) -> usize {
        self.tracked.load(Relaxed)
    }

    /// The number of requests that were reported.
    pub(crate) fn reported(&self) -> u64 {
        self.reported.load(Relaxed)
    }
}
