//! The canary: a revocation of the authority itself, from time to time, that measures how long enforcement takes.

use std::{
    future,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use crate::{
    app::App,
    domain::{Entry, Mutation},
};

/// Measures once in each `interval`, until it is dropped. Zero: never.
pub(super) async fn run(app: Arc<App>, interval: Duration) {
    if interval.is_zero() {
        return future::pending().await;
    }
    loop {
        sleep(interval).await;
        measure(&app).await;
    }
}

async fn measure(app: &App) {
    app.instruments.enforcement.expect_canary();
    // Gates are asked as for a caller that waits, and not heard of with their next probe only.
    app.receipts.expect_next();
    let outcome = match app.log.submit(Entry::internal(Mutation::Canary)).await {
        Ok(outcome) => outcome,
        Err(error) => {
            // The store or the log is in trouble, which readiness reports.
            tracing::debug!(%error, "the canary was not appended");
            return;
        }
    };
    let until = Instant::now() + app.config.watch.staleness_max;
    let missed = app.receipts.count_missed(outcome.revision, until).await;
    app.instruments.enforcement.record_missed(missed);
}
