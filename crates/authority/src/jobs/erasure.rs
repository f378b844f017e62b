//! Erasures that a call has begun: the job removes the rows that the call had no time for, then those that came late,
//! and then the id.
//!
//! Every authority runs it. A row of the store orders their steps, and each forgets its own counts of refused sign-ins of
//! the user.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    app::{AppError, erasure::EraseWorker},
    domain::Erasure,
    log::Log,
    refused_sign_ins::RefusedSignIns,
    store::Store,
};

/// The pause between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// The most erasures of one look. The others wait for the next one.
const ERASURES_MAX: u32 = 16;

/// The time for one erasure of a look, so that a large one does not keep the others waiting.
const TURN: Duration = Duration::from_secs(5);

/// Attempts to overwrite copies of deleted rows, while readers are in the way.
const OVERWRITE_ATTEMPTS_MAX: u32 = 5;
const OVERWRITE_PAUSE: Duration = Duration::from_secs(1);

/// The job, and how long it waits for late rows.
pub(super) struct Eraser {
    pub(super) store: Arc<dyn Store>,
    pub(super) log: Log,
    pub(super) refused: Arc<RefusedSignIns>,
    pub(super) settle: Duration,
}

impl Eraser {
    /// Goes on with erasures, until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let erasures = match self.store.erasures(ERASURES_MAX).await {
                Ok(erasures) => erasures,
                Err(error) => {
                    error.log("erasures cannot be looked up");
                    continue;
                }
            };
            for erasure in &erasures {
                if stop.is_cancelled() {
                    return;
                }
                if let Err(error) = self.go_on(erasure).await {
                    tracing::warn!(erasure = %erasure.id, ?error, "an erasure waits");
                }
            }
        }
    }

    async fn go_on(&self, erasure: &Erasure) -> Result<(), AppError> {
        let worker = EraseWorker {
            store: &*self.store,
            log: &self.log,
            refused: &self.refused,
        };
        let is_removed = worker.remove(erasure, Instant::now() + TURN).await?;
        // Other authorities may still write rows of the user by calls that began before the
        // erasure. The id is what finds those rows, so it stays until then.
        if !is_removed || erasure.age < self.settle {
            return Ok(());
        }
        worker.finish(erasure).await?;
        self.overwrite().await?;
        tracing::info!(erasure = %erasure.id, "an erasure has ended");
        Ok(())
    }

    async fn overwrite(&self) -> Result<(), AppError> {
        for _ in 0..OVERWRITE_ATTEMPTS_MAX {
            if self.store.overwrite_deleted().await? {
                return Ok(());
            }
            // A reader that began before the deletion still needs the old pages. It ends soon.
            sleep(OVERWRITE_PAUSE).await;
        }
        tracing::warn!("old pages of the database stay in its log until the next checkpoint");
        Ok(())
    }
}
