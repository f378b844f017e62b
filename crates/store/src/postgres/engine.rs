//! The pools of a database, one for each lane.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::time::timeout;

use super::{
    connect::PostgresOptions,
    connection::PostgresConnection,
    durability, measure, migrate,
    pool::{LanePool, Server},
    pooler, url,
};
use crate::{
    PoolState, StoreError, StoreMeasure,
    sql::{Backend, Connection, DbError, Dialect, Lane, SqlStore},
};

/// Lanes with connections of their own, and the number of these: they must not wait behind sessions.
const OWN_LANES: [(Lane, usize); 6] = [
    // One for the batches of small entries, one for those of large ones.
    (Lane::Append, 2),
    (Lane::Beat, 1),
    (Lane::Feed, 1),
    (Lane::CatchUp, 1),
    (Lane::Upkeep, 1),
    (Lane::Peers, 1),
];

/// The time that a measure may take. It keeps the one connection of maintenance.
const MEASURE_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections to one database: a pool for sessions, a pool for searches, and a few connections for each other lane.
///
/// Every connection leads to a server that takes writes. A statement without an answer in time gives its connection up,
/// ends the server's process that ran it, and puts the other connections in doubt. Thus a promotion is followed whatever
/// the old primary does.
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

    /// Opens the engine alone, for tests that put faults around it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn connect(url: &str, options: &PostgresOptions) -> Result<Self, StoreError> {
        let target = url::parse_setting("store.url", url)?;
        // Both URLs are checked before anything connects: a malformed one must not be found halfway.
        let owner = match &options.owner_url {
            Some(url) => Some(url::parse_setting("store.owner_url", url)?),
            None => None,
        };
        // Before the migration, whose lock belongs to a session.
        pooler::refuse_transaction_pooling(&target, options).await?;
        migrate::migrate(&target, owner.as_ref(), options, &migrate::schema()).await?;
        let server = Arc::new(Server::new(target, options));
        Self::with_pools(server, options)
    }

    fn with_pools(server: Arc<Server>, options: &PostgresOptions) -> Result<Self, StoreError> {
        let mut own = HashMap::new();
        for (lane, connections) in OWN_LANES {
            let pool = LanePool::new(lane, connections, &server, options)?;
            own.insert(lane, pool);
        }
        let searches = options.search_connections_max;
        own.insert(
            Lane::Search,
            LanePool::new(Lane::Search, searches, &server, options)?,
        );
        // Reads and writes of sessions share one pool: the setting is the number of their
        // connections, and each may take what the other leaves.
        let shared = LanePool::new(Lane::Write, options.connections_max, &server, options)?;
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

    /// The time that an answer may take. The wait for a synchronous standby counts, and the server does not end it itself.
    fn answer_timeout(&self, lane: Lane) -> Duration {
        match lane {
            // With the proof of the other connections and the connect, this stays below the ten seconds in which a
            // promotion is followed.
            Lane::Append | Lane::Beat | Lane::Feed | Lane::Peers => Duration::from_secs(4),
            Lane::Read | Lane::Write | Lane::CatchUp => Duration::from_secs(5),
            // A checkpoint of a large view is slow, and nobody waits for it.
            Lane::Upkeep => Duration::from_secs(60),
            // The server ends the statement before.
            Lane::Search => self.options.search_timeout + Duration::from_secs(2),
        }
    }
}

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
            // The statement's own time. The transaction's would be older than the statement's snapshot.
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
            overwrite_deleted: None,
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
        let described = timeout(
            self.answer_timeout(Lane::Append),
            durability::describe(&loan.session.client),
        );
        described
            .await
            .map_err(|_| DbError::Unavailable("no answer in time".into()))?
    }

    async fn measure(&self) -> Result<StoreMeasure, DbError> {
        // The lane of maintenance: a look at the files of a large database may take a while, and nobody waits for it.
        let loan = self.pool(Lane::Upkeep).get().await?;
        let measured = timeout(MEASURE_TIMEOUT, measure::measure(&loan.session.client));
        measured
            .await
            .map_err(|_| DbError::Unavailable("no answer in time".into()))?
    }

    fn pools(&self) -> Vec<PoolState> {
        let mut states = vec![self.shared.state()];
        for pool in self.own.values() {
            states.push(pool.state());
        }
        states
    }
}
