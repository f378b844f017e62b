//! How connections are made: bounded, to a server that takes writes, with the settings that the log relies on, and
//! listening for warnings.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use deadpool_postgres::ClientWrapper;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::{
    AsyncMessage, Client, Config, Connection, NoTls, SimpleQueryMessage, error::SqlState,
};

use super::{connection::db_error, hosts};
use crate::{StoreError, sql::DbError};

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
/// cannot keep the others from the head of the log. Statements rely on READ COMMITTED: whoever waited for a row reads it
/// again.
///
/// Plans are made once, often while tables are small, and kept while they grow: none may read a whole table, so a join
/// looks up its rows one by one, and keeps no table to go through it again; nor sort what an index has in order. A tuple
/// costs what a page costs: else a few looked-up rows would cost more than a comparison of every row with every one that
/// is looked for. The planner shows its displeasure by costs that would have every such plan compiled, or run by several
/// processes, which takes longer than any statement here.
///
/// Every commit waits for the disk, and for a synchronous standby where there is one: an acknowledgement has to mean
/// something. Above `on` the server's word stands.
const SETTINGS: &str = "SET lock_timeout = '2s'; SET idle_in_transaction_session_timeout = '2s'; \
     SET default_transaction_isolation = 'read committed'; \
     SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_sort = off; \
     SET enable_material = off; SET jit = off; SET cpu_tuple_cost = 1; SET max_parallel_workers_per_gather = 0; \
     SET plan_cache_mode = force_generic_plan; \
     SELECT set_config('synchronous_commit', 'on', false) \
     WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')";

/// Whether the session only reads, and the server's process that serves it.
const SESSION: &str = "SELECT current_setting('transaction_read_only') AS only_reads, pg_backend_pid() AS pid, \
     (extract(epoch FROM backend_start) * 1000000)::bigint AS started_us FROM pg_stat_get_activity(pg_backend_pid())";

/// A server that can ends what a client that has gone away left running. Not every server can.
const NOTICE_GONE: &str = "SELECT set_config(name, '1s', false) FROM pg_settings \
     WHERE name = 'client_connection_check_interval'";

/// Counts warnings of a connection. A commit whose wait for a standby was cancelled comes back as done; the only sign is
/// a warning that arrives before the reply.
pub(super) type Warnings = Arc<AtomicU64>;

/// A process of the server, by what no other one has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ServerProcess {
    pub(super) pid: i32,
    pub(super) started_us: i64,
}

/// A session that takes writes.
pub(super) struct Session {
    pub(super) client: ClientWrapper,
    pub(super) process: ServerProcess,
    pub(super) warnings: Warnings,
}

/// Connects with the settings of the service. `statement_timeout` is the server's own, for a lane that has one.
pub(super) async fn session(
    config: &Config,
    limit: Duration,
    statement_timeout: Option<Duration>,
) -> Result<Session, DbError> {
    let mut settings = SETTINGS.to_owned();
    if let Some(limit) = statement_timeout {
        settings += &format!("; SET statement_timeout = {}", limit.as_millis());
    }
    hosts::first(config, limit, &|config| {
        let settings = settings.clone();
        Box::pin(async move {
            let opened = open(&config).await?;
            opened
                .client
                .batch_execute(&settings)
                .await
                .map_err(|error| db_error(&error))?;
            // A refusal leaves the session as it was.
            let _ = opened.client.batch_execute(NOTICE_GONE).await;
            Ok(opened)
        })
    })
    .await
}

/// Connects without any settings, for migrations and looks at the server.
pub(super) async fn plain(
    config: &Config,
    options: &PostgresOptions,
) -> Result<ClientWrapper, StoreError> {
    let opened = hosts::first(config, options.connect_timeout, &|config| {
        Box::pin(async move { open(&config).await })
    });
    Ok(opened.await?.client)
}

/// Opens a session at one address. A server that only reads is refused: a standby, or a primary that was deposed.
async fn open(config: &Config) -> Result<Session, DbError> {
    let (client, connection) = config
        .connect(NoTls)
        .await
        .map_err(|error| connect_error(&error))?;
    let warnings = Warnings::default();
    let driver = tokio::spawn(drive(connection, Arc::clone(&warnings)));
    // From here on the task ends with the client, also when this future is dropped.
    let client = ClientWrapper::new(client, driver);
    let (only_reads, process) = look(&client).await?;
    if only_reads {
        return Err(DbError::Unavailable(
            "connecting: the server only reads, as a standby does".into(),
        ));
    }
    Ok(Session {
        client,
        process,
        warnings,
    })
}

/// Whether the session only reads, and who serves it. In one transaction: behind a pooler the next statement may be
/// served by someone else.
pub(super) async fn look(client: &Client) -> Result<(bool, ServerProcess), DbError> {
    let messages = client
        .simple_query(SESSION)
        .await
        .map_err(|error| db_error(&error))?;
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let read = |column: &str| row.and_then(|row| row.try_get(column).ok().flatten());
    let number = |column: &str| read(column).and_then(|text| text.parse::<i64>().ok());
    let process = number("pid").zip(number("started_us"));
    let (pid, started_us) =
        process.ok_or_else(|| DbError::Other("the server does not name its process".into()))?;
    let process = ServerProcess {
        pid: pid.try_into().unwrap_or_default(),
        started_us,
    };
    Ok((read("only_reads") != Some("off"), process))
}

fn connect_error(error: &tokio_postgres::Error) -> DbError {
    match db_error(error) {
        DbError::Unavailable(text) => DbError::Unavailable(format!("connecting: {text}")),
        // A wrong password or database may be mended while the authority waits.
        other => DbError::Unavailable(format!("connecting: {other}")),
    }
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
                // The store reports the outage, if it is one, once for all connections.
                tracing::debug!(error = %db_error(&error), "database connection lost");
                return;
            }
        }
    }
}
