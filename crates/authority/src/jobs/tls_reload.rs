//! Reload of the certificate, its key and the authorities of client certificates when their files are replaced.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::net::Tls;

/// The time between two looks at the files.
const INTERVAL: Duration = Duration::from_secs(5);

/// Looks at the files every 5 s, until `stop`. Open connections are not touched.
pub(super) async fn run(ports: Vec<Arc<Tls>>, stop: CancellationToken) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        for tls in &ports {
            reload(Arc::clone(tls)).await;
        }
    }
}

async fn reload(tls: Arc<Tls>) {
    // Files may be on a network disk that does not answer.
    let reloading = tokio::task::spawn_blocking(move || tls.reload_if_changed());
    match reloading.await {
        Ok(None) => {}
        Ok(Some(Ok(()))) => tracing::info!("the TLS files were replaced"),
        Ok(Some(Err(error))) => {
            tracing::error!(%error, "the new TLS files are not used; those before still are");
        }
        Err(_) => tracing::error!("the TLS files were not looked at: the reader panicked"),
    }
}
