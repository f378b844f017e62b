//! Metrics of the removal of old rows: how many went, how old the rest is, and when each kind was last gone through.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Meter},
};
use tokio::time::Instant;

/// A kind of rows that go when they are old enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RemovalKind {
    /// Ended sessions.
    Sessions,
    /// Devices, places and networks of sign-ins.
    History,
    /// Cutoffs that cover no session.
    Cutoffs,
    /// Events of the audit trail.
    AuditEvents,
}

impl RemovalKind {
    const ALL: [Self; 4] = [
        Self::Sessions,
        Self::History,
        Self::Cutoffs,
        Self::AuditEvents,
    ];

    fn label(self) -> KeyValue {
        let name = match self {
            Self::Sessions => "sessions",
            Self::History => "history",
            Self::Cutoffs => "cutoffs",
            Self::AuditEvents => "audit_events",
        };
        KeyValue::new("portcullis.kind", name)
    }
}

/// The last round over a kind.
#[derive(Clone, Copy)]
struct LastRound {
    /// Its end, or the start of the authority.
    ended: Instant,
    oldest: Option<Duration>,
}

/// The last rounds, in the order of [`RemovalKind::ALL`].
type Rounds = Mutex<[LastRound; RemovalKind::ALL.len()]>;

/// The metrics.
pub(crate) struct RemovalMetrics {
    rows: Counter<u64>,
    rounds: Arc<Rounds>,
}

impl RemovalMetrics {
    pub(super) fn new(meter: &Meter) -> Self {
        let rows = meter
            .u64_counter("portcullis.removal.rows")
            .with_unit("{row}")
            .with_description("Old rows that this authority removed.")
            .build();
        for kind in RemovalKind::ALL {
            // So that the series is there before it grows.
            rows.add(0, &[kind.label()]);
        }
        let none = LastRound {
            ended: Instant::now(),
            oldest: None,
        };
        let rounds = Arc::new(Mutex::new([none; RemovalKind::ALL.len()]));
        observe_rounds(
            meter,
            &rounds,
            "portcullis.removal.round.age",
            "Since this authority has last gone through all rows of a kind, or since its start.",
            |round| Some(round.ended.elapsed()),
        );
        observe_rounds(
            meter,
            &rounds,
            "portcullis.removal.oldest",
            "The age of the oldest row that the last round left.",
            |round| round.oldest,
        );
        Self { rows, rounds }
    }

    /// Counts rows that were removed.
    pub(crate) fn count(&self, kind: RemovalKind, rows: u64) {
        self.rows.add(rows, &[kind.label()]);
    }

    /// Records the end of a round, and the age of the oldest row that it left.
    pub(crate) fn end_round(&self, kind: RemovalKind, oldest: Option<Duration>) {
        let mut rounds = lock(&self.rounds);
        for (round, of) in rounds.iter_mut().zip(RemovalKind::ALL) {
            if of == kind {
                *round = LastRound {
                    ended: Instant::now(),
                    oldest,
                };
            }
        }
    }
}

fn observe_rounds(
    meter: &Meter,
    rounds: &Arc<Rounds>,
    name: &'static str,
    description: &'static str,
    read: fn(&LastRound) -> Option<Duration>,
) {
    let source = Arc::clone(rounds);
    meter
        .f64_observable_gauge(name)
        .with_unit("s")
        .with_description(description)
        .with_callback(move |observer| {
            for (round, kind) in lock(&source).iter().zip(RemovalKind::ALL) {
                if let Some(value) = read(round) {
                    observer.observe(value.as_secs_f64(), &[kind.label()]);
                }
            }
        })
        .build();
}

fn lock(rounds: &Rounds) -> MutexGuard<'_, [LastRound; RemovalKind::ALL.len()]> {
    rounds.lock().unwrap_or_else(PoisonError::into_inner)
}
