//! The validators of all authorities, for operators.

use super::App;
use crate::{feed::Replica, telemetry::EnforcementDelays};

/// The authorities with the status of their streams.
pub(crate) struct Validators {
    /// The answering one first.
    pub(crate) replicas: Vec<Replica>,
    /// Whether the others could not be read.
    pub(crate) is_partial: bool,
    /// The delays that the answering authority measured in the last hour.
    pub(crate) delays: EnforcementDelays,
}

/// Lists the streams of all authorities. Without the store it lists those of the answering one.
pub(crate) async fn list_validators(app: &App) -> Validators {
    let delays = app.instruments.enforcement.last_hour();
    match app.peers.replicas().await {
        Ok(replicas) => Validators {
            replicas,
            is_partial: false,
            delays,
        },
        Err(error) => {
            // The streams of this authority are in memory, and the answer says that the others are
            // missing.
            error.log("the validators of other authorities cannot be listed");
            Validators {
                replicas: vec![app.peers.this_replica()],
                is_partial: true,
                delays,
            }
        }
    }
}
