//! The instruments that parts of the authority record into. Their names and units are in
//! `docs/reference/observability.md`; a test compares.

use opentelemetry::metrics::Meter;

use super::{
    calls::Calls, commits::Commits, connections::Connections, enforcement::Enforcement,
    refusals::Refusals,
};

/// The instruments of one authority.
pub struct Instruments {
    pub(crate) calls: Calls,
    pub(crate) refusals: Refusals,
    pub(crate) connections: Connections,
    pub(crate) commits: Commits,
    pub(crate) enforcement: Enforcement,
    /// Makes gauges, which are read when a reader asks for them.
    pub(crate) meter: Meter,
}

impl Instruments {
    /// Makes the instruments. `system` is the store's `db.system.name`.
    pub(crate) fn new(meter: Meter, system: &'static str) -> Self {
        Self {
            calls: Calls::new(&meter),
            refusals: Refusals::new(&meter),
            connections: Connections::new(&meter),
            commits: Commits::new(&meter, system),
            enforcement: Enforcement::new(&meter),
            meter,
        }
    }
}
