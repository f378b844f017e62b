//! The instruments. Their names and units are in `docs/reference/observability.md`; a test compares.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, Meter, UpDownCounter},
};
use opentelemetry_semantic_conventions::{attribute, metric};
use portcullis_contract::position::Revision;
use tracing::{Instrument, Span};

use super::{enforcement::Acknowledged, trace::commit_span};
use crate::{
    domain::{Entry, Outcome},
    feed::{Feed, Validators},
    health::{Condition, Pulse, Readiness},
    store::{Appended, StoreError},
};

/// Validators that have series of their own, in the order of their names; the others share one.
const VALIDATOR_SERIES_MAX: usize = 100;
/// The name of the series that the others share.
const OTHERS: &str = "_others";

/// Seconds: from a lookup in memory or a fast disk to a wait for a distant standby.
const DURATION_BUCKETS: &[f64] = &[
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];
/// Seconds: from one round trip to the largest staleness that is allowed by default.
const ENFORCEMENT_BUCKETS: &[f64] = &[
    0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];
const BATCH_BUCKETS: &[f64] = &[
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0,
];

/// The name of an rpc by the semantic conventions: `package.Service/Method`. It comes from the table of served rpcs,
/// never from the caller, who could otherwise create any number of series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rpc(pub(crate) &'static str);

impl Rpc {
    /// The shared name of all rpcs that are not served.
    const UNKNOWN: Self = Self("_OTHER");

    /// Names the rpc of a served path.
    pub(crate) fn from_path(path: Option<&'static str>) -> Self {
        match path.and_then(|path| path.strip_prefix('/')) {
            Some(name) => Self(name),
            None => Self::UNKNOWN,
        }
    }
}

/// The result of a call, in the words of the semantic conventions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallStatus {
    /// The gRPC status: `OK`, `UNAVAILABLE`.
    pub(crate) code: &'static str,
    /// Whether the server is at fault, so that the call counts as an error.
    pub(crate) is_server_fault: bool,
}

/// What is recorded as it happens.
pub struct Instruments {
    pub(super) meter: Meter,
    /// `db.system.name`
    system: &'static str,
    calls: Histogram<f64>,
    batches: Histogram<u64>,
    commits: Histogram<f64>,
    enforcement: Histogram<f64>,
    acknowledged: Acknowledged,
    refused: Counter<u64>,
    edge: Edge,
}

/// The connections of the edge, and the credentials that it refuses.
struct Edge {
    credentials_refused: Counter<u64>,
    connections: UpDownCounter<i64>,
    connections_refused: Counter<u64>,
    connections_ended: Counter<u64>,
}

impl Edge {
    fn new(meter: &Meter) -> Self {
        let counter = |name: &'static str, unit: &'static str, description: &'static str| {
            let counter = meter.u64_counter(name).with_unit(unit);
            counter.with_description(description).build()
        };
        Self {
            credentials_refused: counter(
                "portcullis.credentials.refused",
                "{call}",
                "Calls whose credential was refused.",
            ),
            connections: meter
                .i64_up_down_counter("portcullis.connections")
                .with_unit("{connection}")
                .with_description("Open connections of each port.")
                .build(),
            connections_refused: counter(
                "portcullis.connections.refused",
                "{connection}",
                "Connections that were not taken because a bound was reached.",
            ),
            connections_ended: counter(
                "portcullis.connections.ended",
                "{connection}",
                "Connections that the authority ended.",
            ),
        }
    }
}

/// A connection that is counted until this is dropped.
pub(crate) struct OpenConnection<'a> {
    connections: &'a UpDownCounter<i64>,
    port: &'static str,
}

impl Drop for OpenConnection<'_> {
    fn drop(&mut self) {
        let port = [KeyValue::new("portcullis.port", self.port)];
        self.connections.add(-1, &port);
    }
}

impl Instruments {
    pub(super) fn new(meter: Meter, system: &'static str) -> Self {
        let seconds = |name: &'static str, buckets: &[f64], description: &'static str| {
            let histogram = meter
                .f64_histogram(name)
                .with_unit("s")
                .with_description(description);
            histogram.with_boundaries(buckets.to_vec()).build()
        };
        Self {
            commits: seconds(
                metric::DB_CLIENT_OPERATION_DURATION,
                DURATION_BUCKETS,
                "How long a batch's commit takes.",
            ),
            enforcement: seconds(
                "portcullis.enforcement.delay",
                ENFORCEMENT_BUCKETS,
                "From the acknowledgement of a revocation until a validator's probe reports it as applied.",
            ),
            calls: seconds(
                metric::RPC_SERVER_CALL_DURATION,
                DURATION_BUCKETS,
                "How long calls take; streams until they end.",
            ),
            batches: meter
                .u64_histogram("portcullis.log.batch.size")
                .with_unit("{entry}")
                .with_description("The entries of each batch.")
                .with_boundaries(BATCH_BUCKETS.to_vec())
                .build(),
            acknowledged: Acknowledged::default(),
            refused: meter
                .u64_counter("portcullis.refused")
                .with_unit("{call}")
                .with_description("Calls refused because a bound was reached, by bound.")
                .build(),
            edge: Edge::new(&meter),
            meter,
            system,
        }
    }

