//! The delivery of events: the parts that every destination needs, and the errors.

use super::metrics::ExportMetrics;
use crate::{
    domain::AuditEvent,
    store::{Store, StoreError},
};

/// The delivery of some events by the holder of a claim.
pub(super) struct Delivery<'d> {
    pub(super) export: &'d str,
    pub(super) fence: u64,
    pub(super) store: &'d dyn Store,
    pub(super) metrics: &'d ExportMetrics,
}

/// Why events were not delivered. No text holds anything of an event.
#[derive(Debug, thiserror::Error)]
pub(super) enum DeliveryError {
    /// This attempt failed.
    #[error("{0}")]
    Failed(String),
    /// The receiver wants no more.
    #[error("the receiver is gone")]
    Gone,
    /// The claim no longer counts.
    #[error("the claim was lost")]
    Lost,
}

impl From<StoreError> for DeliveryError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl Delivery<'_> {
    pub(super) fn count_delivered(&self, events: usize) {
        self.metrics.count_delivered(self.export, events as u64);
    }

    /// Gives an event up.
    pub(super) async fn bury(
        &self,
        event: &AuditEvent,
        problem: &str,
    ) -> Result<(), DeliveryError> {
        let buried = self
            .store
            .bury_event(self.export, self.fence, event.position, problem);
        if !buried.await? {
            return Err(DeliveryError::Lost);
        }
        self.metrics.count_dead_letter(self.export);
        // The id leads to the event for whoever may read the trail, and says nothing to others.
        let event_id = event.position.event;
        tracing::warn!(export = self.export, %event_id, problem, "an audit event was given up");
        Ok(())
    }
}
