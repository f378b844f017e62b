//! The pools of connections, and the knowledge about the server that they share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use deadpool::managed::{
    Manager, Metrics, Object, Pool, PoolError, RecycleError, RecycleResult, TimeoutType,
};
use deadpool_postgres::Runtime;
use tokio::{sync::Semaphore, time::timeout};

use super::{
    connect::{self, PostgresOptions, ServerProcess, Session},
    error::db_error,
    url::Target,
};
use crate::{
    PoolState,
    sql::{DbError, Lane},
};

/// The time that a doubted connection may take to prove that it still takes writes.
const PROOF_TIMEOUT: Duration = Duration::from_secs(1);

/// The time to wait for the end of a process: a second for the end itself, and a second for the answer.
const TERMINATION_TIMEOUT: Duration = Duration::from_secs(2);

/// The most processes of the server that are ended at the same time.
const TERMINATIONS_MAX: usize = 4;

/// Ends a process that did not answer in time, so that its locks are released.
///
/// The start time makes sure that it is the process that was meant, because its number may have been reused. A process that
/// waits for a standby is spared. It has committed, and ending it would show its rows to everyone although a failover may
/// still take them back.
const TERMINATE: &str = "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_get_activity($1) \
     WHERE (extract(epoch FROM backend_start) * 1000000)::bigint = $2 AND wait_event IS DISTINCT FROM 'SyncRep'";

/// The connections of one lane.
pub(super) struct LanePool {
    lane: Lane,
    pool: Pool<Sessions>,
    waiting: AtomicUsize,
    waits: AtomicU64,
    waited_us: AtomicU64,
}

/// A connection on loan.
pub(super) type Loan = Object<Sessions>;

impl LanePool {
    pub(super) fn new(
        lane: Lane,
        size: usize,
        server: &Arc<Server>,
        options: &PostgresOptions,
    ) -> Result<Self, DbError> {
        let limit = Some(options.connect_timeout);
        let sessions = Sessions {
            server: Arc::clone(server),
            // Other lanes have no such limit: the server would also apply it to a COMMIT that waits for a standby.
            statement_timeout: (lane == Lane::Search).then_some(options.search_timeout),
        };
        let pool = Pool::builder(sessions)
            .max_size(size)
            .runtime(Runtime::Tokio1)
            .wait_timeout(limit)
            .create_timeout(limit)
            // Each proof has a bound of its own.
            .recycle_timeout(limit)
            .build()
            .map_err(|error| DbError::Other(error.to_string()))?;
        Ok(Self {
            lane,
            pool,
            waiting: AtomicUsize::new(0),
            waits: AtomicU64::new(0),
            waited_us: AtomicU64::new(0),
        })
    }

    pub(super) async fn get(&self) -> Result<Loan, DbError> {
        let waiting = Waiting::new(self);
        let loan = self.pool.get().await;
        // Dropped before the result is looked at, so that failed waits count too.
        drop(waiting);
        loan.map_err(|error| match error {
            PoolError::Backend(error) => error,
            PoolError::Timeout(TimeoutType::Wait) => {
                DbError::Unavailable("every connection is in use".into())
            }
            PoolError::Timeout(_) => DbError::Unavailable("connecting: no answer in time".into()),
            _ => DbError::Unavailable("the pool is closed".into()),
        })
    }

    pub(super) fn state(&self) -> PoolState {
        let status = self.pool.status();
        PoolState {
            lane: self.lane.name(),
            max: status.max_size as u64,
            in_use: status.size.saturating_sub(status.available) as u64,
            waiting: self.waiting.load(Ordering::Relaxed) as u64,
            waits: self.waits.load(Ordering::Relaxed),
            waited: Duration::from_micros(self.waited_us.load(Ordering::Relaxed)),
        }
    }
}

/// Counts a caller that waits for a connection, even when it gives up.
struct Waiting<'a> {
    pool: &'a LanePool,
    since: Instant,
}

impl<'a> Waiting<'a> {
    fn new(pool: &'a LanePool) -> Self {
        pool.waiting.fetch_add(1, Ordering::Relaxed);
        Self {
            pool,
            since: Instant::now(),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let waited = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.pool.waiting.fetch_sub(1, Ordering::Relaxed);
        self.pool.waits.fetch_add(1, Ordering::Relaxed);
        self.pool.waited_us.fetch_add(waited, Ordering::Relaxed);
    }
}

/// The server behind all lanes, with the doubts about its connections.
pub(super) struct Server {
    target: Target,
    connect_timeout: Duration,
    /// The number of doubts so far. A connection that was proven before the newest one has to be proven again.
    doubts: AtomicU64,
    /// The doubt at which a proof got no answer. Connections that were proven before it are closed without asking.
    condemned: AtomicU64,
    terminations: Semaphore,
}

impl Server {
    pub(super) fn new(target: Target, options: &PostgresOptions) -> Self {
        Self {
            target,
            connect_timeout: options.connect_timeout,
            doubts: AtomicU64::new(0),
            condemned: AtomicU64::new(0),
            terminations: Semaphore::new(TERMINATIONS_MAX),
        }
    }

