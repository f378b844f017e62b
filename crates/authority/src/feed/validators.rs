//! The validators that watch this authority.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use dashmap::DashMap;
use portcullis_contract::position::Revision;

use crate::telemetry::Instruments;

/// The connected validators, for operators and for the counts in answers.
pub struct Validators {
    instruments: Arc<Instruments>,
    connected: DashMap<u64, Arc<Connected>>,
    /// The streams of each gate, by its credential and its name.
    gates: DashMap<(String, String), Arc<AtomicUsize>>,
    next: AtomicU64,
    /// Rises when a stream registers or ends.
    changes: AtomicU64,
    /// The number of streams, counted apart from `connected` so that registering one is a single atomic step.
    count: AtomicUsize,
}

/// A gate as its stream introduced it.
#[derive(Clone, Debug)]
pub struct Gate {
    /// The name of its credential.
    pub caller: String,
    /// A name for operators.
    pub name: String,
    /// The address and port that it connects from. Empty: unknown.
    pub address: String,
    /// Its decision when it cannot prove that its view is fresh.
    pub mode: ValidatorMode,
    /// The staleness that it enforces.
    pub max_staleness: Duration,
}

/// The decision of a gate that cannot prove that its view is fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValidatorMode {
    /// It refuses.
    Strict,
    /// It accepts, up to a second bound.
    BestEffort,
}

/// The enforcement of one revision by the gates that are connected now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enforcement {
    /// The revision.
    pub revision: Revision,
    /// Connected gates.
    pub validators: u32,
    /// Gates that have applied the revision on all their streams.
    pub confirmed: u32,
    /// Gates that accept without a bound while they cannot prove that their view is fresh.
    pub unbounded: u32,
    /// The time from the arrival of the call to its answer.
    pub elapsed: Duration,
}

/// One stream of a gate, for operators.
#[derive(Clone, Debug)]
pub struct ValidatorStatus {
    /// The gate.
    pub gate: Gate,
    /// The last revision that it reported as applied.
    pub applied: Revision,
    /// The time at which it connected.
    pub connected_at: SystemTime,
    /// The time since its last probe. None: it has sent none.
    pub probe_age: Option<Duration>,
}

impl Gate {
    fn key(&self) -> (String, String) {
        (self.caller.clone(), self.name.clone())
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} at {}", self.caller, self.name, self.address)
    }
}

/// One stream.
pub struct Connected {
    instruments: Arc<Instruments>,
    /// The gate at its other end.
    pub gate: Gate,
    /// The number of streams of the gate.
    streams: Arc<AtomicUsize>,
    since: SystemTime,
    epoch: Instant,
    applied: AtomicU64,
    /// The time of the last probe, in microseconds after `epoch`. 0: there was none.
    probed: AtomicU64,
    /// The last revision that the connection took from the stream.
    taken: AtomicU64,
}

impl Connected {
    /// Records a probe.
    pub fn record_probe(&self, applied: Revision) {
        // The maximum, because a gate never forgets a revision: a smaller claim is an older probe.
        let before = self.applied.fetch_max(applied.0, Ordering::Relaxed);
        self.instruments
            .enforcement
            .record_applied(Revision(before), applied, self.epoch);
        let micros = u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.probed.store(micros.max(1), Ordering::Relaxed);
    }

