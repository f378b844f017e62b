//! Records the uses of sessions that introspections have shown.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::app::{App, FLUSH_INTERVAL_MAX};

/// The shortest interval, where the sweep waits for reports only for a moment.
const INTERVAL_MIN: Duration = Duration::from_millis(10);

/// Records them at least every second until `stop`, and then the last ones.
pub(super) async fn run(app: Arc<App>, stop: CancellationToken) {
    // Well within the delay for which the sweep waits. Otherwise a session could end as idle while its use waits here.
    let delay_max = app.config.sessions.activity_delay_max / 4;
    let mut ticks = interval(delay_max.clamp(INTERVAL_MIN, FLUSH_INTERVAL_MAX));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        app.flush_uses().await;
    }
    // Calls may still be running. What they use from now on is recorded by themselves.
    app.close_uses().await;
}
