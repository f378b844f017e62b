//! Removal of ended sessions that have been kept for as long as `sessions.retention` says.
//!
//! The job walks through all sessions in small steps, round after round, so that removal never competes with calls.
//! Every authority runs it: removing a session twice is the same as removing it once.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::store::{Removed, Store};

/// Sessions examined in one step.
const STEP_SESSIONS: u32 = 500;
/// The pause between two steps. Ten million sessions take less than six hours, and a second costs the store one page.
const STEP_PAUSE: Duration = Duration::from_secs(1);
/// The pause between two rounds, and after an error.
const ROUND_PAUSE: Duration = Duration::from_secs(60);

/// Removes ended sessions, round after round, until `stop`.
pub(super) async fn run(store: Arc<dyn Store>, retention: Duration, stop: CancellationToken) {
    let mut after = None;
    loop {
        // A small step holds no lock that a call would notice.
        let step = store.remove_ended(after.as_ref(), retention, STEP_SESSIONS);
        let pause = match step.await {
            Ok(removed) => {
                log_removal(&removed);
                after = removed.next;
                match after {
                    Some(_) => STEP_PAUSE,
                    None => ROUND_PAUSE,
                }
            }
            // The position stays, so that the next try repeats this step instead of the whole round.
            Err(error) => {
                error.log("ended sessions were not removed; the next try is in a minute");
                ROUND_PAUSE
            }
        };
        if stop.run_until_cancelled(sleep(pause)).await.is_none() {
            return;
        }
    }
}

fn log_removal(removed: &Removed) {
    if removed.sessions > 0 {
        tracing::info!(sessions = removed.sessions, "ended sessions removed");
    }
}
