//! Supervision of background tasks. A task that ends before the authority drains ends the process, which would else
//! go on without it and without a word.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures::FutureExt;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::health::{Condition, Readiness};

/// Runs the background tasks of an authority.
#[derive(Clone)]
pub struct Supervisor {
    tasks: TaskTracker,
    /// Cancelled once tasks may end.
    drain: CancellationToken,
    readiness: Arc<Readiness>,
    /// The reason why the process has to end.
    failure: watch::Sender<Option<String>>,
}

impl Supervisor {
    /// A supervisor without tasks. They may end once `drain` is cancelled.
    #[must_use]
    pub fn new(readiness: Arc<Readiness>, drain: CancellationToken) -> Self {
        Self {
            tasks: TaskTracker::new(),
            drain,
            readiness,
            failure: watch::Sender::new(None),
        }
    }

    /// The readiness that tasks report to.
    #[must_use]
    pub fn readiness(&self) -> &Arc<Readiness> {
        &self.readiness
    }

    /// Runs a task that has no reason to end before the authority drains.
    pub fn spawn<T: Send>(
        &self,
        name: &'static str,
        work: impl Future<Output = T> + Send + 'static,
    ) {
        let supervisor = self.clone();
        self.tasks.spawn(async move {
            // Unwind safety is asserted because nothing that the task shares is used after a panic: the process ends.
            let ended = AssertUnwindSafe(work).catch_unwind().await;
            // A task that ends while the authority drains did what it was told.
            let how = match ended {
                Err(_) => "panicked",
                Ok(_) if supervisor.drain.is_cancelled() => return,
                Ok(_) => "ended",
            };
            supervisor.fail(Condition::Task, format!("the task `{name}` {how}"));
        });
    }

    /// Runs a task that may be dropped at any await, until `stop` is cancelled.
    pub(crate) fn spawn_until(
        &self,
        stop: &CancellationToken,
        name: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let work = stop.clone().run_until_cancelled_owned(work);
        self.spawn(name, work);
    }

    /// Reviews readiness all the time, and ends the process when it says that waiting cannot help.
    pub(crate) fn watch_readiness(&self, stop: &CancellationToken) {
        let supervisor = self.clone();
        self.spawn_until(stop, "readiness", async move {
            let reason = supervisor.readiness.review_until_stuck().await;
            supervisor.fail(Condition::Feed, reason);
            // The end is asked for. Returning would add a second reason, that this task ended.
            std::future::pending::<()>().await;
        });
    }

    /// Makes the authority not ready and asks for its end. The first reason counts.
    pub(crate) fn fail(&self, condition: Condition, reason: String) {
        tracing::error!(reason, "the authority cannot go on");
        // First, so that load balancers can turn away before the process begins to end.
        self.readiness.raise(condition, reason.clone());
        self.failure.send_if_modified(|known| {
            // Later reasons are consequences of the first one as a rule.
            let is_first = known.is_none();
            if is_first {
                *known = Some(reason);
            }
            is_first
        });
    }

    /// The reason why the authority has to end. Pending while it need not.
    pub async fn failed(&self) -> String {
        let mut failure = self.failure.subscribe();
        let reason = failure.wait_for(Option::is_some).await;
        let reason = reason.ok().and_then(|reason| reason.clone());
        // The channel cannot close: this supervisor holds the sender.
        reason.expect("waited for a reason")
    }

    /// Waits until all tasks have ended.
    pub(crate) async fn wait(&self) {
        // A tracker that is open never counts as finished.
        self.tasks.close();
        self.tasks.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ReadinessConfig;

    fn supervisor() -> (Supervisor, CancellationToken) {
        let drain = CancellationToken::new();
        let readiness = Arc::new(Readiness::new(&ReadinessConfig::default()));
        (Supervisor::new(readiness, drain.clone()), drain)
    }

    #[tokio::test]
    async fn a_task_that_panics_makes_the_authority_not_ready_and_end() {
        let (supervisor, _drain) = supervisor();
        supervisor.spawn("thinner", async { panic!("of the test") });
        assert_eq!(supervisor.failed().await, "the task `thinner` panicked");
        let problems = supervisor.readiness().problems();
        assert!(problems.borrow().contains_key(&Condition::Task));
    }

    #[tokio::test]
    async fn a_task_that_returns_early_ends_the_authority_and_one_that_drains_does_not() {
        let (early, _drain) = supervisor();
        early.spawn("early", async {});
        assert_eq!(early.failed().await, "the task `early` ended");

        let (draining, drain) = supervisor();
        drain.cancel();
        draining.spawn("drained", async {});
        draining.wait().await;
        assert!(draining.readiness().problems().borrow().is_empty());
    }
}
