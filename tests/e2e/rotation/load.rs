//! Workers who sign in, refresh and check tokens while keys are replaced.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use futures::{FutureExt, future::BoxFuture};
use portcullis_tests::{
    gate::verdict,
    wait::{eventually, within},
};
use portcullis_validator::Validator;
use tokio::{
    task::JoinHandle,
    time::{Duration, Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::{Pair, refresh_at, sign_in_at};

const WORKERS: usize = 3;
/// Between two tries of a call.
const PAUSE: Duration = Duration::from_millis(20);
/// A restart takes a fraction of a second here, and seconds beside builds. The other authority serves meanwhile.
const RESTART_MAX: Duration = Duration::from_secs(10);

/// Makes a call at one authority, or at the other while the first restarts. Whatever else fails it fails the test, and so
/// does a call that takes longer than a restart.
async fn call<T>(
    endpoints: &[String; 2],
    first: usize,
    call: impl Fn(String) -> BoxFuture<'static, Result<T, Status>>,
) -> T {
    let begun = Instant::now();
    for endpoint in endpoints.iter().cycle().skip(first % endpoints.len()) {
        match call(endpoint.clone()).await {
            Ok(answer) => return answer,
            Err(status) => {
                let waited = begun.elapsed();
                let is_expected = is_restarting(&status) && waited < RESTART_MAX;
                assert!(is_expected, "after {waited:?} a call fails: {status:?}");
            }
        }
        sleep(PAUSE).await;
    }
    unreachable!("a cycle has no end")
}

/// Returns true for an answer that sends a client to another authority: draining, or a connection that closed.
fn is_restarting(status: &Status) -> bool {
    let answered = status.get_details_error_info().is_some();
    !answered || status.code() == Code::Unavailable
}

/// Signs in, refreshes and checks tokens until it is stopped. Returns how often.
async fn work(
    worker: usize,
    endpoints: [String; 2],
    gate: Validator,
    stop: CancellationToken,
    rounds: Arc<AtomicU64>,
) {
    let user = format!("worker-{worker}");
    let mut round = worker;
    while !stop.is_cancelled() {
        let sign_in = |at: String| {
            let user = user.clone();
            async move { sign_in_at(&at, &user).await }.boxed()
        };
        let created = call(&endpoints, round, sign_in).await;
        let mut refresh_token = created.refresh_token;
        for step in 1..=3 {
            let refresh = |at: String| {
                let token = refresh_token.clone();
                async move { refresh_at(&at, &token).await }.boxed()
            };
            let refreshed = call(&endpoints, round + step, refresh).await;
            let admitted = verdict(&gate, &refreshed.access_token).await;
            assert_eq!(admitted, None, "a gate refuses a good token");
            refresh_token = refreshed.refresh_token;
        }
        round += 1;
        rounds.fetch_add(1, Ordering::SeqCst);
    }
}

pub(super) struct Load {
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    rounds: Arc<AtomicU64>,
}

impl Load {
    pub(super) fn start(pair: &Pair, gate: &Validator) -> Self {
        let stop = CancellationToken::new();
        let rounds = Arc::new(AtomicU64::new(0));
        let mut tasks = Vec::new();
        for worker in 0..WORKERS {
            tasks.push(tokio::spawn(work(
                worker,
                pair.endpoints(),
                gate.clone(),
                stop.clone(),
                Arc::clone(&rounds),
            )));
        }
        Self {
            stop,
            tasks,
            rounds,
        }
    }

    /// Waits until every worker has gone on for a while.
    pub(super) async fn goes_on(&self) {
        let goal = self.rounds.load(Ordering::SeqCst) + 2 * WORKERS as u64;
        eventually("the load to go on", async || {
            let failed = self.tasks.iter().any(JoinHandle::is_finished);
            assert!(!failed, "a worker has ended");
            (self.rounds.load(Ordering::SeqCst) >= goal).then_some(())
        })
        .await;
    }

    pub(super) async fn end(self) -> u64 {
        self.stop.cancel();
        for task in self.tasks {
            within("a worker to end", task)
                .await
                .expect("no call failed");
        }
        self.rounds.load(Ordering::SeqCst)
    }
}
