//! An HTTP server that gets a signed request for each event, as the Standard Webhooks specification says.

mod attempt;

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{StreamExt, stream::FuturesUnordered};
use portcullis_contract::retry::Backoff;
use tokio::time::{Instant, sleep};

use self::attempt::{Message, Receiver, Refusal};
use super::{
    delivery::{Delivery, DeliveryError},
    signature::Signer,
};
use crate::{
    config::{ConfigError, WebhookExportConfig},
    domain::AuditEvent,
    net::HttpConnection,
};

/// Tenants whose events are delivered at a time.
const TENANTS_MAX: usize = 8;
/// The bound of the first pause after a refusal.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// The longest pause that a receiver may ask for.
const ASKED_PAUSE_MAX: Duration = Duration::from_secs(60 * 60);
/// The most tenants whose failures are remembered from one delivery to the next.
const FAILING_MAX: usize = 1_000;

/// A webhook.
pub(super) struct Webhook {
    receiver: Receiver,
    retry_pause_max: Duration,
    give_up_after: Duration,
    /// Since when the receiver has taken no event of a tenant.
    failing: Mutex<HashMap<String, Instant>>,
}

impl Webhook {
    /// # Errors
    /// When a file cannot be used.
    pub(super) fn open(section: &str, config: &WebhookExportConfig) -> Result<Self, ConfigError> {
        let signer = Signer::open(
            &format!("{section}.webhook.secret_files"),
            &config.secret_files,
        )?;
        Ok(Self {
            receiver: Receiver::open(section, config, signer)?,
            retry_pause_max: config.retry_pause_max,
            give_up_after: config.give_up_after,
            failing: Mutex::default(),
        })
    }

    /// Delivers events, those of one tenant in their order. Returns when each was taken or given up.
    pub(super) async fn send(
        &self,
        events: &[AuditEvent],
        delivery: &Delivery<'_>,
    ) -> Result<(), DeliveryError> {
        let mut waiting = by_tenant(events).into_iter();
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < TENANTS_MAX
                && let Some(events) = waiting.next()
            {
                running.push(self.send_in_order(events, delivery));
            }
            match running.next().await {
                // An error drops the deliveries of other tenants in the middle. The place has not
                // moved, so their events are sent again.
                Some(sent) => sent?,
                None => return Ok(()),
            }
        }
    }

    /// Tries one event once.
    pub(super) async fn send_once(
        &self,
        event: &AuditEvent,
        delivery: &Delivery<'_>,
    ) -> Result<(), DeliveryError> {
        let message = match Message::of_event(event) {
            Ok(message) => message,
            Err(problem) => return Err(DeliveryError::Failed(problem)),
        };
        match self.receiver.attempt(&mut None, &message).await {
            Ok(()) => {
                delivery.count_delivered(1);
                Ok(())
            }
            Err(refusal) if refusal.is_gone => Err(DeliveryError::Gone),
            Err(refusal) => Err(DeliveryError::Failed(refusal.problem)),
        }
    }

    async fn send_in_order(
        &self,
        events: Vec<&AuditEvent>,
        delivery: &Delivery<'_>,
    ) -> Result<(), DeliveryError> {
        let mut connection = None;
        for event in events {
            let message = match Message::of_event(event) {
                Ok(message) => message,
                Err(problem) => {
                    delivery.bury(event, &problem).await?;
                    continue;
                }
            };
            self.send_or_bury(&mut connection, event, &message, delivery)
                .await?;
        }
        Ok(())
    }

    /// Tries an event until the receiver takes it, or it is given up.
    async fn send_or_bury(
        &self,
        connection: &mut Option<HttpConnection>,
        event: &AuditEvent,
        message: &Message,
        delivery: &Delivery<'_>,
    ) -> Result<(), DeliveryError> {
        let mut backoff = Backoff::new(PAUSE_FIRST.min(self.retry_pause_max), self.retry_pause_max);
        loop {
            let refusal = match self.receiver.attempt(connection, message).await {
                Ok(()) => {
                    self.failing().remove(&event.tenant_id);
                    delivery.count_delivered(1);
                    return Ok(());
                }
                Err(refusal) => refusal,
            };
            delivery.metrics.count_failure(delivery.export);
            if refusal.is_gone {
                return Err(DeliveryError::Gone);
            }
            if self.failing().is_empty() {
                // Once for an outage, and not for each attempt.
                tracing::warn!(
                    export = delivery.export,
                    problem = refusal.problem,
                    "a webhook does not take an event of an audit export, and is asked again",
                );
            }
            // The time counts for the tenant and not for the event: after a long outage each waiting
            // event gets one attempt, and not a day.
            let since = self.failing_since(&event.tenant_id);
            if since.elapsed() >= self.give_up_after {
                return delivery.bury(event, &refusal.problem).await;
            }
            self.pause(&refusal, since, &mut backoff, delivery).await;
        }
    }

    /// Waits before the next attempt.
    async fn pause(
        &self,
        refusal: &Refusal,
        since: Instant,
        backoff: &mut Backoff,
        delivery: &Delivery<'_>,
    ) {
        let asked = refusal.retry_after.unwrap_or_default().min(ASKED_PAUSE_MAX);
        // The last attempt is when the time is over, and not long before.
        let left = (since + self.give_up_after).saturating_duration_since(Instant::now());
        let pause = backoff.step().max(asked).min(left);
        tracing::debug!(
            export = delivery.export,
            problem = refusal.problem,
            ?pause,
            "a webhook did not take an event",
        );
        sleep(pause).await;
    }

    /// Since when the events of a tenant fail, beginning now.
    fn failing_since(&self, tenant: &str) -> Instant {
        let mut failing = self.failing();
        if let Some(since) = failing.get(tenant) {
            return *since;
        }
        let now = Instant::now();
        // Beyond the bound a tenant's time begins anew with each delivery.
        if failing.len() < FAILING_MAX {
            failing.insert(tenant.to_owned(), now);
        }
        now
    }

    fn failing(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The events of each tenant, in their order.
fn by_tenant(events: &[AuditEvent]) -> Vec<Vec<&AuditEvent>> {
    let mut places = HashMap::new();
    let mut tenants: Vec<Vec<&AuditEvent>> = Vec::new();
    for event in events {
        let place = *places.entry(&event.tenant_id).or_insert(tenants.len());
        if place == tenants.len() {
            tenants.push(Vec::new());
        }
        tenants[place].push(event);
    }
    tenants
}
