//! The decision that all doors share, with its count.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use portcullis_gate::{Decision, Gate, RequestHead};

use super::{InvalidCheck, invalid};
use crate::telemetry::{Door, Instruments, LogPace};

/// The least time between two log lines about checks that describe no request.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The gate, and the instruments of its decisions.
pub(crate) struct Judge {
    gate: Gate,
    instruments: Arc<Instruments>,
    invalid: LogPace,
}

impl Judge {
    pub(crate) fn new(gate: Gate, instruments: Arc<Instruments>) -> Self {
        Self {
            gate,
            instruments,
            invalid: LogPace::new(LOG_INTERVAL),
        }
    }

    /// Decides about a request, or about a check that describes none.
    pub(crate) fn decide(
        &self,
        door: Door,
        request: Result<RequestHead<'_>, InvalidCheck>,
    ) -> Decision {
        let begun = Instant::now();
        let decision = match request {
            Ok(head) => deny_on_panic(|| self.gate.decide(&head)),
            Err(invalid) => {
                self.log_invalid(door, invalid);
                Decision::Deny(invalid.deny())
            }
        };
        self.instruments
            .record_check(door, &decision, begun.elapsed());
        decision
    }

    /// Tells the operator why checks are refused that describe no request. A client may cause them, so not every one.
    fn log_invalid(&self, door: Door, invalid: InvalidCheck) {
        if self.invalid.admit() {
            tracing::warn!(door = door.name(), reason = %invalid, "check refused");
        }
    }
}

/// Runs a decision. A panic in it refuses the request, and the next one is decided as before.
fn deny_on_panic(decide: impl FnOnce() -> Decision) -> Decision {
    // The gate is not changed by a decision, so a panic leaves nothing half done.
    match catch_unwind(AssertUnwindSafe(decide)) {
        Ok(decision) => decision,
        Err(_) => Decision::Deny(invalid::failed()),
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn a_panic_refuses() {
        let decision = deny_on_panic(|| panic!("a defect"));
        let Decision::Deny(deny) = decision else {
            panic!("let in");
        };
        assert_eq!(deny.status, StatusCode::SERVICE_UNAVAILABLE);
    }
}
