//! Where an export delivers to.

use super::{
    delivery::{Delivery, DeliveryError},
    file::FileDestination,
    syslog::SyslogDestination,
    webhook::Webhook,
};
use crate::domain::AuditEvent;

/// A destination, opened.
pub(super) enum Destination {
    File(FileDestination),
    Syslog(Box<SyslogDestination>),
    Webhook(Box<Webhook>),
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
