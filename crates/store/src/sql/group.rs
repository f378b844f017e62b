//! Calls in groups: calls that wait while others run go to the engine together, in one statement.

use std::{
    collections::VecDeque,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures::{FutureExt, future::BoxFuture};
use tokio::sync::oneshot;

use crate::StoreError;

/// The most groups of one kind that run at once.
const RUNNING_MAX: usize = 4;

/// The age of the newest running group from which another one may begin beside it. Calls that wait for a group make the
/// next one larger, which is cheaper. But they must not wait for a group that a lock holds up.
const HELD_UP: Duration = Duration::from_millis(20);

/// The most calls of one kind that wait.
const WAITING_MAX: usize = 8_192;

/// Calls of one kind. A call that meets no others is a group of its own, and waits for nothing.
pub(super) struct Groups<T, R>(Arc<Queue<T, R>>);

/// Answers the calls of a group, in their order.
type Run<T, R> = dyn Fn(Vec<T>) -> BoxFuture<'static, Result<Vec<R>, StoreError>> + Send + Sync;

struct Queue<T, R> {
    run: Box<Run<T, R>>,
    /// The most calls of one group.
    size_max: usize,
    state: Mutex<State<T, R>>,
}

struct State<T, R> {
    waiting: VecDeque<QueuedCall<T, R>>,
    running: usize,
    /// When the newest group began.
    began: Instant,
}

struct QueuedCall<T, R> {
    request: T,
    reply: oneshot::Sender<Result<R, StoreError>>,
}

impl<T: Clone + Send + 'static, R: Send + 'static> Groups<T, R> {
    /// Groups of up to `size_max` calls, which `run` answers.
    pub(super) fn new(
        size_max: usize,
        run: impl Fn(Vec<T>) -> BoxFuture<'static, Result<Vec<R>, StoreError>> + Send + Sync + 'static,
    ) -> Self {
        let state = State {
            waiting: VecDeque::new(),
            running: 0,
            began: Instant::now(),
        };
        Self(Arc::new(Queue {
            run: Box::new(run),
            size_max,
            state: Mutex::new(state),
        }))
    }

    /// Answers one call. Dropping the future withdraws the call, unless its group has begun.
    pub(super) async fn call(&self, request: T) -> Result<R, StoreError> {
        let (reply, answer) = oneshot::channel();
        let needs_worker = self.0.enqueue(QueuedCall { request, reply })?;
        if needs_worker {
            tokio::spawn(Arc::clone(&self.0).work());
        }
        match answer.await {
            Ok(answer) => answer,
            Err(_) => Err(StoreError::Internal("a group was not answered".into())),
        }
    }
}

impl<T: Clone + Send + 'static, R: Send + 'static> Queue<T, R> {
    /// Adds a call. Returns whether a worker has to be started for it.
    fn enqueue(&self, call: QueuedCall<T, R>) -> Result<bool, StoreError> {
        let mut state = self.state();
        if state.waiting.len() >= WAITING_MAX {
            return Err(StoreError::Unavailable("too many calls wait".into()));
        }
        state.waiting.push_back(call);
        let is_held_up = state.running < RUNNING_MAX && state.began.elapsed() > HELD_UP;
        // The call usually joins the group that the running worker takes next.
        let needs_worker = state.running == 0 || is_held_up;
        if needs_worker {
            state.running += 1;
        }
        Ok(needs_worker)
    }

    /// Runs group after group until no call waits.
    async fn work(self: Arc<Self>) {
        while let Some(group) = self.next_group() {
            let mut requests = Vec::with_capacity(group.len());
            let mut replies = Vec::with_capacity(group.len());
            for call in group {
                requests.push(call.request);
                replies.push(call.reply);
            }
            // After a panic the replies are dropped, which fails their callers. The worker goes on.
            let Ok(answers) = AssertUnwindSafe(self.answer(requests)).catch_unwind().await else {
                continue;
            };
            for (reply, answer) in replies.into_iter().zip(answers) {
                // A caller that has gone away does not need the answer.
                let _ = reply.send(answer);
            }
        }
    }

    /// Takes the next group. The worker ends when there is none.
    fn next_group(&self) -> Option<Vec<QueuedCall<T, R>>> {
        // Its size is a power of two, so that a few prepared statements serve all sizes.
        let mut state = self.state();
        // A caller that has gone away must not make the group larger.
        state.waiting.retain(|call| !call.reply.is_closed());
        let Some(power) = state.waiting.len().min(self.size_max).checked_ilog2() else {
            state.running -= 1;
            return None;
        };
        state.began = Instant::now();
        Some(state.waiting.drain(..1 << power).collect())
    }

    /// Answers a group.
    async fn answer(&self, requests: Vec<T>) -> Vec<Result<R, StoreError>> {
        // If it fails, each call runs alone, so that one bad call does not fail the others. A store
        // that cannot be reached is not asked again: each of those calls would wait as long for
        // nothing.
        match (self.run)(requests.clone()).await {
            Ok(answers) => answers.into_iter().map(Ok).collect(),
            Err(error) if requests.len() == 1 || is_unreachable(&error) => {
                requests.iter().map(|_| Err(error.clone())).collect()
            }
            Err(_) => self.answer_one_by_one(requests).await,
        }
    }

    async fn answer_one_by_one(&self, requests: Vec<T>) -> Vec<Result<R, StoreError>> {
        let mut answers = Vec::with_capacity(requests.len());
        for request in requests {
            match (self.run)(vec![request]).await {
                Ok(answer) => answers.extend(answer.into_iter().map(Ok)),
                Err(error) => answers.push(Err(error)),
            }
        }
        answers
    }

    fn state(&self) -> MutexGuard<'_, State<T, R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_unreachable(error: &StoreError) -> bool {
    matches!(error, StoreError::Unavailable(_) | StoreError::Tls(_))
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;

    /// Groups that answer with their size, fail with a 13 among them, and panic with a 99.
    fn groups(size_max: usize) -> Groups<u32, usize> {
        Groups::new(size_max, |asked| {
            Box::pin(async move {
                tokio::task::yield_now().await;
                assert!(!asked.contains(&99), "a panic of the test's");
                let refused = asked
                    .contains(&13)
                    .then(|| StoreError::Conflict("13".into()));
                refused.map_or(Ok(vec![asked.len(); asked.len()]), Err)
            })
        })
    }

    #[tokio::test]
    async fn waiting_calls_go_out_in_groups_of_a_power_of_two() {
        let groups = groups(8);
        let sizes: Vec<_> = join_all((20..43).map(|number| groups.call(number))).await;
        let sizes: Vec<_> = sizes
            .into_iter()
            .map(|size| size.expect("an answer"))
            .collect();
        assert_eq!(sizes, [&[8; 16][..], &[4; 4], &[2; 2], &[1]].concat());
        assert_eq!(groups.call(1).await.expect("an answer"), 1);
    }

    #[tokio::test]
    async fn one_bad_call_fails_alone() {
        let groups = groups(8);
        let answers = join_all((10..18).map(|number| groups.call(number))).await;
        let refused: Vec<_> = answers.iter().map(Result::is_err).collect();
        assert_eq!(
            refused,
            (10..18).map(|number| number == 13).collect::<Vec<_>>()
        );
    }

    #[tokio::test]
    async fn a_panic_fails_its_group_and_no_other() {
        let groups = groups(1);
        for _ in 0..2 * RUNNING_MAX {
            assert!(matches!(
                groups.call(99).await,
                Err(StoreError::Internal(_))
            ));
        }
        assert_eq!(groups.call(1).await.expect("an answer"), 1);
    }

    #[tokio::test]
    async fn others_pass_a_group_that_is_held_up() {
        let groups = Groups::new(1, |asked: Vec<u32>| {
            Box::pin(async move {
                if asked == [13] {
                    std::future::pending::<()>().await;
                }
                Ok(asked)
            })
        });
        let mut held = Box::pin(groups.call(13));
        assert!(futures::poll!(&mut held).is_pending());
        tokio::task::yield_now().await;
        // The time is what the test is about: a group may begin beside one that is held up for this long.
        tokio::time::sleep(2 * HELD_UP).await;
        let passed = tokio::time::timeout(Duration::from_secs(10), groups.call(1)).await;
        assert_eq!(passed.expect("in time").expect("an answer"), 1);
    }

    #[tokio::test]
    async fn a_withdrawn_call_is_not_run() {
        let groups = groups(4);
        let mut first = Box::pin(groups.call(13));
        assert!(futures::poll!(&mut first).is_pending());
        drop(first);
        let sizes = join_all((1..3).map(|number| groups.call(number))).await;
        assert!(sizes.iter().all(|size| matches!(size, Ok(2))), "{sizes:?}");
    }
}