    /// Records the end of a call.
    pub(crate) fn call(&self, rpc: Rpc, status: CallStatus, duration: Duration) {
        let mut attributes = vec![
            KeyValue::new(attribute::RPC_SYSTEM_NAME, "grpc"),
            KeyValue::new(attribute::RPC_METHOD, rpc.0),
            KeyValue::new(attribute::RPC_RESPONSE_STATUS_CODE, status.code),
        ];
        if status.is_server_fault {
            attributes.push(KeyValue::new(attribute::ERROR_TYPE, status.code));
        }
        self.calls.record(duration.as_secs_f64(), &attributes);
    }

    /// Counts a call that was refused because the bound of this name was reached.
    pub(crate) fn refused(&self, bound: &'static str) {
        self.refused
            .add(1, &[KeyValue::new("portcullis.bound", bound)]);
    }

    /// Counts a call of a class that was refused at the edge.
    pub(crate) fn shed(&self, class: &'static str, bound: &'static str) {
        let attributes = [
            KeyValue::new("portcullis.class", class),
            KeyValue::new("portcullis.bound", bound),
        ];
        self.refused.add(1, &attributes);
    }

    /// Notes a refused credential.
    pub(crate) fn credential_refused(&self, reason: &'static str) {
        let reason = [KeyValue::new("portcullis.reason", reason)];
        self.edge.credentials_refused.add(1, &reason);
    }

    /// Counts an open connection of a port.
    pub(crate) fn connection(&self, port: &'static str) -> OpenConnection<'_> {
        let connections = &self.edge.connections;
        connections.add(1, &[KeyValue::new("portcullis.port", port)]);
        OpenConnection { connections, port }
    }

    /// Notes a connection that was not taken.
    pub(crate) fn connection_refused(&self, port: &'static str, bound: &'static str) {
        let attributes = [
            KeyValue::new("portcullis.port", port),
            KeyValue::new("portcullis.bound", bound),
        ];
        self.edge.connections_refused.add(1, &attributes);
    }

    /// Notes a connection that the authority ended.
    pub(crate) fn connection_ended(&self, port: &'static str, reason: &'static str) {
        let attributes = [
            KeyValue::new("portcullis.port", port),
            KeyValue::new("portcullis.reason", reason),
        ];
        self.edge.connections_ended.add(1, &attributes);
    }

    /// Runs a batch's commit in its span.
    pub(crate) async fn commit(
        &self,
        entries: &[Entry],
        work: impl Future<Output = Result<Appended, StoreError>>,
    ) -> Result<Appended, StoreError> {
        let (span, begun) = (commit_span(self.system, entries), Instant::now());
        let result = work.instrument(span.clone()).await;
        record_commit(&span, &result);
        let mut attributes = vec![
            KeyValue::new(attribute::DB_SYSTEM_NAME, self.system),
            KeyValue::new(attribute::DB_OPERATION_NAME, "commit"),
            KeyValue::new(attribute::DB_COLLECTION_NAME, "log"),
        ];
        attributes.extend(
            result
                .as_ref()
                .err()
                .map(|error| KeyValue::new(attribute::ERROR_TYPE, kind(error))),
        );
        self.commits
            .record(begun.elapsed().as_secs_f64(), &attributes);
        self.batches.record(entries.len() as u64, &[]);
        result
    }

    /// Notes what was acknowledged just now.
    pub(crate) fn acknowledged<'a>(&self, outcomes: impl Iterator<Item = &'a Outcome>) {
        let changed = outcomes.filter(|outcome| outcome.changed > 0);
        if let Some(revision) = changed.map(|outcome| outcome.revision).max() {
            self.acknowledged.note(revision, Instant::now());
        }
    }

    /// Notes that a validator, connected since `connected`, reports `applied` and reported `before` the last time.
    pub(crate) fn reported(&self, before: Revision, applied: Revision, connected: Instant) {
        if applied <= before {
            return;
        }
        let delays = self
            .acknowledged
            .reported(before, applied, connected, Instant::now());
        delays
            .iter()
            .for_each(|delay| self.enforcement.record(delay.as_secs_f64(), &[]));
    }

