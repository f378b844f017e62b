//! The validators that watch this authority, and those that did a moment ago.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use dashmap::DashMap;
use portcullis_contract::position::Revision;

use super::{
    confirmations::Confirmations,
    counts::{Line, ValidatorId},
    gate::{Gate, ValidatorMode, ValidatorStatus},
    lease::Lease,
    roster::{RosterEntry, SharedStatus},
};
use crate::telemetry::Instruments;

/// The most ended streams that are remembered.
pub(super) const ENDED_MAX: usize = 65_536;
/// An ended stream is remembered for this long after its lease, so that a receipt can say that it lapsed.
const ENDED_KEPT: Duration = Duration::from_secs(120);
/// Clocks of two machines may differ in their rate by this part. A lease is that much longer here.
const CLOCK_RATE_PART: u32 = 512;
/// There is no measured clock yet.
const SKEW_UNKNOWN: i64 = i64::MIN;

/// The validators, for operators and for receipts.
pub struct Validators {
    instruments: Arc<Instruments>,
    connected: DashMap<u64, Arc<Connected>>,
    ended: Mutex<EndedStreams>,
    next: AtomicU64,
    /// The number of streams, counted apart from `connected` so that registering one is a single atomic step.
    count: AtomicUsize,
    /// Rises when the roster gets another line.
    roster_version: AtomicU64,
    /// The questions for confirmations, and the callers that wait for them.
    pub(crate) confirmations: Arc<Confirmations>,
}

/// The time for which a strict validator may accept by a proof, as the authority counts it.
pub(crate) fn lease_length(max_staleness: Duration) -> Duration {
    max_staleness + max_staleness / CLOCK_RATE_PART
}

/// One stream.
pub struct Connected {
    instruments: Arc<Instruments>,
    confirmations: Arc<Confirmations>,
    /// The gate at its other end.
    pub gate: Gate,
    validator: ValidatorId,
    /// The number of the history that the stream is about.
    history: u64,
    since: SystemTime,
    epoch: Instant,
    applied: AtomicU64,
    /// The time of the last probe, in microseconds after `epoch`. 0: there was none.
    probed: AtomicU64,
    /// The last revision that the connection took from the stream.
    taken: AtomicU64,
    lease: Mutex<Lease>,
    skew_micros: AtomicI64,
}

impl Connected {
    /// Records a probe.
    pub fn record_probe(&self, applied: Revision) {
        self.record_applied(applied);
        let micros = u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.probed.store(micros.max(1), Ordering::Relaxed);
    }

    /// Records the revision that the gate reports as applied.
    pub fn record_applied(&self, applied: Revision) {
        // The maximum, because a gate never forgets a revision: a smaller claim is an older one.
        let before = self.applied.fetch_max(applied.0, Ordering::AcqRel);
        if before >= applied.0 {
            return;
        }
        self.instruments
            .enforcement
            .record_applied(Revision(before), applied, self.epoch);
        self.confirmations.record_progress();
    }

    /// The last revision that the gate said that it has applied.
    pub(super) fn applied(&self) -> Revision {
        Revision(self.applied.load(Ordering::Acquire))
    }

    /// Records that the connection took all batches up to `revision`.
    pub fn record_taken(&self, revision: Revision) {
        self.taken.store(revision.0, Ordering::Relaxed);
    }

    /// Records that a probe waits for its beat. The log had the revision `known` when it arrived.
    pub(super) fn record_question(&self, known: Revision, arrived: Instant) {
        self.lease().ask(known, arrived);
    }

    /// Records that the oldest probe that waits is answered with `head`.
    pub(super) fn record_answer(&self, head: Revision) {
        self.lease().answer(head);
    }

    /// Records that the oldest probe that waits gets no answer.
    pub(super) fn record_silence(&self) {
        self.lease().give_up();
    }

    /// Records the difference of the gate's clock to the database's.
    pub(super) fn record_skew(&self, micros: i64) {
        let micros = micros.max(SKEW_UNKNOWN + 1);
        self.skew_micros.store(micros, Ordering::Relaxed);
    }

    fn is_strict(&self) -> bool {
        self.gate.mode == ValidatorMode::Strict
    }

    fn probe_age(&self) -> Option<Duration> {
        match self.probed.load(Ordering::Relaxed) {
            0 => None,
            micros => {
                let probed = Duration::from_micros(micros);
                Some(self.epoch.elapsed().saturating_sub(probed))
            }
        }
    }

    fn status(&self) -> ValidatorStatus {
        let now = Instant::now();
        let applied = self.applied();
        let lease = self.lease();
        let age = |arrived: Instant| now.saturating_duration_since(arrived);
        let has_lapsed = match lease.last() {
            Some(last) => age(last) > lease_length(self.gate.max_staleness),
            // A gate without a proof accepts nothing yet, which is the same to an operator.
            None => true,
        };
        let skew = self.skew_micros.load(Ordering::Relaxed);
        ValidatorStatus {
            gate: self.gate.clone(),
            applied,
            connected_at: self.since,
            probe_age: self.probe_age(),
            freshness: lease.last_proof(applied).map(age),
            skew_micros: (skew != SKEW_UNKNOWN).then_some(skew),
            lapsed: self.is_strict() && has_lapsed,
        }
    }

