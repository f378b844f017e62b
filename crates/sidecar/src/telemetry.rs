//! Metrics: the checks of each door, and the validator's own instruments. Prometheus reads them at `/metrics`.
//!
//! Their names and units are in `docs/gateways/sidecar.md`; a test compares.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, Meter, MeterProvider, UpDownCounter},
};
use opentelemetry_sdk::{error::OTelSdkError, metrics::SdkMeterProvider};
use portcullis_gate::Decision;
use prometheus::{Registry, TextEncoder};

/// The name of the instruments' scope.
const SCOPE: &str = "portcullis-sidecar";
/// Seconds, from a look-up in memory to a machine that is overloaded.
const DURATION_BUCKETS: [f64; 13] = [
    0.000_001,
    0.000_002_5,
    0.000_005,
    0.000_01,
    0.000_025,
    0.000_05,
    0.000_1,
    0.000_25,
    0.001,
    0.01,
    0.1,
    1.0,
    10.0,
];

/// A door, in the words of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    ExtAuthz,
    ForwardAuth,
}

impl Door {
    /// Its name in metrics and logs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ExtAuthz => "ext_authz",
            Self::ForwardAuth => "forward_auth",
        }
    }
}

/// The metrics of one sidecar.
pub(crate) struct Telemetry {
    registry: Registry,
    // Instruments record for as long as it lives.
    provider: SdkMeterProvider,
}

impl Telemetry {
    /// Sets up the reader of metrics.
    pub(crate) fn start() -> Result<Self, OTelSdkError> {
        let registry = Registry::new();
        let prometheus = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .build()?;
        let provider = SdkMeterProvider::builder().with_reader(prometheus).build();
        Ok(Self { registry, provider })
    }

    /// The meter of all instruments.
    pub(crate) fn meter(&self) -> Meter {
        self.provider.meter(SCOPE)
    }

    /// All metrics in Prometheus' text format. None if they cannot be written.
    pub(crate) fn text(&self) -> Option<String> {
        let families = self.registry.gather();
        TextEncoder::new().encode_to_string(&families).ok()
    }
}

/// The instruments of the listeners and the doors.
pub(crate) struct Instruments {
    checks: Counter<u64>,
    durations: Histogram<f64>,
    connections: UpDownCounter<i64>,
}

impl Instruments {
    /// Makes the instruments.
    pub(crate) fn new(meter: &Meter) -> Self {
        Self {
            checks: meter
                .u64_counter("portcullis.sidecar.checks")
                .with_unit("{check}")
                .with_description("Checks by door and verdict.")
                .build(),
            durations: meter
                .f64_histogram("portcullis.sidecar.check.duration")
                .with_unit("s")
                .with_description("How long a decision takes, without the transport.")
                .with_boundaries(DURATION_BUCKETS.to_vec())
                .build(),
            connections: meter
                .i64_up_down_counter("portcullis.sidecar.connections")
                .with_unit("{connection}")
                .with_description("Open connections of each listener.")
                .build(),
        }
    }

    /// Records a decision of a door.
    pub(crate) fn record_check(&self, door: Door, decision: &Decision, duration: Duration) {
        let door = KeyValue::new("portcullis.door", door.name());
        let verdict = KeyValue::new("portcullis.verdict", verdict(decision));
        // Without the verdict: each of its values would be another 13 buckets of every door.
        self.durations
            .record(duration.as_secs_f64(), std::slice::from_ref(&door));
        self.checks.add(1, &[door, verdict]);
    }

    /// Counts a connection until the guard is dropped.
    pub(crate) fn open_connection(&self, listener: &'static str) -> OpenConnection {
        let connection = OpenConnection {
            connections: self.connections.clone(),
            listener: KeyValue::new("portcullis.listener", listener),
        };
        connection.add(1);
        connection
    }
}

/// The verdict in a word of a fixed list: `allowed`, or the reason of the refusal.
fn verdict(decision: &Decision) -> &'static str {
    match decision {
        Decision::Allow(_) => "allowed",
        Decision::Deny(deny) => deny.reason,
    }
}

/// A connection that is open.
pub(crate) struct OpenConnection {
    connections: UpDownCounter<i64>,
    listener: KeyValue,
}

impl OpenConnection {
    fn add(&self, change: i64) {
        self.connections
            .add(change, std::slice::from_ref(&self.listener));
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.add(-1);
    }
}

/// The pace of a log line that anybody may cause: one in an interval.
pub(crate) struct LogPace {
    interval: Duration,
    last: Mutex<Option<Instant>>,
}

impl LogPace {
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            interval,
            last: Mutex::new(None),
        }
    }

    /// Returns whether a line may be written now.
    pub(crate) fn admit(&self) -> bool {
        let now = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| now.duration_since(last) < self.interval) {
            return false;
        }
        *last = Some(now);
        true
    }
}