    /// Requires a proof of every connection before its next use.
    ///
    /// Called when a connection met a server that is going away, only reads, or does not answer. Without this each of the
    /// others would find out by itself, one deadline after another.
    pub(super) fn doubt(&self) {
        self.doubts.fetch_add(1, Ordering::SeqCst);
    }

    /// Ends a process of the server that did not answer in time.
    pub(super) fn terminate(self: &Arc<Self>, lane: Lane, process: ServerProcess) {
        let server = Arc::clone(self);
        tokio::spawn(async move {
            // Not queued: when many processes hang, a failover is under way and ending them is pointless.
            let Ok(_permit) = server.terminations.try_acquire() else {
                return;
            };
            match server.try_terminate(process).await {
                Ok(Some(true)) => {
                    tracing::warn!(
                        lane = lane.name(),
                        pid = process.pid,
                        "a database process did not answer in time and was ended"
                    );
                }
                // Only the server's operator can do more: the process may be stopped, or wait for a disk.
                Ok(Some(false)) => {
                    tracing::error!(
                        lane = lane.name(),
                        pid = process.pid,
                        "a database process does not answer and does not end: what it has locked stays locked until \
                         it goes on, or the server is restarted or failed over"
                    );
                }
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "a database process cannot be ended"),
            }
        });
    }

    /// Whether the process has ended. None when it was gone, waits for a standby, or belonged to another server.
    async fn try_terminate(&self, process: ServerProcess) -> Result<Option<bool>, DbError> {
        let ending = async {
            // Not from a pool: its connections may all wait for the lock that the process holds.
            let session =
                connect::connect_session(&self.target, self.connect_timeout, None).await?;
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 2] =
                [&process.pid, &process.started_us];
            let rows = session.client.query(TERMINATE, &parameters).await;
            rows.map(|rows| rows.first().map(|row| row.get(0)))
                .map_err(|error| db_error(&error))
        };
        timeout(self.connect_timeout + TERMINATION_TIMEOUT, ending)
            .await
            .unwrap_or_else(|_| Err(DbError::Unavailable("no answer in time".into())))
    }
}

/// A pooled session.
pub(super) struct Pooled {
    pub(super) session: Session,
    /// The number of doubts at its last proof.
    proven: u64,
}

/// Opens and proves the sessions of a pool.
pub(super) struct Sessions {
    server: Arc<Server>,
    statement_timeout: Option<Duration>,
}

impl Manager for Sessions {
    type Type = Pooled;
    type Error = DbError;

    async fn create(&self) -> Result<Pooled, DbError> {
        let server = &*self.server;
        // Read before connecting: a doubt that arises meanwhile also concerns this connection.
        let proven = server.doubts.load(Ordering::SeqCst);
        let session = connect::connect_session(
            &server.target,
            server.connect_timeout,
            self.statement_timeout,
        )
        .await?;
        Ok(Pooled { session, proven })
    }

    async fn recycle(&self, pooled: &mut Pooled, _: &Metrics) -> RecycleResult<DbError> {
        let server = &*self.server;
        if pooled.session.client.is_closed() {
            return Err(RecycleError::message("closed"));
        }
        let doubts = server.doubts.load(Ordering::SeqCst);
        // The usual case costs no round trip.
        if pooled.proven == doubts {
            return Ok(());
        }
        // Another connection got no answer. Asking here would wait for the same timeout again.
        if pooled.proven < server.condemned.load(Ordering::SeqCst) {
            return Err(RecycleError::message("doubted"));
        }
        match timeout(PROOF_TIMEOUT, connect::identify(&pooled.session.client)).await {
            Ok(Ok((false, _))) => {
                // The count from before the proof: a doubt that arose meanwhile asks for another proof.
                pooled.proven = doubts;
                Ok(())
            }
            Ok(_) => Err(RecycleError::message("it takes no writes")),
            Err(_) => {
                // The greatest counts, because a slow proof of an earlier doubt may end last.
                server.condemned.fetch_max(doubts, Ordering::SeqCst);
                Err(RecycleError::message("no answer in time"))
            }
        }
    }
}
