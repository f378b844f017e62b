//! Secret following: reads the secrets of tokens again, because another authority may have added or retired one.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use crate::keys::{Secrets, SecretsError};

/// The longest time for which an authority does not know of a retirement.
const INTERVAL_MAX: Duration = Duration::from_secs(15);

/// Follows the secrets, until it is dropped. A new one is read several times before it makes its first token.
pub(super) async fn run(secrets: Arc<Secrets>, activation_delay: Duration) {
    let mut ticks = interval(INTERVAL_MAX.min(activation_delay / 4));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match secrets.reload().await {
            Ok(()) => {}
            Err(SecretsError::Store(error)) => error.log("the secrets of tokens were not read"),
            // Maintenance reports it as a condition too.
            Err(error) => tracing::error!(%error, "the secrets of tokens cannot be used"),
        }
    }
}
