//! The follower's events as log lines, spans and positions.

use std::sync::Arc;

use portcullis_validator_core::{Event, Position};
use tokio::sync::watch;

use crate::telemetry::trace_applied;

/// Passes the follower's events on.
pub(crate) struct Observer {
    name: String,
    position: Arc<watch::Sender<Option<Position>>>,
}

impl Observer {
    pub(crate) fn new(name: String, position: Arc<watch::Sender<Option<Position>>>) -> Self {
        Self { name, position }
    }

    pub(crate) fn observe(&mut self, event: &Event<'_>) {
        match event {
            Event::Published(position) => {
                // Receivers are woken also when it is the same position: it may have been proved fresh.
                self.position.send_replace(*position);
            }
            Event::DeltaApplied { frame, received } => {
                trace_applied(&self.name, frame, *received);
            }
            // Deltas and proofs are too frequent for the log.
            _ => log(event),
        }
    }
}

fn log(event: &Event<'_>) {
    match event {
        Event::SnapshotQueued { ahead, wait } => {
            tracing::debug!(ahead, ?wait, "the snapshot waits for others");
        }
        Event::HistoryReplaced { old } => {
            tracing::error!(
                ?old,
                "the authority's history is another: both are enforced"
            );
        }
        Event::HistoryAccepted(here) => {
            tracing::warn!(?here, "the operator accepts this history as the only one");
        }
        Event::NotReady(reason) => tracing::error!(reason, "not ready"),
        Event::ClockDiffers {
            ahead_micros,
            bound,
        } => {
            tracing::error!(
                ahead_micros,
                ?bound,
                "not ready: the clocks of this machine and of the database differ"
            );
        }
        Event::ClockAgrees { ahead_micros } => {
            tracing::info!(
                ahead_micros,
                "the clocks of this machine and of the database agree again"
            );
        }
        _ => {}
    }
}