    /// Records that the connection took all batches up to `revision`.
    pub fn record_taken(&self, revision: Revision) {
        self.taken.store(revision.0, Ordering::Relaxed);
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
        ValidatorStatus {
            gate: self.gate.clone(),
            applied: Revision(self.applied.load(Ordering::Relaxed)),
            connected_at: self.since,
            probe_age: self.probe_age(),
        }
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
        // Before the stream is gone: see `enforcement`.
        self.validators.changes.fetch_add(1, Ordering::AcqRel);
        self.validators.connected.remove(&self.id);
        self.validators.uncount_stream(&self.connected.gate);
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
            gates: DashMap::new(),
            next: AtomicU64::new(0),
            changes: AtomicU64::new(0),
            count: AtomicUsize::new(0),
        }
    }

    /// Registers a stream. None: there are `streams_max` already.
    #[must_use]
    pub fn register(self: &Arc<Self>, gate: Gate, streams_max: usize) -> Option<Registration> {
        // Counted first and taken back, so that streams that register together cannot exceed the bound.
        if self.count.fetch_add(1, Ordering::AcqRel) >= streams_max {
            self.count.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        // Before the stream can be seen: see `enforcement`.
        self.changes.fetch_add(1, Ordering::AcqRel);
        let connected = Arc::new(Connected {
            instruments: Arc::clone(&self.instruments),
            streams: self.count_stream(&gate),
            gate,
            since: SystemTime::now(),
            epoch: Instant::now(),
            applied: AtomicU64::new(0),
            probed: AtomicU64::new(0),
            taken: AtomicU64::new(0),
        });
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.connected.insert(id, Arc::clone(&connected));
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
            let applied = Revision(stream.applied.load(Ordering::Relaxed));
            series.push((stream.gate.name.clone(), applied, age));
        }
        series
    }

    fn count_stream(&self, gate: &Gate) -> Arc<AtomicUsize> {
        // The entry stays locked until the count is raised, so the gate's last stream cannot remove it in between.
        let streams = self.gates.entry(gate.key()).or_default();
        streams.fetch_add(1, Ordering::Relaxed);
        Arc::clone(&streams)
    }

    fn uncount_stream(&self, gate: &Gate) {
        // Lowered and removed under one lock. In two steps, a stream that registers in between would count in an entry
        // that is gone.
        self.gates.remove_if(&gate.key(), |_, streams| {
            streams.fetch_sub(1, Ordering::Relaxed) == 1
        });
    }

    /// Returns the enforcement of `revision` as it is known now.
    ///
    /// Streams of one credential and one name count as one gate, so a gate that connects again is not counted twice. The
    /// gate has confirmed a revision when all of its streams have.
    #[must_use]
    pub fn enforcement(&self, revision: Revision, elapsed: Duration) -> Enforcement {
        let before = self.changes.load(Ordering::Acquire);
        let enforcement = self.count_gates(revision, elapsed, false);
        if self.changes.load(Ordering::Acquire) == before {
            return enforcement;
        }
        // A gate that was counted alone may have had another stream before or after, which was counted as well.
        self.count_gates(revision, elapsed, true)
    }

    /// Counts the gates. Unless `by_name`, a gate whose streams change meanwhile may be counted twice.
    fn count_gates(&self, revision: Revision, elapsed: Duration, by_name: bool) -> Enforcement {
        let mut enforcement = Enforcement {
            revision,
            validators: 0,
            confirmed: 0,
            unbounded: 0,
            elapsed,
        };
        let mut shared: HashMap<(String, String), Confirmation> = HashMap::new();
        for stream in &self.connected {
            let mut confirmation = Confirmation::default();
            confirmation.add(&stream, revision);
            // Nearly every gate has one stream. Only those with more are merged by name, which costs an allocation each.
            if !by_name && stream.streams.load(Ordering::Relaxed) == 1 {
                confirmation.count(&mut enforcement);
            } else {
                let gate = shared.entry(stream.gate.key()).or_default();
                gate.add(&stream, revision);
            }
        }
        for gate in shared.values() {
            gate.count(&mut enforcement);
        }
        enforcement
    }
}

/// The merged state of one gate's streams.
#[derive(Default)]
struct Confirmation {
    /// True if a stream has not applied the revision yet.
    missing: bool,
    /// True if a stream accepts without a bound of its own.
    unbounded: bool,
}

impl Confirmation {
    fn add(&mut self, stream: &Connected, revision: Revision) {
        self.missing |= stream.applied.load(Ordering::Relaxed) < revision.0;
        self.unbounded |= stream.gate.mode != ValidatorMode::Strict;
    }

    fn count(&self, enforcement: &mut Enforcement) {
        enforcement.validators += 1;
        enforcement.confirmed += u32::from(!self.missing);
        enforcement.unbounded += u32::from(self.unbounded);
    }
}

#[cfg(test)]
mod tests;
