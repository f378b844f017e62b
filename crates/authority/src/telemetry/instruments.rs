//! The instruments that parts of the authority record into. Their names and units are in
//! `docs/reference/observability.md`; a test compares.

use std::sync::Arc;

use opentelemetry::metrics::{Counter, Meter};

use super::{
    calls::{Calls, HttpCalls},
    commits::Commits,
    connections::Connections,
    enforcement::Enforcement,
    refusals::Refusals,
    removal::RemovalMetrics,
};

/// The instruments of one authority.
pub struct Instruments {
    pub(crate) calls: Calls,
    pub(crate) http_calls: HttpCalls,
    pub(crate) refusals: Refusals,
    pub(crate) connections: Connections,
    pub(crate) commits: Commits,
    pub(crate) enforcement: Enforcement,
    /// Sign-outs of everyone because the database's clock was set back.
    pub(crate) clock_sign_outs: Counter<u64>,
    pub(crate) removal: Arc<RemovalMetrics>,
    /// Makes gauges, which are read when a reader asks for them.
    pub(crate) meter: Meter,
}

impl Instruments {
    /// Makes the instruments. `system` is the store's `db.system.name`.
    pub(crate) fn new(meter: Meter, system: &'static str) -> Self {
        Self {
            calls: Calls::new(&meter),
            http_calls: HttpCalls::new(&meter),
            refusals: Refusals::new(&meter),
            connections: Connections::new(&meter),
            commits: Commits::new(&meter, system),
            enforcement: Enforcement::new(&meter),
            clock_sign_outs: clock_sign_outs(&meter),
            removal: Arc::new(RemovalMetrics::new(&meter)),
            meter,
        }
    }
}

fn clock_sign_outs(meter: &Meter) -> Counter<u64> {
    let counter = meter
        .u64_counter("portcullis.clock.sign_outs")
        .with_description("Sign-outs of everyone because the database's clock was set back.")
        .build();
    // So that the series is there before it grows: an increase from nothing raises no alert.
    counter.add(0, &[]);
    counter
}
