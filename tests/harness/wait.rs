//! Waiting for a condition, never for a time.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// How long anything may take. Generous: a test that passes never waits for it.
pub const DEADLINE: Duration = Duration::from_secs(30);

const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// Asks again and again until there is an answer.
///
/// # Panics
/// After [`DEADLINE`], naming `what`.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut condition: impl FnMut() -> F,
) -> T {
    let give_up = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = within(what, condition()).await {
            return answer;
        }
        assert!(Instant::now() < give_up, "{what}: not within {DEADLINE:?}");
        sleep(POLL_INTERVAL).await;
    }
}

/// Waits for `work`.
///
/// # Panics
/// After [`DEADLINE`], naming `what`.
pub async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    match timeout(DEADLINE, work).await {
        Ok(done) => done,
        Err(_) => panic!("{what}: not within {DEADLINE:?}"),
    }
}
