//! Faults between any two statements of an engine: a connection that stops there, or loses the answer.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use portcullis_authority::store::{
    PoolState, StoreMeasure,
    sql::{Backend, Connection, DbError, Dialect, Lane, Row, Statement, Value},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::sync::oneshot;

use crate::wait::within;

/// The most that [`Faults::shuffle`] delays one statement.
const DELAY_MAX: Duration = Duration::from_millis(3);

/// Where a fault strikes. The operations of one loan of a connection are counted from 0; BEGIN, COMMIT and ROLLBACK
/// are operations too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// When it is asked for, before the engine hears of it.
    Before(usize),
    /// When it is done, before its caller hears of it.
    After(usize),
    /// As [`Before`](Self::Before), whichever the COMMIT is.
    BeforeCommit,
    /// As [`After`](Self::After), whichever the COMMIT is: done, and the answer lost.
    AfterCommit,
}

impl Point {
    /// The points of a loan, in order. There is no last one: a loan ends when it does not reach the next.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..).flat_map(|operation| [Self::Before(operation), Self::After(operation)])
    }
}

/// What goes wrong on an engine that was wrapped by [`wrap`].
#[derive(Clone, Default)]
pub struct Faults(Arc<State>);

#[derive(Default)]
struct State {
    plans: Mutex<Vec<(Lane, Plan)>>,
    waiting: Mutex<HashMap<Lane, usize>>,
    delays: Mutex<Option<StdRng>>,
    commits: Mutex<HashMap<Lane, usize>>,
    cut_off: Mutex<HashSet<Lane>>,
}

struct Plan {
    point: Point,
    action: Action,
}

enum Action {
    Fail,
    Panic,
    Pause {
        reached: oneshot::Sender<()>,
        resumed: oneshot::Receiver<()>,
    },
}

/// A pause. The connection goes on when this is dropped.
pub struct Hold {
    reached: oneshot::Receiver<()>,
    _resume: oneshot::Sender<()>,
}

impl Hold {
    /// Waits until the connection stands at its point; `false` when it was given back without getting there.
    pub async fn reached(&mut self) -> bool {
        within("the point or the end of the transaction", &mut self.reached)
            .await
            .is_ok()
    }
}

/// An engine like `backend`, but for what the returned handle makes of it.
#[must_use]
pub fn wrap(backend: Arc<dyn Backend>) -> (Arc<dyn Backend>, Faults) {
    let faults = Faults::default();
    (
        Arc::new(FaultyBackend {
            inner: backend,
            faults: faults.clone(),
        }),
        faults,
    )
}

impl Faults {
    /// The next loan of `lane` fails at `point`. What failed there may have happened.
    pub fn fail(&self, lane: Lane, point: Point) {
        self.plan(
            lane,
            Plan {
                point,
                action: Action::Fail,
            },
        );
    }

    /// Whoever uses the next loan of `lane` panics at `point`.
    pub fn panic(&self, lane: Lane, point: Point) {
        self.plan(
            lane,
            Plan {
                point,
                action: Action::Panic,
            },
        );
    }

    /// No loan of `lane` is given any more, until [`mend`](Self::mend).
    pub fn cut_off(&self, lane: Lane) {
        lock(&self.0.cut_off).insert(lane);
    }

    /// Ends what [`cut_off`](Self::cut_off) began.
    pub fn mend(&self, lane: Lane) {
        lock(&self.0.cut_off).remove(&lane);
    }

    /// The next loan of `lane` stops at `point` until the [`Hold`] is dropped.
    #[must_use]
    pub fn pause(&self, lane: Lane, point: Point) -> Hold {
        let (tell, reached) = oneshot::channel();
        let (resume, resumed) = oneshot::channel();
        self.plan(
            lane,
            Plan {
                point,
                action: Action::Pause {
                    reached: tell,
                    resumed,
                },
            },
        );
        Hold {
            reached,
            _resume: resume,
        }
    }

    /// How many transactions of `lane` were committed so far.
    #[must_use]
    pub fn commits(&self, lane: Lane) -> usize {
        lock(&self.0.commits).get(&lane).copied().unwrap_or(0)
    }

    /// Delays every operation from now on, by `seed`.
    pub fn shuffle(&self, seed: u64) {
        *lock(&self.0.delays) = Some(StdRng::seed_from_u64(seed));
    }

    /// Whether someone waits for a connection of `lane`.
    #[must_use]
    pub fn is_waiting(&self, lane: Lane) -> bool {
        lock(&self.0.waiting)
            .get(&lane)
            .is_some_and(|count| *count > 0)
    }

    fn plan(&self, lane: Lane, plan: Plan) {
        lock(&self.0.plans).push((lane, plan));
    }

    fn take(&self, lane: Lane) -> Vec<Plan> {
        let mut plans = lock(&self.0.plans);
        let (taken, left) = std::mem::take(&mut *plans)
            .into_iter()
            .partition(|(of, _)| *of == lane);
        *plans = left;
        taken.into_iter().map(|(_, plan)| plan).collect()
    }

