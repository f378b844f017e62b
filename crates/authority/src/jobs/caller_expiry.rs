//! The end of streams whose credential's time is over.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::{MissedTickBehavior, interval};

use crate::callers::Callers;

/// The time between two looks at the ends.
const INTERVAL: Duration = Duration::from_secs(1);

/// Ends streams every second. Calls look at the end of their credential themselves.
pub(super) async fn run(callers: Arc<Callers>) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        callers.end_expired(SystemTime::now());
    }
}
