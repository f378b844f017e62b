//! PostgreSQL: several authorities over one database.

mod cancel;
mod connect;
mod connection;
mod migrate;

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio_postgres::{Config, error::SqlState};

pub use self::connect::PostgresOptions;
use self::{
    connect::{Connector, Warnings},
    connection::PostgresConnection,
};
use super::sql::{Backend, Connection, DbError, Dialect, ISSUER, Lane, SqlStore};
use crate::store::StoreError;

/// Connections to one database: a pool for sessions, and one connection of its own for each of appender, beat and
/// feed.
pub struct Postgres {
    shared: LanePool,
    own: HashMap<Lane, LanePool>,
    options: PostgresOptions,
}

struct LanePool {
    pool: Pool,
    warnings: Warnings,
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
        // The parser's error may repeat the password.
        let parse = |url: &str, key| {
            url.parse::<Config>()
                .map_err(|_| StoreError::Internal(format!("{key} is malformed")))
        };
        let config = parse(url, "store.url")?;
        let owner = options
            .owner_url
            .as_deref()
            .map(|url| parse(url, "store.owner_url"))
            .transpose()?;
        migrate::migrate(&config, owner.as_ref(), options).await?;
        let own = [
            (Lane::Append, 1),
            (Lane::Beat, 1),
            (Lane::Feed, 1),
            (Lane::Search, options.search_connections_max),
        ];
        let own = own
            .into_iter()
            .map(|(lane, size)| Ok((lane, pool(&config, options, lane, size)?)))
            .collect::<Result<_, StoreError>>()?;
        Ok(Self {
            shared: pool(&config, options, Lane::Write, options.connections_max)?,
            own,
            options: options.clone(),
        })
    }

    /// How long an answer may take. The wait for a synchronous standby counts, and the server does not end it itself.
    fn answer_timeout(&self, lane: Lane) -> Duration {
        match lane {
            Lane::Append | Lane::Beat | Lane::Feed => Duration::from_secs(4),
            Lane::Read | Lane::Write => Duration::from_secs(10),
            // The server ends the statement before.
            Lane::Search => self.options.search_timeout + Duration::from_secs(2),
        }
    }
}

/// The issuer that a database was installed with, read as the service, without migrating. None: there is no such
/// table or column yet, or the service may not read it yet.
pub(crate) async fn installed_issuer(
    url: &str,
    options: &PostgresOptions,
) -> Result<Option<String>, StoreError> {
    let config = url
        .parse::<Config>()
        .map_err(|_| StoreError::Internal("store.url is malformed".into()))?;
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

fn pool(
    config: &Config,
    options: &PostgresOptions,
    lane: Lane,
    size: usize,
) -> Result<LanePool, StoreError> {
    let warnings = Warnings::default();
    let connector = Connector::new(lane, Arc::clone(&warnings), options);
    let recycling = ManagerConfig {
        recycling_method: RecyclingMethod::Fast,
    };
    let manager = Manager::from_connect(config.clone(), connector, recycling);
    let timeout = Some(options.connect_timeout);
    let pool = Pool::builder(manager)
        .max_size(size)
        .runtime(Runtime::Tokio1)
        .wait_timeout(timeout)
        .create_timeout(timeout)
        .recycle_timeout(timeout)
        .build()
        .map_err(|error| StoreError::Internal(error.to_string()))?;
    Ok(LanePool { pool, warnings })
}

#[async_trait]
impl Backend for Postgres {
    async fn connection(&self, lane: Lane) -> Result<Box<dyn Connection>, DbError> {
        let LanePool { pool, warnings } = self.own.get(&lane).unwrap_or(&self.shared);
        let client = pool
            .get()
            .await
            .map_err(|error| connection::pool_error(&error))?;
        Ok(Box::new(PostgresConnection::new(
            client,
            lane,
            self.answer_timeout(lane),
            Arc::clone(warnings),
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
        let mut connection = self.connection(Lane::Append).await?;
        let sql = "SELECT current_setting('fsync'), current_setting('synchronous_standby_names'), \
             current_setting('synchronous_commit'), current_setting('full_page_writes')";
        let rows = connection.query(sql, &[]).await?;
        let setting = |column| {
            rows.first()
                .and_then(|row| row.text(column).ok())
                .unwrap_or_default()
        };
        Ok(match (setting(0).as_str(), setting(1).as_str()) {
            ("off", _) => {
                "none: PostgreSQL runs with fsync=off, a crash of its machine loses revocations"
                    .into()
            }
            (_, "") => {
                format!(
                    "one server's disk: fsync=on, no synchronous standby, synchronous_commit={}",
                    setting(2)
                )
            }
            (_, _) => format!(
                "a synchronous standby: fsync=on, synchronous_commit={}",
                setting(2)
            ),
        })
    }
}
