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

/// Who is connected, for operators and for the counts in answers.
pub struct Validators {
    instruments: Arc<Instruments>,
    connected: DashMap<u64, Arc<Connected>>,
    /// The streams of each gate, by its credential and its name.
    gates: DashMap<(String, String), Arc<AtomicUsize>>,
    next: AtomicU64,
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
    /// How many streams the gate has.
    streams: Arc<AtomicUsize>,
    since: SystemTime,
    epoch: Instant,
    applied: AtomicU64,
    /// Microseconds after `epoch`; 0 for never.
    probed: AtomicU64,
    /// The last batch that its connection took from the stream.
    taken: AtomicU64,
}

impl Connected {
    /// Notes a probe.
    pub fn probed(&self, applied: Revision) {
        let before = self.applied.fetch_max(applied.0, Ordering::Relaxed);
        self.instruments
            .enforcement
            .record_applied(Revision(before), applied, self.epoch);
        let micros = u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.probed.store(micros.max(1), Ordering::Relaxed);
    }

    /// Notes that its connection has all up to `revision`.
    pub fn took(&self, revision: Revision) {
        self.taken.store(revision.0, Ordering::Relaxed);
    }

    fn probe_age(&self) -> Option<Duration> {
        match self.probed.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(
                self.epoch
                    .elapsed()
                    .saturating_sub(Duration::from_micros(micros)),
            ),
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

/// A validator's place in the list, until dropped.
pub struct Registration {
    validators: Arc<Validators>,
    id: u64,
    /// The stream.
    pub connected: Arc<Connected>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.validators.connected.remove(&self.id);
        self.validators.uncount_stream(&self.connected.gate);
        self.validators.count.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Validators {
    /// Nobody yet.
    #[must_use]
    pub fn new(instruments: Arc<Instruments>) -> Self {
        Self {
            instruments,
            connected: DashMap::new(),
            gates: DashMap::new(),
            next: AtomicU64::new(0),
            count: AtomicUsize::new(0),
        }
    }

    /// Registers a stream, unless there are `streams_max` already.
    #[must_use]
    pub fn register(self: &Arc<Self>, gate: Gate, streams_max: usize) -> Option<Registration> {
        if self.count.fetch_add(1, Ordering::AcqRel) >= streams_max {
            self.count.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
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

    /// All, in no order.
    #[must_use]
    pub fn list(&self) -> Vec<ValidatorStatus> {
        self.connected
            .iter()
            .map(|entry| entry.value().status())
            .collect()
    }

    /// The number of streams.
    pub(crate) fn streams(&self) -> u64 {
        self.connected.len() as u64
    }

    /// The number of parked streams: their readers have no room, so nobody has asked them for the batches up to `head`.
    pub(crate) fn parked_streams(&self, head: Revision) -> u64 {
        let parked = self
            .connected
            .iter()
            .filter(|entry| entry.taken.load(Ordering::Relaxed) < head.0);
        parked.count() as u64
    }

    /// Each stream's name, what it reported as applied, and the time since its last probe, or since it connected.
    pub(crate) fn series(&self) -> Vec<(String, Revision, Duration)> {
        let series = |stream: &Connected| {
            let age = stream.probe_age().unwrap_or_else(|| stream.epoch.elapsed());
            (
                stream.gate.name.clone(),
                Revision(stream.applied.load(Ordering::Relaxed)),
                age,
            )
        };
        self.connected
            .iter()
            .map(|entry| series(entry.value()))
            .collect()
    }

    fn count_stream(&self, gate: &Gate) -> Arc<AtomicUsize> {
        // The entry is locked meanwhile, so the last stream of the gate cannot remove it.
        let streams = self.gates.entry(gate.key()).or_default();
        streams.fetch_add(1, Ordering::Relaxed);
        Arc::clone(&streams)
    }

    fn uncount_stream(&self, gate: &Gate) {
        self.gates.remove_if(&gate.key(), |_, streams| {
            streams.fetch_sub(1, Ordering::Relaxed) == 1
        });
    }

    /// What is known about the enforcement of `revision` now.
    ///
    /// Streams of one credential and one name count as one gate: neither a gate that connects again nor a credential
    /// that connects often is many. The gate has confirmed what all of its streams have.
    #[must_use]
    pub fn enforcement(&self, revision: Revision, elapsed: Duration) -> Enforcement {
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
            confirmation.take(&stream, revision);
            // Nearly every gate has one stream: only the others are brought together by name.
            if stream.streams.load(Ordering::Relaxed) == 1 {
                confirmation.count(&mut enforcement);
            } else {
                let gate = shared.entry(stream.gate.key()).or_default();
                gate.take(&stream, revision);
            }
        }
        for gate in shared.values() {
            gate.count(&mut enforcement);
        }
        enforcement
    }
}

/// What the streams of one gate amount to.
#[derive(Default)]
struct Confirmation {
    /// Whether a stream has not applied the revision yet.
    missing: bool,
    /// Whether a stream accepts without a bound of its own.
    unbounded: bool,
}

impl Confirmation {
    fn take(&mut self, stream: &Connected, revision: Revision) {
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
