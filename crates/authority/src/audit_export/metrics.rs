//! The metrics of exports.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Meter},
};

use crate::domain::ExportStatus;

/// The newest status of each export, by its name. None: the store did not tell.
type Shown = Mutex<Vec<(String, Option<ExportStatus>)>>;

/// A gauge of each export.
type StatusGauge = (
    &'static str,
    &'static str,
    &'static str,
    fn(&ExportStatus) -> f64,
);

const STATUS_GAUGES: [StatusGauge; 4] = [
    (
        "portcullis.audit.export.behind",
        "{revision}",
        "Revisions of the log that the export has not passed.",
        |status| status.behind_revisions as f64,
    ),
    (
        "portcullis.audit.export.lag",
        "s",
        "The age of the first revision that the export has not passed.",
        |status| status.behind_us as f64 / 1e6,
    ),
    (
        "portcullis.audit.export.dead_letters",
        "{event}",
        "Events that were given up and wait for an operator.",
        |status| status.dead_letters as f64,
    ),
    (
        "portcullis.audit.export.stopped",
        "{export}",
        "1 while the receiver is gone for good, else 0.",
        |status| f64::from(u8::from(status.stopped.is_some())),
    ),
];

/// The metrics of all exports of one authority.
pub(crate) struct ExportMetrics {
    delivered: Counter<u64>,
    failures: Counter<u64>,
    given_up: Counter<u64>,
    shown: Arc<Shown>,
}

impl ExportMetrics {
    pub(super) fn new(meter: &Meter, exports: &[String]) -> Self {
        let shown: Shown = Mutex::new(exports.iter().map(|name| (name.clone(), None)).collect());
        let shown = Arc::new(shown);
        for (name, unit, description, read) in STATUS_GAUGES {
            let source = Arc::clone(&shown);
            meter
                .f64_observable_gauge(name)
                .with_unit(unit)
                .with_description(description)
                .with_callback(move |observer| {
                    for (export, status) in lock(&source).iter() {
                        if let Some(status) = status {
                            observer.observe(read(status), &[label(export)]);
                        }
                    }
                })
                .build();
        }
        let counter = |name: &'static str, unit: &'static str, description: &'static str| {
            let counter = meter
                .u64_counter(name)
                .with_unit(unit)
                .with_description(description)
                .build();
            // So that the series is there before it grows: an increase from nothing raises no alert.
            for export in exports {
                counter.add(0, &[label(export)]);
            }
            counter
        };
        Self {
            delivered: counter(
                "portcullis.audit.export.delivered",
                "{event}",
                "Events that this authority delivered.",
            ),
            failures: counter(
                "portcullis.audit.export.failures",
                "{attempt}",
                "Attempts to deliver that failed.",
            ),
            given_up: counter(
                "portcullis.audit.export.given_up",
                "{event}",
                "Events that this authority made dead letters.",
            ),
            shown,
        }
    }

    pub(super) fn show(&self, export: &str, status: Option<ExportStatus>) {
        let mut shown = lock(&self.shown);
        if let Some((_, known)) = shown.iter_mut().find(|(name, _)| name == export) {
            *known = status;
        }
    }

    pub(super) fn count_delivered(&self, export: &str, events: u64) {
        self.delivered.add(events, &[label(export)]);
    }

    pub(super) fn count_failure(&self, export: &str) {
        self.failures.add(1, &[label(export)]);
    }

    pub(super) fn count_dead_letter(&self, export: &str) {
        self.given_up.add(1, &[label(export)]);
    }
}

fn lock(shown: &Shown) -> MutexGuard<'_, Vec<(String, Option<ExportStatus>)>> {
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}

fn label(export: &str) -> KeyValue {
    KeyValue::new("portcullis.export", export.to_owned())
}
