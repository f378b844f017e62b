//! Reload of the databases of places when their files are replaced.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::client_info::places::Places;

/// The time between two looks at the files.
const INTERVAL: Duration = Duration::from_secs(10);

/// Looks at the files every 10 s, until `stop`.
pub(super) async fn run(places: Arc<Places>, stop: CancellationToken) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let places = Arc::clone(&places);
        // A database is read and verified whole, which takes seconds for a large one.
        let reloading = tokio::task::spawn_blocking(move || reload(&places));
        if reloading.await.is_err() {
            tracing::error!("the databases of places were not looked at: the reader panicked");
        }
    }
}

fn reload(places: &Places) {
    for reloaded in places.reload_if_changed() {
        match reloaded {
            Ok(path) => {
                tracing::info!(path = %path.display(), "a database of places was replaced");
            }
            Err(error) => {
                tracing::error!(%error, "a new database of places is not used; the one before it still is");
            }
        }
    }
}
