//! Ended sessions go for good when they have been kept for long enough: a few rows at a time, over and over.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{domain::PageCursor, store::Store};

/// Sessions looked at in one step.
const STEP_SESSIONS: u32 = 500;
/// Between two steps: ten million sessions are gone through in less than six hours, at the price of a page of a list a
/// second.
const STEP_PAUSE: Duration = Duration::from_secs(1);
/// Between two rounds.
const ROUND_PAUSE: Duration = Duration::from_secs(60);

/// Goes through all sessions, round after round, until `stop`. Every authority does; removing twice is removing once.
pub async fn sweep(store: Arc<dyn Store>, retention: Duration, stop: CancellationToken) {
    let mut after: Option<PageCursor> = None;
    loop {
        let pause = match store
            .remove_ended(after.as_ref(), retention, STEP_SESSIONS)
            .await
        {
            Ok(removed) => {
                if removed.sessions > 0 {
                    tracing::info!(sessions = removed.sessions, "ended sessions removed");
                }
                after = removed.next;
                if after.is_some() {
                    STEP_PAUSE
                } else {
                    ROUND_PAUSE
                }
            }
            Err(error) => {
                error.log("removing ended sessions failed");
                ROUND_PAUSE
            }
        };
        if stop.run_until_cancelled(sleep(pause)).await.is_none() {
            return;
        }
    }
}
