//! The service manager (systemd, `Type=notify`): it is told when the service is up, that it works, and that it ends.
//! Without `NOTIFY_SOCKET` in the environment nothing is told.

use std::{convert::Infallible, future::pending, time::Duration};

use portcullis_authority::Authority;
use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};

/// The service takes calls.
pub(crate) fn tell_ready() {
    tell(&NotifyState::Ready);
}

/// The service drains.
pub(crate) fn tell_stopping() {
    tell(&NotifyState::Stopping);
}

/// Keeps the watchdog quiet for as long as the authority beats, or tries to: a store that is away is no reason to
/// restart, a process that hangs is.
pub(crate) async fn feed_watchdog(authority: &Authority) -> Infallible {
    // Without a watchdog the future waits for ever: it is an arm of a `select`, and an end would
    // end the service.
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return pending().await;
    };
    // Twice in each half of the limit, so that one late turn is no failure.
    let mut ticks = interval((limit / 4).max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if authority.beat_attempt_age() < limit / 2 {
            tell(&NotifyState::Watchdog);
        }
    }
}

fn tell(state: &NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(std::slice::from_ref(state)) {
        // Only a warning: the service works, and a manager that hears nothing acts by its own
        // deadlines.
        tracing::warn!(%error, "the service manager was not told");
    }
}
