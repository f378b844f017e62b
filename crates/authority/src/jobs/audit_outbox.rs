//! The audit outbox: takes events of sign-ins and refreshes into the audit trail.
//!
//! A sign-in stores its events beside its session, where they wait. This job has the log take them into the trail, once
//! a second. No other batch does it: a revocation must not wait while the sign-ins of others are written down.
//!
//! Every authority runs it. The store lets each event be taken once.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{Entry, Mutation},
    log::Log,
    refused_sign_ins::{DueEvent, RefusedSignIns},
    store::Store,
};

/// The longest that an event waits while the log accepts entries.
const INTERVAL: Duration = Duration::from_secs(1);

/// Empties the outbox every second, until `stop`. Refused sign-ins whose time of merging is over come into it first.
pub(super) async fn run(
    store: Arc<dyn Store>,
    log: Log,
    refused: Arc<RefusedSignIns>,
    stop: CancellationToken,
) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let due = refused.take_due(Instant::now());
        store_refused(&*store, &refused, due).await;
        empty_outbox(&*store, &log, &stop).await;
    }
    // What was merged so far would be lost with this process. Another authority, or this one after its start, takes it
    // out of the outbox.
    let rest = refused.take_all(Instant::now());
    store_refused(&*store, &refused, rest).await;
}

async fn store_refused(store: &dyn Store, refused: &RefusedSignIns, due: Vec<DueEvent>) {
    if due.is_empty() {
        return;
    }
    let events = due.iter().map(|due| due.event.clone()).collect();
    if let Err(error) = store.add_events_of_now(events).await {
        error.log("refused sign-ins are not in the audit trail yet");
        refused.put_back(due, Instant::now());
    }
}

async fn empty_outbox(store: &dyn Store, log: &Log, stop: &CancellationToken) {
    // A full outbox takes many batches. Without this check a drain would wait for all of them.
    while !stop.is_cancelled() {
        if !record_some(store, log).await {
            return;
        }
    }
}

/// Takes one batch of events into the trail. Returns whether more may wait.
async fn record_some(store: &dyn Store, log: &Log) -> bool {
    // Asked first, because an entry costs a commit even when it records nothing.
    match store.has_pending_events().await {
        Ok(true) => {}
        Ok(false) => return false,
        Err(error) => {
            error.log("pending audit events cannot be looked up");
            return false;
        }
    }
    match log.submit(Entry::internal(Mutation::Record)).await {
        Ok(outcome) => outcome.changed >= Mutation::RECORDED_MAX,
        Err(error) => {
            // The events stay in the outbox, and the next tick tries again.
            error.log("audit events wait: the log did not accept them");
            false
        }
    }
}
