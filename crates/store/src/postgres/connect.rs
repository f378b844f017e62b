//! Connects: in bounded time, to a server that takes writes, with the settings that the log relies on.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use deadpool_postgres::ClientWrapper;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::{
    AsyncMessage, Client, Config, Connection, SimpleQueryMessage, SimpleQueryRow, Socket,
    config::{ChannelBinding, SslMode},
    error::SqlState,
    tls::MakeTlsConnect,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{error::db_error, hosts, tls, url::Target};
use crate::{StoreError, sql::DbError};

/// The options of an operator.
#[derive(Clone)]
pub struct PostgresOptions {
    /// Connections for sessions. The log and its upkeep have seven more.
    pub connections_max: usize,
    /// Connections for searches.
    pub search_connections_max: usize,
    /// The time that a statement of a search may take.
    pub search_timeout: Duration,
    /// The time for a whole connect, and for the wait for a free connection.
    pub connect_timeout: Duration,
    /// The URL of the role that migrates. None: the service itself.
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

/// The settings of every session.
///
/// - **Timeouts.** The server ends a session that waits for a lock, or idles in a transaction, for longer than 2 s. A hung
///   authority thus cannot keep the others from the head of the log.
/// - **Isolation.** Statements rely on READ COMMITTED: after the wait for a row they read it again.
/// - **Plans** are made once, often while tables are small, and kept while they grow. No plan may read a whole table, or
///   sort rows that an index has in order. Joins look up their rows one by one. A tuple costs as much as a page. Otherwise
///   looking up a few rows would seem dearer than comparing every row with every other one.
/// - **JIT and parallelism** are off. Disabling scans inflates plan costs, which would trigger both, and they take longer
///   than any statement here.
/// - **Commits** wait for the disk, and for a synchronous standby where there is one, because an acknowledgement promises
///   that. A stricter `synchronous_commit` of the server stays.
const SETTINGS: &str = "SET lock_timeout = '2s'; SET idle_in_transaction_session_timeout = '2s'; \
     SET default_transaction_isolation = 'read committed'; \
     SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_sort = off; \
     SET enable_material = off; SET jit = off; SET cpu_tuple_cost = 1; SET max_parallel_workers_per_gather = 0; \
     SET plan_cache_mode = force_generic_plan; \
     SELECT set_config('synchronous_commit', 'on', false) \
     WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')";

/// Reads whether the session only reads, and the server's process that serves it.
const SESSION: &str = "SELECT current_setting('transaction_read_only') AS only_reads, pg_backend_pid() AS pid, \
     (extract(epoch FROM backend_start) * 1000000)::bigint AS started_us FROM pg_stat_get_activity(pg_backend_pid())";

/// Lets the server notice within a second that a client is gone, and end its statement. Not every server has the setting.
const NOTICE_GONE: &str = "SELECT set_config(name, '1s', false) FROM pg_settings \
     WHERE name = 'client_connection_check_interval'";

/// The remedy where the server admits nobody like this: its own text would say it, and may hold values.
const NOT_ADMITTED: &str = "pg_hba.conf admits no such user from this host with this encryption, or asks for a client \
     certificate (sslcert and sslkey in the URL, issued to the user)";

/// A counter of warnings. A commit whose wait for a standby was cancelled is answered as done. The only sign is a warning
/// before the answer.
pub(super) type Warnings = Arc<AtomicU64>;

/// A process of the server. Its number may be reused, so the start time is part of its identity.
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
    /// Makes the handshake of the connection that cancels a statement of this one.
    pub(super) connector: MakeRustlsConnect,
}

/// Connects with the settings of the service. `statement_timeout` is enforced by the server, for a lane that has one.
pub(super) async fn connect_session(
    target: &Target,
    limit: Duration,
    statement_timeout: Option<Duration>,
) -> Result<Session, DbError> {
    let mut settings = SETTINGS.to_owned();
    if let Some(limit) = statement_timeout {
        settings += &format!("; SET statement_timeout = {}", limit.as_millis());
    }
    let connector = target.tls.connector().await?;
    hosts::open_first(&target.config, limit, &|config| {
        let (settings, connector) = (settings.clone(), connector.clone());
        Box::pin(async move {
            let opened = open(config, connector).await?;
            // A session that lacks the settings is refused: its commits might not wait for the disk.
            opened
                .client
                .batch_execute(&settings)
                .await
                .map_err(|error| db_error(&error))?;
            // A server that refuses this leaves the session as it was.
            let _ = opened.client.batch_execute(NOTICE_GONE).await;
            Ok(opened)
        })
    })
    .await
}