    fn line(&self, revision: Revision, history: u64) -> Line {
        // A revision of another history is another one.
        let confirmed = self.applied() >= revision && self.history == history;
        // A confirmed validator is not asked how long it could have done without.
        let last = match confirmed {
            true => None,
            false => self.lease().last_without(revision),
        };
        Line {
            validator: self.validator,
            strict: self.is_strict(),
            confirmed,
            accepts_until: last.map(|last| last + lease_length(self.gate.max_staleness)),
        }
    }

    fn roster_entry(&self) -> RosterEntry {
        RosterEntry {
            validator: self.validator,
            strict: self.is_strict(),
            max_staleness: self.gate.max_staleness,
            applied: self.applied(),
        }
    }

    fn lease(&self) -> MutexGuard<'_, Lease> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream that has ended. Its validator may accept for a while by the proofs of the stream.
struct EndedStream {
    validator: ValidatorId,
    history: u64,
    strict: bool,
    max_staleness: Duration,
    applied: Revision,
    lease: Lease,
}

impl EndedStream {
    fn of(connected: &Connected) -> Self {
        // A copy: until the stream is out of the list, it is still counted there.
        let mut lease = connected.lease().clone();
        lease.end();
        Self {
            validator: connected.validator,
            history: connected.history,
            strict: connected.is_strict(),
            max_staleness: connected.gate.max_staleness,
            applied: connected.applied(),
            lease,
        }
    }

    /// The end of its lease, whatever revision is asked about. None: it proved nothing.
    fn ends(&self) -> Option<Instant> {
        Some(self.lease.last()? + lease_length(self.max_staleness))
    }

    fn line(&self, revision: Revision, history: u64) -> Line {
        let last = self.lease.last_without(revision);
        Line {
            validator: self.validator,
            strict: self.strict,
            confirmed: self.applied >= revision && self.history == history,
            accepts_until: last.map(|last| last + lease_length(self.max_staleness)),
        }
    }

    fn roster_entry(&self) -> RosterEntry {
        RosterEntry {
            validator: self.validator,
            strict: self.strict,
            max_staleness: self.max_staleness,
            applied: self.applied,
        }
    }
}

/// The streams that ended lately.
#[derive(Default)]
struct EndedStreams {
    streams: VecDeque<EndedStream>,
    /// The end of the leases of those for which there was no room.
    forgotten_until: Option<Instant>,
    /// The time up to which the leases that ended are known to be out of the roster.
    removed_through: Option<Instant>,
}

impl EndedStreams {
    fn add(&mut self, stream: EndedStream) {
        // A stream that proved nothing lets its validator accept nothing.
        if stream.ends().is_none() {
            return;
        }
        if self.streams.len() == ENDED_MAX
            && let Some(oldest) = self.streams.pop_front()
        {
            self.forgotten_until = self.forgotten_until.max(oldest.ends());
        }
        self.streams.push_back(stream);
    }

