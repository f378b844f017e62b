//! PostgreSQL: several authorities over one database.

mod cancel;
mod connect;
mod connection;
mod durability;
mod hosts;
mod migrate;
mod pool;
mod pooler;
mod url;

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;

pub use self::{connect::PostgresOptions, url::check_url};
use self::{
    connection::PostgresConnection,
    pool::{LanePool, Server},
};
use super::sql::{Backend, Connection, DbError, Dialect, ISSUER, Lane, SqlStore};
use crate::store::{PoolState, StoreError};

/// Connections to one database: a pool for sessions, and one connection of its own for each of appender, beat and
/// feed.
///
/// Every connection is one to a server that takes writes. A statement that is not answered in time gives its connection
/// up, ends the process that served it, and puts the others in doubt, so that a promotion is followed whatever the old
/// primary does.
pub struct Postgres {
    server: Arc<Server>,
    shared: LanePool,
    own: HashMap<Lane, LanePool>,
    options: PostgresOptions,
}

impl Postgres {
    /// Connects and migrates.
    ///
    /// # Errors
    /// When the URL is malformed, the database cannot be reached in time, or a migration fails.
    pub async fn open(url: &str, options: &PostgresOptions) -> Result<SqlStore, StoreError> {
        SqlStore::open(Arc::new(Self::connect(url, options).await?)).await
    }

    /// The engine alone, for tests that put faults around it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn connect(url: &str, options: &PostgresOptions) -> Result<Self, StoreError> {
        let config = parse("store.url", url)?;
        let owner = options
            .owner_url
            .as_deref()
            .map(|url| parse("store.owner_url", url))
            .transpose()?;
        pooler::refuse_transaction_pooling(&config, options).await?;
        migrate::migrate(&config, owner.as_ref(), options).await?;
        let server = Arc::new(Server::new(config, options));
        let pool = |lane, size| LanePool::new(lane, size, &server, options);
        let mut own = HashMap::new();
        for lane in [
            Lane::Append,
            Lane::Beat,
            Lane::Feed,
            Lane::CatchUp,
            Lane::Upkeep,
        ] {
            own.insert(lane, pool(lane, 1)?);
        }
        let searches = pool(Lane::Search, options.search_connections_max)?;
        own.insert(Lane::Search, searches);
        let shared = pool(Lane::Write, options.connections_max)?;
        Ok(Self {
            server,
            shared,
            own,
            options: options.clone(),
        })
    }

    fn pool(&self, lane: Lane) -> &LanePool {
        self.own.get(&lane).unwrap_or(&self.shared)
    }

    /// How long an answer may take. The wait for a synchronous standby counts, and the server does not end it itself.
    /// With the proof of the other connections and the connect it stays below the ten seconds in which a promotion is
    /// followed.
    fn answer_timeout(&self, lane: Lane) -> Duration {
        match lane {
            Lane::Append | Lane::Beat | Lane::Feed => Duration::from_secs(4),
            Lane::Read | Lane::Write | Lane::CatchUp => Duration::from_secs(5),
            // A checkpoint of a large view takes its time, and nobody waits for it.
            Lane::Upkeep => Duration::from_secs(60),
            // The server ends the statement before.
            Lane::Search => self.options.search_timeout + Duration::from_secs(2),
        }
    }
}

fn parse(key: &str, url: &str) -> Result<tokio_postgres::Config, StoreError> {
    url::parse(url).map_err(|problem| StoreError::Unusable(format!("{key}: {problem}")))
}

/// Looks at the server behind a URL without changing it: its durability in words.
///
/// # Errors
/// When it cannot be reached in time, or there is a pooler between that cannot be used.
pub async fn examine(url: &str, options: &PostgresOptions) -> Result<String, StoreError> {
    let config = parse("store.url", url)?;
    pooler::refuse_transaction_pooling(&config, options).await?;
    let client = connect::plain(&config, options).await?;
    let words = timeout(options.connect_timeout, durability::describe(&client)).await;
    Ok(words.map_err(|_| StoreError::Unavailable("no answer in time".into()))??)
}

/// The issuer that a database was installed with, read as the service, without migrating. None: there is no such
/// table or column yet, or the service may not read it yet.
pub async fn installed_issuer(
    url: &str,
    options: &PostgresOptions,
) -> Result<Option<String>, StoreError> {
    let config = parse("store.url", url)?;
    let client = connect::plain(&config, options).await?;
    let asked = tokio::time::timeout(options.connect_timeout, client.query_opt(ISSUER, &[]));
    let answer = asked
        .await
        .map_err(|_| StoreError::Unavailable("no answer in time".into()))?;
    match answer {
        Ok(row) => Ok(row.and_then(|row| row.get(0))),
        Err(error)
            if error
                .code()
                .is_some_and(|code| NOT_INSTALLED.contains(code)) =>
        {
            Ok(None)
        }
        Err(error) => Err(connection::db_error(&error).into()),
    }
}

/// Answers of a database without the schema, or with one that was not granted yet.
const NOT_INSTALLED: [SqlState; 3] = [
    SqlState::UNDEFINED_TABLE,
    SqlState::UNDEFINED_COLUMN,
    SqlState::INSUFFICIENT_PRIVILEGE,
];

#[async_trait]
impl Backend for Postgres {
    async fn connection(&self, lane: Lane) -> Result<Box<dyn Connection>, DbError> {
        let loan = self.pool(lane).get().await?;
        let server = Arc::clone(&self.server);
        Ok(Box::new(PostgresConnection::new(
            loan,
            lane,
            self.answer_timeout(lane),
            server,
        )))
    }

    fn dialect(&self) -> Dialect {
        Dialect {
            // The statement's own time: its snapshot is not older.
            now: "(extract(epoch FROM statement_timestamp()) * 1000000)::bigint",
            next_credential: "nextval('credential_serial')",
            next_user: "nextval('user_serial')",
            next_tenant: "nextval('tenant_serial')",
            next_chain: "sha256(chain || $1)",
            beat_writes: true,
            group_max: 64,
            serial_per_row: true,
            lock_rows: "FOR NO KEY UPDATE OF s",
            changes_within: true,
            activity_rows: "SELECT j->>0 AS tenant_id, decode(j->>1, 'hex') AS session_id, \
                 (j->>2)::bigint AS requests, (j->>3)::bigint AS age_us, j->>4 AS ip, j->>5 AS page \
                 FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS t(j, n) ORDER BY n",
            by_index: |_| String::new(),
            advance_sequences: |stride| {
                let sequences = ["credential_serial", "user_serial", "tenant_serial"];
                sequences
                    .map(|name| format!("SELECT setval('{name}', nextval('{name}') + {stride})"))
                    .to_vec()
            },
        }
    }

    fn searches_max(&self) -> usize {
        self.options.search_connections_max
    }

    async fn durability(&self) -> Result<String, DbError> {
        let loan = self.pool(Lane::Append).get().await?;
        let words = timeout(
            self.answer_timeout(Lane::Append),
            durability::describe(&loan.session.client),
        );
        words
            .await
            .map_err(|_| DbError::Unavailable("no answer in time".into()))?
    }

    fn pools(&self) -> Vec<PoolState> {
        let own = self.own.values().map(LanePool::state);
        std::iter::once(self.shared.state()).chain(own).collect()
    }
}