/// Connects without the settings, for migrations and inspection.
pub(super) async fn connect_plainly(
    target: &Target,
    options: &PostgresOptions,
) -> Result<ClientWrapper, StoreError> {
    let connector = target.tls.connector().await?;
    let open_one = |config| -> BoxFuture<'static, Result<Session, DbError>> {
        Box::pin(open(config, connector.clone()))
    };
    let opened = hosts::open_first(&target.config, options.connect_timeout, &open_one).await?;
    Ok(opened.client)
}

/// Opens a session at one address. Refuses a server that only reads: a standby, or a deposed primary.
async fn open(config: Config, connector: MakeRustlsConnect) -> Result<Session, DbError> {
    let (client, connection) = connect(config, &connector)
        .await
        .map_err(|error| connect_error(&error))?;
    let warnings = Warnings::default();
    let driver = tokio::spawn(drive(connection, Arc::clone(&warnings)));
    // From here on the task ends with the client, even when this future is dropped.
    let client = ClientWrapper::new(client, driver);
    let (only_reads, process) = identify(&client).await?;
    if only_reads {
        return Err(DbError::Unavailable(
            "connecting: the server only reads, as a standby does".into(),
        ));
    }
    Ok(Session {
        client,
        process,
        warnings,
        connector,
    })
}

/// A client, and the connection that has to be polled for it.
type Connected = (
    Client,
    Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>,
);

/// Connects with TLS as the mode says. `prefer` alone tries again without it.
async fn connect(
    mut config: Config,
    connector: &MakeRustlsConnect,
) -> Result<Connected, tokio_postgres::Error> {
    let connected = config.connect(connector.clone()).await;
    let may_do_without = config.get_ssl_mode() == SslMode::Prefer
        && config.get_channel_binding() != ChannelBinding::Require;
    match connected {
        Err(error) if may_do_without && tls::may_work_without(&error) => {
            // The cancellation of a statement follows the mode that its connection has.
            config.ssl_mode(SslMode::Disable);
            config.connect(connector.clone()).await
        }
        connected => connected,
    }
}

/// Whether the session only reads, and the process that serves it. One statement reads both: behind a pooler the next
/// statement may be served by another process.
pub(super) async fn identify(client: &Client) -> Result<(bool, ServerProcess), DbError> {
    let messages = client
        .simple_query(SESSION)
        .await
        .map_err(|error| db_error(&error))?;
    for message in &messages {
        if let SimpleQueryMessage::Row(row) = message
            && let Some(process) = read_process(row)
        {
            // Anything but a clear "off" counts as a server that only reads.
            let only_reads = read_column(row, "only_reads") != Some("off");
            return Ok((only_reads, process));
        }
    }
    Err(DbError::Other(
        "the server does not name its process".into(),
    ))
}

fn read_process(row: &SimpleQueryRow) -> Option<ServerProcess> {
    Some(ServerProcess {
        pid: read_column(row, "pid")?.parse().ok()?,
        started_us: read_column(row, "started_us")?.parse().ok()?,
    })
}

fn read_column<'a>(row: &'a SimpleQueryRow, column: &str) -> Option<&'a str> {
    row.try_get(column).ok().flatten()
}

fn connect_error(error: &tokio_postgres::Error) -> DbError {
    if let Some(failure) = tls::describe_failure(error) {
        return DbError::Tls(failure);
    }
    match db_error(error) {
        DbError::Other(text)
            if error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION) =>
        {
            DbError::Unavailable(format!("connecting: {text}: {NOT_ADMITTED}"))
        }
        DbError::Unavailable(text) => DbError::Unavailable(format!("connecting: {text}")),
        // A wrong password or database may be corrected while the authority retries.
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
                // A notice arrives before the answer of its statement, so the counter is current when a commit is checked.
                warnings.fetch_add(1, Ordering::SeqCst);
                tracing::warn!(code = notice.code().code(), "database warning");
            }
            Ok(_) => {}
            Err(error) => {
                // The store reports an outage once for all connections.
                tracing::debug!(error = %db_error(&error), "database connection lost");
                return;
            }
        }
    }
}
