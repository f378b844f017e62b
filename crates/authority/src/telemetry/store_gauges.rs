//! Gauges of the store: its connections, the waits for them, and outages.

use std::sync::{Arc, Weak};

use arc_swap::ArcSwapOption;
use opentelemetry::{KeyValue, metrics::Meter};

use crate::store::{PoolState, StandbyState, Store, StoreMeasure};

/// The newest measure of the store. None: the last attempt failed, and an old value would mislead.
#[derive(Default)]
pub(crate) struct Measured(ArcSwapOption<StoreMeasure>);

impl Measured {
    pub(crate) fn replace(&self, measure: Option<StoreMeasure>) {
        self.0.store(measure.map(Arc::new));
    }
}

/// A gauge of the database as a whole.
type MeasureGauge = (
    &'static str,
    &'static str,
    &'static str,
    fn(&StoreMeasure) -> Option<u64>,
);

const MEASURE_GAUGES: [MeasureGauge; 3] = [
    (
        "portcullis.store.size",
        "By",
        "What the database takes on its disk.",
        |measure| Some(measure.size_bytes),
    ),
    (
        "portcullis.store.disk.free",
        "By",
        "What is free on the database's disk.",
        |measure| measure.disk_free_bytes,
    ),
    (
        "portcullis.store.standbys",
        "{standby}",
        "Standbys that are connected to the primary.",
        |measure| Some(measure.standbys.as_ref()?.len() as u64),
    ),
];

/// A gauge of each standby.
type StandbyGauge = (
    &'static str,
    &'static str,
    &'static str,
    fn(&StandbyState) -> f64,
);

const STANDBY_GAUGES: [StandbyGauge; 2] = [
    (
        "portcullis.store.standby.lag",
        "s",
        "How late the standby replays what the primary commits.",
        |standby| standby.lag.as_secs_f64(),
    ),
    (
        "portcullis.store.standby.behind",
        "By",
        "What the standby has not replayed yet.",
        |standby| standby.lag_bytes as f64,
    ),
];

/// Observes the newest measure whenever a reader asks.
pub(crate) fn observe_measured(meter: &Meter, measured: &Arc<Measured>) {
    for (name, unit, description, read) in MEASURE_GAUGES {
        // Not weak, as sources are elsewhere: a measure is a few numbers, and keeps no part of the
        // authority alive.
        let source = Arc::clone(measured);
        meter
            .u64_observable_gauge(name)
            .with_unit(unit)
            .with_description(description)
            .with_callback(move |observer| {
                let measure = source.0.load();
                if let Some(value) = measure.as_deref().and_then(read) {
                    observer.observe(value, &[]);
                }
            })
            .build();
    }
    observe_standbys(meter, measured);
}

fn observe_standbys(meter: &Meter, measured: &Arc<Measured>) {
    for (name, unit, description, read) in STANDBY_GAUGES {
        let source = Arc::clone(measured);
        meter
            .f64_observable_gauge(name)
            .with_unit(unit)
            .with_description(description)
            .with_callback(move |observer| {
                let measure = source.0.load();
                let standbys = measure.as_deref().and_then(|it| it.standbys.as_deref());
                for standby in standbys.unwrap_or_default() {
                    let name = KeyValue::new("portcullis.standby", standby.name.clone());
                    observer.observe(read(standby), &[name]);
                }
            })
            .build();
    }
}

/// Observes the store whenever a reader asks. It does not keep the store alive.
pub(crate) fn observe(meter: &Meter, store: &Arc<dyn Store>) {
    observe_outage(meter, store);
    observe_loans(meter, store);
    observe_pools(
        meter,
        store,
        "portcullis.store.connections.used",
        "{connection}",
        "Connections to the database on loan.",
        |pool| pool.in_use,
    );
    observe_pools(
        meter,
        store,
        "portcullis.store.connections.max",
        "{connection}",
        "The most connections of a lane.",
        |pool| pool.max,
    );
    observe_pools(
        meter,
        store,
        "portcullis.store.connections.waiting",
        "{call}",
        "Calls that wait for a connection.",
        |pool| pool.waiting,
    );
}

fn observe_pools(
    meter: &Meter,
    store: &Arc<dyn Store>,
    name: &'static str,
    unit: &'static str,
    description: &'static str,
    read: fn(&PoolState) -> u64,
) {
    let source = Arc::downgrade(store);
    meter
        .u64_observable_gauge(name)
        .with_unit(unit)
        .with_description(description)
        .with_callback(move |observer| {
            for pool in pools(&source) {
                observer.observe(read(&pool), &[lane(&pool)]);
            }
        })
        .build();
}

fn observe_loans(meter: &Meter, store: &Arc<dyn Store>) {
    let source = Arc::downgrade(store);
    meter
        .u64_observable_counter("portcullis.store.connections.loans")
        .with_unit("{loan}")
        .with_description("Loans of a connection, also those that were given up.")
        .with_callback(move |observer| {
            for pool in pools(&source) {
                observer.observe(pool.waits, &[lane(&pool)]);
            }
        })
        .build();
    let source = Arc::downgrade(store);
    meter
        .f64_observable_counter("portcullis.store.connections.wait.time")
        .with_unit("s")
        .with_description("The time that all loans waited for, connects included.")
        .with_callback(move |observer| {
            for pool in pools(&source) {
                observer.observe(pool.waited.as_secs_f64(), &[lane(&pool)]);
            }
        })
        .build();
}

fn observe_outage(meter: &Meter, store: &Arc<dyn Store>) {
    let source = Arc::downgrade(store);
    meter
        .f64_observable_gauge("portcullis.store.outage")
        .with_unit("s")
        .with_description("How long the store has been away; 0 while it is there.")
        .with_callback(move |observer| {
            if let Some(store) = source.upgrade() {
                let duration = store.outage().duration().unwrap_or_default();
                observer.observe(duration.as_secs_f64(), &[]);
            }
        })
        .build();
}

fn pools(store: &Weak<dyn Store>) -> Vec<PoolState> {
    match store.upgrade() {
        Some(store) => store.pools(),
        None => Vec::new(),
    }
}

fn lane(pool: &PoolState) -> KeyValue {
    KeyValue::new("portcullis.lane", pool.lane)
}
