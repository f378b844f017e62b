//! Enforcement and validators as the wire has them.

use portcullis_contract::v1;

use crate::feed::{Enforcement, ValidatorMode, ValidatorStatus};

/// The enforcement of a change.
pub(crate) fn enforcement(enforcement: &Enforcement) -> v1::Enforcement {
    v1::Enforcement {
        revision: enforcement.revision.0,
        validators: enforcement.validators,
        confirmed: enforcement.confirmed,
        unbounded: enforcement.unbounded,
        elapsed: enforcement.elapsed.try_into().ok(),
        ..Default::default()
    }
}

/// One connected validator.
pub(crate) fn validator_status(status: ValidatorStatus) -> v1::ValidatorStatus {
    v1::ValidatorStatus {
        name: status.gate.name,
        mode: validator_mode(status.gate.mode).into(),
        max_staleness: status.gate.max_staleness.try_into().ok(),
        caller: status.gate.caller,
        address: status.gate.address,
        applied_revision: status.applied.0,
        connect_time: Some(status.connected_at.into()),
        probe_age: status.probe_age.and_then(|age| age.try_into().ok()),
    }
}

fn validator_mode(mode: ValidatorMode) -> v1::ValidatorMode {
    match mode {
        ValidatorMode::Strict => v1::ValidatorMode::Strict,
        ValidatorMode::BestEffort => v1::ValidatorMode::BestEffort,
    }
}
