//! A database clock that was set back so far that revoked tokens may be valid again: everyone is signed out.
//!
//! Beats notice it and raise [`Condition::Clock`]. From then on no gate is proved fresh, so nothing is accepted by
//! mistake, and this job has time.

use std::{sync::Arc, time::Duration};

use opentelemetry::metrics::Counter;
use tokio::{sync::watch, time::timeout};

use super::log_maintenance::FORGET_MARGIN;
use crate::{
    domain::{Entry, Mutation},
    health::{Condition, Problems, Readiness},
    log::Log,
};

/// The time for which the clock has to stay behind. A machine may start with a wrong clock and correct it a few seconds
/// later, and that must not sign anybody out.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Signs everyone out whenever the clock stays behind for `patience`, until it is dropped. The next beat finds that all is
/// well.
pub(crate) async fn run(
    log: Log,
    readiness: Arc<Readiness>,
    patience: Duration,
    sign_outs: Counter<u64>,
) {
    let mut problems = readiness.problems();
    loop {
        if wait_for_clock(&mut problems, true).await.is_err() {
            return;
        }
        // Also the pause before the next try, when the log does not accept the entry.
        let corrected = wait_for_clock(&mut problems, false);
        if timeout(patience, corrected).await.is_err() {
            sign_out(&log, &sign_outs).await;
        }
    }
}

/// Waits until the clock is behind, or is not.
async fn wait_for_clock(
    problems: &mut watch::Receiver<Problems>,
    is_behind: bool,
) -> Result<(), watch::error::RecvError> {
    problems
        .wait_for(|problems| problems.contains_key(&Condition::Clock) == is_behind)
        .await?;
    Ok(())
}

/// Signs everyone out. The store decides under a lock whether that is still needed, so of several authorities one does it.
async fn sign_out(log: &Log, sign_outs: &Counter<u64>) {
    loop {
        let entry = Entry::internal(Mutation::ClockSetBack {
            forget_margin: FORGET_MARGIN,
        });
        match log.submit(entry).await {
            // As many API keys as fit into one entry. The last entry signs the users out.
            Ok(outcome) if outcome.changed >= Mutation::FORGOTTEN_MAX => {}
            Ok(outcome) if outcome.changed > 0 => {
                sign_outs.add(1, &[]);
                tracing::warn!(
                    revision = outcome.revision.0,
                    "the database's clock was set back: everyone was signed out, because revoked tokens could have \
                     become valid again"
                );
                return;
            }
            Ok(_) => return,
            Err(error) => {
                return error.log("the database's clock was set back, and nobody was signed out");
            }
        }
    }
}
