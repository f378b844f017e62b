//! How connections are made: bounded, with the settings that the log relies on, and listening for warnings.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use deadpool_postgres::Connect;
use futures::future::BoxFuture;
use tokio::{io::AsyncRead, io::AsyncWrite, task::JoinHandle, time::timeout};
use tokio_postgres::{AsyncMessage, Client, Config, Connection, NoTls, error::SqlState};

use super::connection::db_error;
use crate::{
    config::StoreConfig,
    store::{StoreError, sql::Lane},
};

/// What an operator may set.
#[derive(Clone)]
pub struct PostgresOptions {
    /// Connections for sessions; appender, beat and feed have three more.
    pub connections_max: usize,
    /// Connections for searches.
    pub search_connections_max: usize,
    /// How long a statement of a search may take.
    pub search_timeout: Duration,
    /// For the whole connect, and for the wait for a free connection.
    pub connect_timeout: Duration,
    /// As whom to migrate; none: as the service itself.
    pub owner_url: Option<String>,
}

impl PostgresOptions {
    /// Those of a configuration.
    pub(crate) fn of(config: &StoreConfig) -> Self {
        Self {
            connections_max: config.connections_max,
            search_connections_max: config.search_connections_max,
            search_timeout: config.search_timeout,
            connect_timeout: config.connect_timeout,
            owner_url: config.owner_url.clone(),
        }
    }
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            connections_max: 16,
            search_connections_max: 4,
            search_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(3),
            owner_url: None,
        }
    }
}

/// The server ends whoever waits for a lock, or idles in a transaction, for longer than this: a hung authority
/// cannot keep the others from the head of the log.
///
/// Plans are made once, often while tables are small, and kept while they grow: none may read a whole table, so a join
/// looks up its rows one by one, and keeps no table to go through it again; nor sort what an index has in order. A tuple
/// costs what a page costs: else a few looked-up rows would cost more than a comparison of every row with every one that
/// is looked for. The planner shows its displeasure by costs that would have every such plan compiled, or run by several
/// processes, which takes longer than any statement here.
const SETTINGS: &str = "SET lock_timeout = '2s'; SET idle_in_transaction_session_timeout = '2s'; \
     SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_sort = off; \
     SET enable_material = off; SET jit = off; SET cpu_tuple_cost = 1; SET max_parallel_workers_per_gather = 0; \
     SET plan_cache_mode = force_generic_plan";

/// Never below `on`: an acknowledgement has to mean something. Above it the server's word stands.
const RAISE_DURABILITY: &str = "SELECT set_config('synchronous_commit', 'on', false) \
     WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')";

/// Counts warnings of the connections of a lane. A commit whose wait for a standby was cancelled comes back as done;
/// the only sign is a warning that arrives before the reply.
pub(super) type Warnings = Arc<AtomicU64>;

/// Makes the connections of one lane.
pub(super) struct Connector {
    lane: Lane,
    warnings: Warnings,
    search_timeout: Duration,
}

impl Connector {
    pub(super) fn new(lane: Lane, warnings: Warnings, options: &PostgresOptions) -> Self {
        Self {
            lane,
            warnings,
            search_timeout: options.search_timeout,
        }
    }
}

impl Connect for Connector {
    fn connect(
        &self,
        config: &Config,
    ) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), tokio_postgres::Error>> {
        let config = config.clone();
        Box::pin(async move {
            let (client, connection) = config.connect(NoTls).await?;
            let driver = tokio::spawn(drive(connection, Arc::clone(&self.warnings)));
            client.batch_execute(SETTINGS).await?;
            if matches!(self.lane, Lane::Append | Lane::Beat) {
                client.batch_execute(RAISE_DURABILITY).await?;
            }
            if self.lane == Lane::Search {
                let limit = self.search_timeout.as_millis();
                let statement = format!("SET statement_timeout = {limit}");
                client.batch_execute(&statement).await?;
            }
            Ok((client, driver))
        })
    }
}

/// A connection without any of this, for migrations.
pub(super) async fn plain(
    config: &Config,
    options: &PostgresOptions,
) -> Result<Client, StoreError> {
    let unreachable = |why: String| StoreError::Unavailable(format!("connecting: {why}"));
    // The driver's own timeout does not cover a first host that hangs.
    let connecting = timeout(options.connect_timeout, config.connect(NoTls));
    let connected = connecting
        .await
        .map_err(|_| unreachable("timed out".into()))?;
    let (client, connection) =
        connected.map_err(|error| unreachable(db_error(&error).to_string()))?;
    tokio::spawn(drive(connection, Warnings::default()));
    Ok(client)
}

async fn drive<S, T>(mut connection: Connection<S, T>, warnings: Warnings)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
        match message {
            Ok(AsyncMessage::Notice(notice))
                if notice.code() != &SqlState::SUCCESSFUL_COMPLETION =>
            {
                warnings.fetch_add(1, Ordering::SeqCst);
                tracing::warn!(code = notice.code().code(), "database warning");
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(error = %db_error(&error), "database connection lost");
                return;
            }
        }
    }
}
