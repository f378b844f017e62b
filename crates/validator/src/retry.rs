//! Waits between attempts to connect.

use std::time::Duration;

/// The first wait, after a stream that lasted.
const DELAY_FIRST: Duration = Duration::from_millis(20);
/// The longest wait. A stream that lasted longer than this starts the waits over.
pub(crate) const DELAY_MAX: Duration = Duration::from_secs(2);

/// A wait that doubles with each failure.
pub(crate) struct Backoff {
    delay: Duration,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { delay: DELAY_FIRST }
    }

    pub(crate) fn reset(&mut self) {
        self.delay = DELAY_FIRST;
    }

    pub(crate) async fn wait(&mut self) {
        // Doubled after the wait: the first retry comes at once, since most breaks are short.
        tokio::time::sleep(jittered(self.delay)).await;
        self.delay = (self.delay * 2).min(DELAY_MAX);
    }
}

/// Returns a random time from a half of `delay` to the whole.
///
/// Gates that were started together, or that lost the same authority, then do not come back together.
pub(crate) fn jittered(delay: Duration) -> Duration {
    let [random] = portcullis_contract::random::<1>();
    delay / 2 + delay / 2 * u32::from(random) / 255
}
