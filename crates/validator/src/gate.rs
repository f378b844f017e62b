//! The identity of this gate towards the authority.

use std::time::Duration;

use portcullis_validator_core::{Mode, Settings};

/// The name and the promise of a gate, by which the authority notices its silence.
#[derive(Clone, Copy)]
pub(crate) struct Gate {
    /// Random, chosen by this process.
    pub(crate) id: [u8; 16],
    /// The longest time for which it admits requests after it lost its authority.
    pub(crate) admits_for: Duration,
}

impl Gate {
    pub(crate) fn new(settings: &Settings) -> Self {
        // The authority ends no session as idle while a silent gate may still admit its requests.
        let admits_for = match settings.mode {
            Mode::Strict => settings.max_staleness,
            Mode::BestEffort { stale_max } => stale_max.max(settings.max_staleness),
        };
        Self {
            id: portcullis_contract::random(),
            admits_for,
        }
    }
}
