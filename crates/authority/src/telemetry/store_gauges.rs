//! Gauges of the store: its connections, the waits for them, and outages.

use std::sync::{Arc, Weak};

use opentelemetry::{KeyValue, metrics::Meter};

use crate::store::{PoolState, Store};

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
