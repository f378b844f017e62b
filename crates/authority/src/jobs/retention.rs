//! Removal of rows that have been kept for as long as the configuration says.
//!
//! The job walks through all rows of a kind in small steps, round after round, so that removal never competes with calls.
//! Every authority runs it: removing a row twice is the same as removing it once.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    domain::PageCursor,
    store::{Removed, Store, StoreError},
};

/// Rows examined in one step.
const STEP_ROWS: u32 = 500;
/// The pause between two steps. Ten million sessions take less than six hours, and a second costs the store one page.
const STEP_PAUSE: Duration = Duration::from_secs(1);
/// The pause between two rounds, and after an error.
const ROUND_PAUSE: Duration = Duration::from_secs(60);

/// A kind of row that is kept for a time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kept {
    /// Sessions, after their end.
    Sessions,
    /// Devices, places and networks of sign-ins, after they were last seen.
    History,
}

impl Kept {
    /// Removes the old ones among the rows after the cursor.
    async fn remove(
        self,
        store: &dyn Store,
        after: Option<&PageCursor>,
        keep: Duration,
    ) -> Result<Removed, StoreError> {
        match self {
            Self::Sessions => store.remove_ended(after, keep, STEP_ROWS).await,
            Self::History => store.remove_old_history(after, keep, STEP_ROWS).await,
        }
    }
}

/// Removes rows of a kind, round after round, until `stop`.
pub(super) async fn run(
    store: Arc<dyn Store>,
    kept: Kept,
    keep: Duration,
    stop: CancellationToken,
) {
    let mut after = None;
    loop {
        // A small step holds no lock that a call would notice.
        let pause = match kept.remove(&*store, after.as_ref(), keep).await {
            Ok(removed) => {
                log_removal(kept, &removed);
                after = removed.next;
                match after {
                    Some(_) => STEP_PAUSE,
                    None => ROUND_PAUSE,
                }
            }
            // The position stays, so that the next try repeats this step instead of the whole round.
            Err(error) => {
                error.log("old rows were not removed; the next try is in a minute");
                ROUND_PAUSE
            }
        };
        if stop.run_until_cancelled(sleep(pause)).await.is_none() {
            return;
        }
    }
}

fn log_removal(kept: Kept, removed: &Removed) {
    if removed.rows > 0 {
        tracing::info!(?kept, rows = removed.rows, "old rows removed");
    }
}