    /// Forgets the streams whose leases ended long ago. Returns whether a lease has ended since the last call.
    fn remove_old(&mut self, now: Instant) -> bool {
        // A lease counts in one call only. Otherwise the version of the roster would rise with each
        // look, and each beat would write the roster anew.
        let since = self.removed_through.replace(now);
        let mut has_lapsed = false;
        self.streams.retain(|stream| match stream.ends() {
            None => false,
            Some(ends) => {
                has_lapsed |= ends < now && since.is_none_or(|since| ends >= since);
                ends + ENDED_KEPT > now
            }
        });
        has_lapsed
    }
}

/// The registration of a stream, until it is dropped.
pub struct Registration {
    validators: Arc<Validators>,
    id: u64,
    /// The stream.
    pub connected: Arc<Connected>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        // Added before it is removed, so that a count that looks at both in this order misses neither.
        let ended = EndedStream::of(&self.connected);
        self.validators.ended().add(ended);
        self.validators.connected.remove(&self.id);
        // Last, so that the list never has more streams than the bound.
        self.validators.count.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Validators {
    /// Makes an empty list.
    #[must_use]
    pub fn new(instruments: Arc<Instruments>) -> Self {
        Self {
            instruments,
            connected: DashMap::new(),
            ended: Mutex::default(),
            next: AtomicU64::new(0),
            count: AtomicUsize::new(0),
            roster_version: AtomicU64::new(0),
            confirmations: Arc::default(),
        }
    }

    /// Registers a stream about the history of this number. None: there are `streams_max` already.
    #[must_use]
    pub fn register(
        self: &Arc<Self>,
        gate: Gate,
        history: u64,
        streams_max: usize,
    ) -> Option<Registration> {
        // Counted first and taken back, so that streams that register together cannot exceed the bound.
        if self.count.fetch_add(1, Ordering::AcqRel) >= streams_max {
            self.count.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        let connected = Arc::new(Connected {
            instruments: Arc::clone(&self.instruments),
            confirmations: Arc::clone(&self.confirmations),
            validator: ValidatorId::of(&gate),
            gate,
            history,
            since: SystemTime::now(),
            epoch: Instant::now(),
            applied: AtomicU64::new(0),
            probed: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            lease: Mutex::default(),
            skew_micros: AtomicI64::new(SKEW_UNKNOWN),
        });
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.connected.insert(id, Arc::clone(&connected));
        // After the stream is in the list: a roster of this version contains it.
        self.roster_version.fetch_add(1, Ordering::AcqRel);
        Some(Registration {
            validators: Arc::clone(self),
            id,
            connected,
        })
    }

    /// Returns the status of every stream, in no order.
    #[must_use]
    pub fn list(&self) -> Vec<ValidatorStatus> {
        let mut statuses = Vec::with_capacity(self.connected.len());
        for stream in &self.connected {
            statuses.push(stream.status());
        }
        statuses
    }

    /// The number of streams.
    pub(crate) fn streams(&self) -> u64 {
        self.connected.len() as u64
    }

    /// The number of parked streams: their readers have no room, so nobody has asked them for the batches up to `head`.
    pub(crate) fn parked_streams(&self, head: Revision) -> u64 {
        let mut parked = 0;
        for stream in &self.connected {
            parked += u64::from(stream.taken.load(Ordering::Relaxed) < head.0);
        }
        parked
    }

    /// Returns each stream's name, the revision that it reported as applied, and the time since its last probe, or since
    /// it connected.
    pub(crate) fn series(&self) -> Vec<(String, Revision, Duration)> {
        let mut series = Vec::with_capacity(self.connected.len());
        for stream in &self.connected {
            // A gate that has never sent a probe must look old too.
            let age = match stream.probe_age() {
                Some(age) => age,
                None => stream.epoch.elapsed(),
            };
            series.push((stream.gate.name.clone(), stream.applied(), age));
        }
        series
    }

    /// The line of each stream about `revision` of a history: of open streams, and of those whose lease had not ended
    /// at `since`.
    pub(super) fn lines(&self, revision: Revision, since: Instant, history: u64) -> Vec<Line> {
        let mut lines = Vec::with_capacity(self.connected.len());
        // The open ones first: a stream that ends meanwhile is found in one list or in both.
        for stream in &self.connected {
            lines.push(stream.line(revision, history));
        }
        for stream in &self.ended().streams {
            if stream.ends().is_some_and(|ends| ends > since) {
                lines.push(stream.line(revision, history));
            }
        }
        lines
    }

    /// The time until which streams that had to be forgotten may let a validator accept. None: none was forgotten.
    pub(super) fn forgotten_until(&self) -> Option<Instant> {
        self.ended().forgotten_until
    }

    /// The version of the roster that [`roster`](Self::roster) returns at least.
    pub(super) fn roster_version(&self) -> u64 {
        self.roster_version.load(Ordering::Acquire)
    }

    /// All validators that may accept by this authority's proofs.
    pub(super) fn roster(&self, now: Instant) -> Vec<RosterEntry> {
        let mut roster = Vec::with_capacity(self.connected.len());
        for stream in &self.connected {
            roster.push(stream.roster_entry());
        }
        for stream in &self.ended().streams {
            if stream.ends().is_some_and(|ends| ends > now) {
                roster.push(stream.roster_entry());
            }
        }
        roster
    }

    /// The version of the log that every connected validator understands. None: no validator is connected.
    pub(super) fn log_version(&self) -> Option<u32> {
        let statuses = self.list();
        statuses.iter().map(|status| status.gate.log_version).min()
    }

    /// Forgets ended streams whose validators cannot accept any more. Other authorities learn it by another roster.
    pub(super) fn remove_lapsed(&self, now: Instant) {
        if self.ended().remove_old(now) {
            self.roster_version.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// The status of every stream, for the other authorities.
    pub(super) fn shared_statuses(&self) -> Vec<SharedStatus> {
        let mut shared = Vec::with_capacity(self.connected.len());
        for status in self.list() {
            shared.push(SharedStatus::of(&status));
        }
        shared
    }

    fn ended(&self) -> MutexGuard<'_, EndedStreams> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts the streams of each gate, by credential and name.
pub(crate) fn streams_by_gate<'a>(
    statuses: &[&'a ValidatorStatus],
) -> HashMap<(&'a str, &'a str), u32> {
    let mut streams = HashMap::new();
    for status in statuses {
        let gate = (&*status.gate.caller, &*status.gate.name);
        *streams.entry(gate).or_default() += 1;
    }
    streams
}

#[cfg(test)]
mod tests;
