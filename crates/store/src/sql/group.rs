//! Calls in groups: what waits while others are under way goes to the engine together, in one statement.

use std::{
    collections::VecDeque,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures::{FutureExt, future::BoxFuture};
use tokio::sync::oneshot;

use crate::store::StoreError;

/// Groups of one kind that may be under way at once.
const UNDER_WAY_MAX: usize = 4;

/// How long the newest group is under way before another one begins beside it: what waits for it makes a larger group,
/// but others need not wait for whoever is held up by a lock.
const HELD_UP: Duration = Duration::from_millis(20);

/// Calls that may wait.
const WAITING_MAX: usize = 8_192;

/// Calls of one kind. A call that meets no others is a group of its own and waits for nobody.
pub(super) struct Groups<T, R>(Arc<Shared<T, R>>);

/// Answers the calls of a group, in their order.
type Run<T, R> = dyn Fn(Vec<T>) -> BoxFuture<'static, Result<Vec<R>, StoreError>> + Send + Sync;

struct Shared<T, R> {
    run: Box<Run<T, R>>,
    /// The most calls of one group.
    size_max: usize,
    state: Mutex<State<T, R>>,
}

struct State<T, R> {
    waiting: VecDeque<Call<T, R>>,
    under_way: usize,
    /// When the newest group began.
    began: Instant,
}

struct Call<T, R> {
    asked: T,
    reply: oneshot::Sender<Result<R, StoreError>>,
}

impl<T: Clone + Send + 'static, R: Send + 'static> Groups<T, R> {
    /// Groups of up to `size_max` calls, answered by `run`.
    pub(super) fn new(
        size_max: usize,
        run: impl Fn(Vec<T>) -> BoxFuture<'static, Result<Vec<R>, StoreError>> + Send + Sync + 'static,
    ) -> Self {
        let state = Mutex::new(State {
            waiting: VecDeque::new(),
            under_way: 0,
            began: Instant::now(),
        });
        Self(Arc::new(Shared {
            run: Box::new(run),
            size_max,
            state,
        }))
    }

    /// The answer to one call. Dropping the future withdraws a call whose group has not begun.
    pub(super) async fn call(&self, asked: T) -> Result<R, StoreError> {
        let (reply, answer) = oneshot::channel();
        if self.0.admit(Call { asked, reply })? {
            tokio::spawn(Arc::clone(&self.0).work());
        }
        answer
            .await
            .unwrap_or_else(|_| Err(StoreError::Internal("a group was not answered".into())))
    }
}

impl<T: Clone + Send + 'static, R: Send + 'static> Shared<T, R> {
    /// Lets a call wait; whether a worker has to be started for it.
    fn admit(&self, call: Call<T, R>) -> Result<bool, StoreError> {
        let mut state = self.state();
        if state.waiting.len() >= WAITING_MAX {
            return Err(StoreError::Unavailable("too many calls wait".into()));
        }
        state.waiting.push_back(call);
        let held_up = state.under_way < UNDER_WAY_MAX && state.began.elapsed() > HELD_UP;
        let starts = state.under_way == 0 || held_up;
        state.under_way += usize::from(starts);
        Ok(starts)
    }

    /// Runs group after group until no call waits.
    async fn work(self: Arc<Self>) {
        while let Some(group) = self.next() {
            let (asked, replies): (Vec<_>, Vec<_>) = group
                .into_iter()
                .map(|call| (call.asked, call.reply))
                .unzip();
            // After a panic the replies are dropped, and the worker goes on.
            let Ok(answers) = AssertUnwindSafe(self.answer(asked)).catch_unwind().await else {
                continue;
            };
            for (reply, answer) in replies.into_iter().zip(answers) {
                // A caller who has gone away does not need the answer.
                let _ = reply.send(answer);
            }
        }
    }

    /// The next group. Its size is a power of two, so that a few prepared statements serve all.
    fn next(&self) -> Option<Vec<Call<T, R>>> {
        let mut state = self.state();
        state.waiting.retain(|call| !call.reply.is_closed());
        let Some(power) = state.waiting.len().min(self.size_max).checked_ilog2() else {
            state.under_way -= 1;
            return None;
        };
        state.began = Instant::now();
        Some(state.waiting.drain(..1 << power).collect())
    }

    /// One bad call must not fail the others, but nobody is asked twice who does not answer.
    async fn answer(&self, asked: Vec<T>) -> Vec<Result<R, StoreError>> {
        match (self.run)(asked.clone()).await {
            Ok(answers) => answers.into_iter().map(Ok).collect(),
            Err(error) if asked.len() == 1 || matches!(error, StoreError::Unavailable(_)) => {
                asked.iter().map(|_| Err(error.clone())).collect()
            }
            Err(_) => {
                let mut answers = Vec::with_capacity(asked.len());
                for one in asked {
                    let answer = (self.run)(vec![one]).await;
                    answers.extend(answer.map_or_else(
                        |error| vec![Err(error)],
                        |one| one.into_iter().map(Ok).collect(),
                    ));
                }
                answers
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T, R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;

    /// Groups that answer with the size of the group, refuse whoever is in one with a 13, and panic at a 99.
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
    async fn what_waits_goes_out_in_groups_of_a_power_of_two() {
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
        for _ in 0..2 * UNDER_WAY_MAX {
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
        // Longer than a group is waited for: a schedule.
        tokio::time::sleep(2 * HELD_UP).await;
        let passed = tokio::time::timeout(Duration::from_secs(10), groups.call(1)).await;
        assert_eq!(passed.expect("in time").expect("an answer"), 1);
    }

    #[tokio::test]
    async fn who_gives_up_is_not_asked_for() {
        let groups = groups(4);
        let mut first = Box::pin(groups.call(13));
        assert!(futures::poll!(&mut first).is_pending());
        drop(first);
        let sizes = join_all((1..3).map(|number| groups.call(number))).await;
        assert!(sizes.iter().all(|size| matches!(size, Ok(2))), "{sizes:?}");
    }
}