    async fn delay(&self) {
        let delay = lock(&self.0.delays)
            .as_mut()
            .map(|random| random.random_range(Duration::ZERO..DELAY_MAX));
        if let Some(delay) = delay {
            // A schedule, not a wait for something.
            tokio::time::sleep(delay).await;
        }
    }
}

struct FaultyBackend {
    inner: Arc<dyn Backend>,
    faults: Faults,
}

#[async_trait]
impl Backend for FaultyBackend {
    async fn connection(&self, lane: Lane) -> Result<Box<dyn Connection>, DbError> {
        if lock(&self.faults.0.cut_off).contains(&lane) {
            return Err(DbError::Unavailable("a fault of the test's".into()));
        }
        let waiting = Waiting::new(&self.faults, lane);
        // Before the wait for a connection: the plan is for the loan that asks next, whichever is served next.
        let plans = self.faults.take(lane);
        let inner = self.inner.connection(lane).await?;
        drop(waiting);
        let together = self.inner.dialect().beat_writes;
        Ok(Box::new(FaultyConnection {
            inner,
            lane,
            faults: self.faults.clone(),
            plans,
            operations: 0,
            together,
        }))
    }

    fn dialect(&self) -> Dialect {
        self.inner.dialect()
    }

    fn searches_max(&self) -> usize {
        self.inner.searches_max()
    }

    fn pools(&self) -> Vec<PoolState> {
        self.inner.pools()
    }

    async fn durability(&self) -> Result<String, DbError> {
        self.inner.durability().await
    }

    async fn measure(&self) -> Result<StoreMeasure, DbError> {
        self.inner.measure().await
    }
}

/// Counts one who waits for a connection, also when they give up.
struct Waiting<'a>(&'a Faults, Lane);

impl<'a> Waiting<'a> {
    fn new(faults: &'a Faults, lane: Lane) -> Self {
        *lock(&faults.0.waiting).entry(lane).or_default() += 1;
        Self(faults, lane)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        *lock(&self.0.0.waiting).entry(self.1).or_default() -= 1;
    }
}

struct FaultyConnection {
    lane: Lane,
    inner: Box<dyn Connection>,
    faults: Faults,
    plans: Vec<Plan>,
    operations: usize,
    /// Whether the engine takes several statements in one round trip, which is one operation then.
    together: bool,
}

impl FaultyConnection {
    fn count_commit(&self) {
        *lock(&self.faults.0.commits).entry(self.lane).or_default() += 1;
    }

    async fn before(&mut self, is_commit: bool) -> Result<(), DbError> {
        self.faults.delay().await;
        let now = self.operations;
        self.strike(|point| {
            point == Point::Before(now) || is_commit && point == Point::BeforeCommit
        })
        .await
    }

    async fn after(&mut self, is_commit: bool) -> Result<(), DbError> {
        self.faults.delay().await;
        let now = self.operations;
        self.operations += 1;
        self.strike(|point| point == Point::After(now) || is_commit && point == Point::AfterCommit)
            .await
    }

    async fn strike(&mut self, is_here: impl Fn(Point) -> bool) -> Result<(), DbError> {
        // Several plans may be for one point, such as a pause and then a failure.
        while let Some(index) = self.plans.iter().position(|plan| is_here(plan.point)) {
            match self.plans.remove(index).action {
                Action::Fail => return Err(DbError::Unavailable("a fault of the test's".into())),
                Action::Panic => panic!("a fault of the test's"),
                Action::Pause { reached, resumed } => {
                    // The hold may be gone already, as it is when it goes: then there is nothing to wait for.
                    let _ = reached.send(());
                    let _ = resumed.await;
                }
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Connection for FaultyConnection {
    async fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, DbError> {
        self.before(false).await?;
        // A fault behind it hides the answer: done, and its caller does not know.
        let done = self.inner.query(sql, params).await;
        self.after(false).await?;
        done
    }

    async fn query_all(&mut self, statements: &[Statement]) -> Result<Vec<Vec<Row>>, DbError> {
        if self.together {
            self.before(false).await?;
            let done = self.inner.query_all(statements).await;
            self.after(false).await?;
            return done;
        }
        let mut rows = Vec::new();
        for Statement { sql, params } in statements {
            rows.push(self.query(sql, params).await?);
        }
        Ok(rows)
    }

    async fn finish(&mut self, last: &[Statement]) -> Result<Vec<Vec<Row>>, DbError> {
        if self.together {
            self.before(true).await?;
            let done = self.inner.finish(last).await;
            self.count_commit();
            self.after(true).await?;
            return done;
        }
        let rows = self.query_all(last).await?;
        self.commit().await?;
        Ok(rows)
    }

    async fn begin(&mut self) -> Result<(), DbError> {
        self.before(false).await?;
        let done = self.inner.begin().await;
        self.after(false).await?;
        done
    }

    async fn commit(&mut self) -> Result<(), DbError> {
        self.before(true).await?;
        let done = self.inner.commit().await;
        self.count_commit();
        self.after(true).await?;
        done
    }

    async fn rollback(&mut self) -> Result<(), DbError> {
        self.before(false).await?;
        let done = self.inner.rollback().await;
        self.after(false).await?;
        done
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
