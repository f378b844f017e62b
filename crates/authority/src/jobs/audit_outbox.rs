//! Events of sign-ins and refreshes, on their way into the trail.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{
    domain::Mutation,
    log::{Log, internal},
    store::Store,
};

/// How long an event waits at most, while the log takes what it is given.
const INTERVAL: Duration = Duration::from_secs(1);

/// Has events that wait taken into the trail, until `stop`. Every authority does; the store lets each be taken once.
///
/// Not by every batch: a revocation does not wait for the sign-ins of others to be written down.
pub async fn record(store: Arc<dyn Store>, log: Log, stop: CancellationToken) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        while record_once(&*store, &log).await && !stop.is_cancelled() {}
    }
}

/// Has some of them taken; whether there may be more.
async fn record_once(store: &dyn Store, log: &Log) -> bool {
    match store.has_pending_events().await {
        Ok(true) => {}
        Ok(false) => return false,
        Err(error) => {
            error.log("audit events may wait");
            return false;
        }
    }
    match log.submit(internal(Mutation::Record)).await {
        Ok(outcome) => outcome.changed >= Mutation::RECORDED_MAX,
        Err(error) => {
            error.log("audit events wait");
            false
        }
    }
}