    /// Reads the rest where it stands whenever somebody asks. Holds nothing alive.
    pub(crate) fn observe(&self, feed: &Arc<Feed>, validators: &Arc<Validators>) {
        let gauge = |name: &'static str,
                     unit: &'static str,
                     description: &'static str,
                     read: fn(&Gauges) -> u64| {
            let sources = (Arc::downgrade(feed), Arc::downgrade(validators));
            let gauge = self
                .meter
                .u64_observable_gauge(name)
                .with_unit(unit)
                .with_description(description);
            gauge
                .with_callback(move |observer| {
                    if let Some(gauges) = gauges(&sources) {
                        observer.observe(read(&gauges), &[]);
                    }
                })
                .build();
        };
        gauge(
            "portcullis.log.head",
            "{revision}",
            "The log's head, as last read.",
            |read| read.head.0,
        );
        gauge(
            "portcullis.feed.applied",
            "{revision}",
            "What this authority's own view has.",
            |read| read.applied.0,
        );
        gauge(
            "portcullis.feed.ring.depth",
            "{batch}",
            "Batches in memory.",
            |read| read.ring_frames,
        );
        gauge("portcullis.feed.ring.size", "By", "Their deltas.", |read| {
            read.ring_bytes
        });
        gauge(
            "portcullis.feed.snapshot.size",
            "By",
            "The newest snapshot.",
            |read| read.snapshot_bytes,
        );
        gauge(
            "portcullis.feed.forks",
            "{fork}",
            "Times that the store had another history than before.",
            |read| read.forks,
        );
        gauge(
            "portcullis.view.entries",
            "{entry}",
            "Revoked credentials and cutoffs that every gate holds.",
            |read| read.view_entries,
        );
        gauge(
            "portcullis.view.size",
            "By",
            "Those entries, encoded.",
            |read| read.view_bytes,
        );
        gauge(
            "portcullis.watch.streams",
            "{stream}",
            "Connected validators.",
            |read| read.streams,
        );
        gauge(
            "portcullis.watch.streams.parked",
            "{stream}",
            "Streams whose reader has no room for the newest batch.",
            |read| read.parked,
        );
        self.observe_validators(validators);
    }

    /// Reads readiness whenever somebody asks.
    pub(crate) fn observe_readiness(&self, readiness: &Arc<Readiness>) {
        let source = Arc::downgrade(readiness);
        let unready = self
            .meter
            .u64_observable_gauge("portcullis.unready")
            .with_unit("{condition}");
        unready
            .with_description("1 for each condition that makes this authority not ready, else 0.")
            .with_callback(move |observer| {
                let Some(readiness) = source.upgrade() else {
                    return;
                };
                let problems = readiness.problems();
                let problems = problems.borrow();
                for condition in Condition::ALL {
                    let is_there = u64::from(problems.contains_key(&condition));
                    let attribute = KeyValue::new("portcullis.condition", condition.name());
                    observer.observe(is_there, &[attribute]);
                }
            })
            .build();
        let ages = [
            (
                "portcullis.beat.age",
                "Since the last beat of this authority.",
                Pulse::Beat,
            ),
            (
                "portcullis.write.age",
                "Since the store last took a write of this authority's check.",
                Pulse::Writes,
            ),
            (
                "portcullis.feed.age",
                "Since this authority's view was last at the head.",
                Pulse::Feed,
            ),
        ];
        for (name, description, pulse) in ages {
            let source = Arc::downgrade(readiness);
            self.meter
                .f64_observable_gauge(name)
                .with_unit("s")
                .with_description(description)
                .with_callback(move |observer| {
                    if let Some(readiness) = source.upgrade() {
                        observer.observe(readiness.age(pulse).as_secs_f64(), &[]);
                    }
                })
                .build();
        }
    }

    fn observe_validators(&self, validators: &Arc<Validators>) {
        let probe_age = self
            .meter
            .f64_observable_gauge("portcullis.validator.probe.age")
            .with_unit("s");
        let source = Arc::downgrade(validators);
        probe_age
            .with_description(
                "Since the last probe of each validator: what it knows is at least this old.",
            )
            .with_callback(move |observer| {
                for (name, series) in by_name(&source) {
                    observer.observe(
                        series.probe_age.as_secs_f64(),
                        &[KeyValue::new("portcullis.validator.name", name)],
                    );
                }
            })
            .build();
        let applied = self
            .meter
            .u64_observable_gauge("portcullis.validator.applied")
            .with_unit("{revision}");
        let source = Arc::downgrade(validators);
        applied
            .with_description("What each validator reported as applied.")
            .with_callback(move |observer| {
                for (name, series) in by_name(&source) {
                    observer.observe(
                        series.applied.0,
                        &[KeyValue::new("portcullis.validator.name", name)],
                    );
                }
            })
            .build();
    }
}

