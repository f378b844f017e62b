//! The write check: a small durable write from time to time, which fails when the disk is full.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use crate::{
    health::{Pulse, Readiness},
    store::Store,
};

/// Writes a little at each `period` and reports the result, until it is dropped.
pub(super) async fn run(store: Arc<dyn Store>, period: Duration, readiness: Arc<Readiness>) {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // A beat of PostgreSQL is a write already, so this one costs nothing there. A beat of SQLite only reads, and
        // would succeed on a full disk.
        match store.check_writes().await {
            Ok(()) => readiness.succeed(Pulse::Writes),
            Err(error) => readiness.fail(Pulse::Writes, &error),
        }
    }
}
