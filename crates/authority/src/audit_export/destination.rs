//! Where an export delivers to.

use super::{ExportMetrics, file::FileDestination, syslog::SyslogDestination, webhook::Webhook};
use crate::{
    domain::AuditEvent,
    store::{Store, StoreError},
};

/// A destination, opened.
pub(super) enum Destination {
    File(FileDestination),
    Syslog(Box<SyslogDestination>),
    Webhook(Box<Webhook>),
}

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

impl Destination {
    /// Delivers events. When it returns, the receiver has each of them, or each that it does not have is a dead letter.
    pub(super) async fn deliver(
        &mut self,
        events: &[AuditEvent],
        delivery: &Delivery<'_>,
    ) -> Result<(), DeliveryError> {
        match self {
            Self::File(file) => {
                file.append(events).await?;
                delivery.count_delivered(events.len());
                Ok(())
            }
            Self::Syslog(syslog) => syslog.send(events, delivery).await,
            Self::Webhook(webhook) => webhook.send(events, delivery).await,
        }
    }
}

impl Destination {
    /// Tries to deliver one event, and gives it up nowhere.
    pub(super) async fn deliver_once(
        &mut self,
        event: &AuditEvent,
        delivery: &Delivery<'_>,
    ) -> Result<(), DeliveryError> {
        match self {
            Self::Webhook(webhook) => webhook.send_once(event, delivery).await,
            Self::File(_) | Self::Syslog(_) => {
                self.deliver(std::slice::from_ref(event), delivery).await
            }
        }
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