/// What stands somewhere and is read when asked for.
#[derive(Default)]
pub(crate) struct Gauges {
    pub(crate) head: Revision,
    pub(crate) applied: Revision,
    pub(crate) ring_frames: u64,
    pub(crate) ring_bytes: u64,
    pub(crate) forks: u64,
    pub(crate) view_entries: u64,
    pub(crate) view_bytes: u64,
    pub(crate) snapshot_bytes: u64,
    pub(crate) streams: u64,
    pub(crate) parked: u64,
}

fn gauges((feed, validators): &(Weak<Feed>, Weak<Validators>)) -> Option<Gauges> {
    let (feed, validators) = (feed.upgrade()?, validators.upgrade()?);
    let mut gauges = feed.gauges();
    (gauges.streams, gauges.parked) = validators.streams(gauges.applied);
    Some(gauges)
}

/// A name's worst: several streams may have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Series {
    applied: Revision,
    probe_age: Duration,
}

impl Series {
    fn worse(self, other: Self) -> Self {
        Self {
            applied: self.applied.min(other.applied),
            probe_age: self.probe_age.max(other.probe_age),
        }
    }
}

fn by_name(validators: &Weak<Validators>) -> BTreeMap<String, Series> {
    let known = validators
        .upgrade()
        .map(|validators| validators.series())
        .unwrap_or_default();
    bounded(
        known
            .into_iter()
            .map(|(name, applied, probe_age)| (name, Series { applied, probe_age })),
    )
}

fn bounded(all: impl Iterator<Item = (String, Series)>) -> BTreeMap<String, Series> {
    let mut merged = BTreeMap::<String, Series>::new();
    let add = |merged: &mut BTreeMap<String, Series>, name: String, series: Series| {
        merged
            .entry(name)
            .and_modify(|known| *known = known.worse(series))
            .or_insert(series);
    };
    all.for_each(|(name, series)| add(&mut merged, name, series));
    if merged.len() > VALIDATOR_SERIES_MAX
        && let Some(first) = merged.keys().nth(VALIDATOR_SERIES_MAX - 1).cloned()
        && let Some(worst) = merged.split_off(&first).into_values().reduce(Series::worse)
    {
        add(&mut merged, OTHERS.to_owned(), worst);
    }
    merged
}

fn record_commit(span: &Span, result: &Result<Appended, StoreError>) {
    match result {
        Ok(appended) => {
            let revision = appended
                .outcomes
                .iter()
                .flatten()
                .map(|outcome| outcome.revision.0)
                .max();
            span.record("portcullis.revision", revision.unwrap_or_default());
        }
        Err(_) => {
            span.record("otel.status_code", "ERROR");
        }
    }
}

fn kind(error: &StoreError) -> &'static str {
    match error {
        StoreError::Unavailable(_) => "unavailable",
        StoreError::Conflict(_) => "conflict",
        StoreError::TooSlow(_) => "too_slow",
        StoreError::InUse(_) => "in_use",
        StoreError::Overloaded(_) => "overloaded",
        StoreError::Trimmed => "trimmed",
        StoreError::NotMigrated => "not_migrated",
        StoreError::Unusable(_) => "unusable",
        StoreError::Internal(_) => "internal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(applied: u64, seconds: u64) -> Series {
        Series {
            applied: Revision(applied),
            probe_age: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn a_name_that_several_streams_have_shows_the_worst() {
        let all = [
            ("a", series(5, 1)),
            ("a", series(3, 2)),
            ("b", series(9, 9)),
        ];
        let merged = bounded(
            all.into_iter()
                .map(|(name, series)| (name.to_owned(), series)),
        );
        assert_eq!(merged["a"], series(3, 2));
        assert_eq!(merged["b"], series(9, 9));
    }

    #[test]
    fn beyond_the_bound_names_share_one_series_and_the_worst_is_kept() {
        for prefix in ["gate", "~", "A"] {
            let all = (0..1000_u64).map(|number| {
                (
                    format!("{prefix}{number:04}"),
                    series(5000 - number, number),
                )
            });
            let merged = bounded(all);
            assert_eq!(merged.len(), VALIDATOR_SERIES_MAX, "{prefix}");
            assert_eq!(merged[OTHERS], series(5000 - 999, 999));
        }
    }

    #[test]
    fn a_call_is_named_by_the_table_only() {
        let rpc = Rpc::from_path(Some("/portcullis.v1.SessionService/GetSession"));
        assert_eq!(rpc, Rpc("portcullis.v1.SessionService/GetSession"));
        assert_eq!(Rpc::from_path(None), Rpc::UNKNOWN);
    }
}
