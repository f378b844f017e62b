//! The task that ends streams: it wakes the futures of identities that have ended.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use portcullis_validator_core::{Engine, Position};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

/// The longest time between two looks at the streams: tokens expire and a view grows stale without any message.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// The shortest pause after a look. Deltas may arrive more often.
const PAUSE_MIN: Duration = Duration::from_millis(2);
/// The pause after a look, in times of the look itself, so that many streams take a fifth of a processor at most.
const PAUSE_FACTOR: u32 = 4;

/// Wakes streams at each published state and at each interval, until it is aborted. Sleeps while there are none.
pub(crate) async fn wake_ended(
    engine: Arc<Engine>,
    mut position: watch::Receiver<Option<Position>>,
) {
    let mut looks = interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // Without it an idle gate would wake four times a second, and once more for each delta.
        engine.streams_wait().await;
        tokio::select! {
            // No sender is left, so the validator was dropped. `Engine::close` has ended its
            // streams.
            changed = position.changed() => if changed.is_err() {
                return;
            },
            _ = looks.tick() => {}
        }
        let begun = Instant::now();
        // A waker is code of the host. If it panics, the other streams still have to end.
        if catch_unwind(AssertUnwindSafe(|| engine.wake_ended())).is_err() {
            tracing::error!("waking a stream panicked");
        }
        sleep((begun.elapsed() * PAUSE_FACTOR).max(PAUSE_MIN)).await;
    }
}
