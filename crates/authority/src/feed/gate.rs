//! A gate as its stream introduced it, and the state of the stream.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use portcullis_contract::position::Revision;

/// A gate as its stream introduced it.
#[derive(Clone, Debug)]
pub struct Gate {
    /// The name of its credential.
    pub caller: String,
    /// A name for operators.
    pub name: String,
    /// The address and port that it connects from. Empty: unknown.
    pub address: String,
    /// The version that it reports. Empty: unknown.
    pub version: String,
    /// The version of the log that it understands.
    pub log_version: u32,
    /// Drawn at random by its process. None: unknown.
    pub instance: Option<[u8; 16]>,
    /// Its decision when it cannot prove that its view is fresh.
    pub mode: ValidatorMode,
    /// The staleness that it enforces.
    pub max_staleness: Duration,
}

/// The decision of a gate that cannot prove that its view is fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValidatorMode {
    /// It refuses.
    Strict,
    /// It accepts, up to a second bound.
    BestEffort,
}

/// One stream of a gate, for operators.
#[derive(Clone, Debug)]
pub struct ValidatorStatus {
    /// The gate.
    pub gate: Gate,
    /// The last revision that it reported as applied.
    pub applied: Revision,
    /// The time at which it connected.
    pub connected_at: SystemTime,
    /// The time since its last probe. None: it has sent none.
    pub probe_age: Option<Duration>,
    /// The time since the last probe that proved its view fresh. None: none did.
    pub freshness: Option<Duration>,
    /// Its clock minus the database's, in microseconds. None: unknown.
    pub skew_micros: Option<i64>,
    /// Whether it accepts nothing until it has a newer proof.
    pub lapsed: bool,
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} at {}", self.caller, self.name, self.address)
    }
}
