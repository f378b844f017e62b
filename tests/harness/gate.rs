//! What tests ask of a gate.

use portcullis_contract::position::Revision;
use portcullis_validator::{Rejection, Validator};

use crate::wait::within;

/// Waits until the gate has applied `revision`.
pub async fn applied(gate: &Validator, revision: u64) {
    let mut position = gate.position();
    let reached = position.wait_for(|at| at.is_some_and(|at| at.revision >= Revision(revision)));
    within(&format!("the gate to apply {revision}"), reached)
        .await
        .expect("the gate runs");
}

/// Why the gate refuses the token now.
#[must_use]
pub fn rejection(gate: &Validator, token: &str) -> Option<Rejection> {
    gate.check(token).err()
}

/// Waits until the gate refuses the token, and says why.
pub async fn refused(gate: &Validator, token: &str) -> Rejection {
    let mut position = gate.position();
    within("the gate to refuse", async {
        loop {
            if let Some(rejection) = rejection(gate, token) {
                return rejection;
            }
            position.changed().await.expect("the gate runs");
        }
    })
    .await
}
