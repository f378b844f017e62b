//! The validators that watch this authority.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use dashmap::DashMap;
use portcullis_contract::{position::Revision, v1};

use crate::telemetry::Instruments;

/// Who is connected, for operators and for the counts in answers.
pub struct Validators {
    instruments: Arc<Instruments>,
    connected: DashMap<u64, Arc<Connected>>,
    next: AtomicU64,
    count: AtomicUsize,
}

/// One stream.
pub struct Connected {
    instruments: Arc<Instruments>,
    name: String,
    mode: v1::ValidatorMode,
    max_staleness: Duration,
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
            .reported(Revision(before), applied, self.epoch);
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

    fn status(&self) -> v1::ValidatorStatus {
        v1::ValidatorStatus {
            name: self.name.clone(),
            mode: self.mode.into(),
            max_staleness: self.max_staleness.try_into().ok(),
            applied_revision: self.applied.load(Ordering::Relaxed),
            connect_time: Some(self.since.into()),
            probe_age: self.probe_age().and_then(|age| age.try_into().ok()),
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
            next: AtomicU64::new(0),
            count: AtomicUsize::new(0),
        }
    }

    /// Registers a stream, unless there are `streams_max` already.
    #[must_use]
    pub fn register(
        self: &Arc<Self>,
        name: String,
        mode: v1::ValidatorMode,
        max_staleness: Duration,
        streams_max: usize,
    ) -> Option<Registration> {
        if self.count.fetch_add(1, Ordering::AcqRel) >= streams_max {
            self.count.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        let connected = Arc::new(Connected {
            instruments: Arc::clone(&self.instruments),
            name,
            mode,
            max_staleness,
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
    pub fn list(&self) -> Vec<v1::ValidatorStatus> {
        self.connected
            .iter()
            .map(|entry| entry.value().status())
            .collect()
    }

    /// How many streams there are, and how many of them are parked: nobody has asked them for what there is up to
    /// `head`, because their readers have no room.
    #[must_use]
    pub(crate) fn streams(&self, head: Revision) -> (u64, u64) {
        let parked = self
            .connected
            .iter()
            .filter(|entry| entry.taken.load(Ordering::Relaxed) < head.0);
        (self.connected.len() as u64, parked.count() as u64)
    }

    /// Each stream's name, what it reported as applied, and the time since its last probe, or since it connected.
    pub(crate) fn series(&self) -> Vec<(String, Revision, Duration)> {
        let series = |stream: &Connected| {
            let age = stream.probe_age().unwrap_or_else(|| stream.epoch.elapsed());
            (
                stream.name.clone(),
                Revision(stream.applied.load(Ordering::Relaxed)),
                age,
            )
        };
        self.connected
            .iter()
            .map(|entry| series(entry.value()))
            .collect()
    }

    /// What is known about the enforcement of `revision` now.
    #[must_use]
    pub fn enforcement(&self, revision: Revision, elapsed: Duration) -> v1::Enforcement {
        let mut enforcement = v1::Enforcement {
            revision: revision.0,
            elapsed: elapsed.try_into().ok(),
            ..Default::default()
        };
        for entry in &self.connected {
            enforcement.validators += 1;
            enforcement.confirmed += u32::from(entry.applied.load(Ordering::Relaxed) >= revision.0);
            enforcement.unbounded += u32::from(entry.mode != v1::ValidatorMode::Strict);
        }
        enforcement
    }
}
