//! The measure of the store: its size, the room on its disk, and how far its standbys are behind.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use crate::{store::Store, telemetry::store_gauges::Measured};

/// The time between two measures. PostgreSQL looks at every file of the database for one.
const INTERVAL: Duration = Duration::from_secs(15);

/// Measures every 15 s, until it is dropped.
pub(super) async fn run(store: Arc<dyn Store>, measured: Arc<Measured>) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match store.measure().await {
            Ok(measure) => measured.replace(Some(measure)),
            Err(error) => {
                // A gauge without a value is noticed. The last value would look current for as long
                // as the store is away.
                measured.replace(None);
                error.log("the store was not measured");
            }
        }
    }
}
