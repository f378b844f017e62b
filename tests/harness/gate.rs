//! What tests ask of a gate.

use portcullis_contract::position::Revision;
use portcullis_validator::{Rejection, Validator};

use crate::wait::{eventually, within};

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

/// The verdict of the gate once it can tell: `None` admits. On a busy machine a gate may be stale for a moment.
pub async fn verdict(gate: &Validator, token: &str) -> Option<Rejection> {
    eventually("the gate to be fresh", async || {
        let rejection = rejection(gate, token);
        match &rejection {
            Some(refused) if refused.is_unavailable() => None,
            _ => Some(rejection),
        }
    })
    .await
}

/// Waits until the gate refuses the token for a reason of the token's own, and returns the reason.
pub async fn refused(gate: &Validator, token: &str) -> Rejection {
    let mut position = gate.position();
    within("the gate to refuse", async {
        loop {
            match rejection(gate, token) {
                // A gate that is stale for a moment says nothing about the token.
                Some(rejection) if !rejection.is_unavailable() => return rejection,
                _ => {}
            }
            // Each proof of freshness is a change too.
            position.changed().await.expect("the gate runs");
        }
    })
    .await
}
