//! Authorities and gates under seeded faults, in simulated time, with every history checked.
//!
//! One seed gives one run: the same schedule of sign-ins, revocations and faults, the same network, the same history. The
//! README says what is real here and what is a model.

mod authority;
pub mod bug;
mod dice;
mod gate;
pub mod history;
mod links;
mod operations;
pub mod reference;
pub mod run;
mod schedule;
mod sidecar;
mod store;
mod users;
mod wire;
mod world;

use std::time::Duration;

/// The authorities of a run.
pub const AUTHORITIES: usize = 2;
/// The gates of a run, all in strict mode. The last one is a sidecar.
pub const GATES: usize = 3;
/// The staleness that gates allow.
pub const MAX_STALENESS: Duration = Duration::from_millis(400);
/// The step of simulated time.
pub const TICK: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests;
