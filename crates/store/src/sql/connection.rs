//! The interface of an engine: connections that run portable statements.
//!
//! It is public so that tests can put a fault or a pause between any two statements.

use async_trait::async_trait;

use super::{row::Row, value::Value};
use crate::{PoolState, StoreError, StoreMeasure};

/// The purpose of a connection. The appender, the beat and the feed have connections of their own, so that a crowd of
/// sign-ins never keeps a revocation waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Reads of sessions and users.
    Read,
    /// Sign-ins and refreshes.
    Write,
    /// Lists, counts, previews and walks. They may take long, so a statement of this lane has a time limit.
    Search,
    /// The one batch of the log that is being committed.
    Append,
    /// The beat.
    Beat,
    /// Reads of the newest batches of the log.
    Feed,
    /// Reads of the log that may be large: streams that fell behind, checkpoints. The feed does not wait for them.
    CatchUp,
    /// Writes of maintenance that may be large: checkpoints, trimming.
    Upkeep,
    /// The rows that authorities write for each other. Where there is only one writer, they are read here.
    Peers,
}

impl Lane {
    /// The name in reports of outages and in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Search => "search",
            Self::Append => "append",
            Self::Beat => "beat",
            Self::Feed => "feed",
            Self::CatchUp => "catch_up",
            Self::Upkeep => "upkeep",
            Self::Peers => "peers",
        }
    }
}

/// A database engine.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// Lends a connection for a lane. Waits, within a bound, while all are in use.
    async fn connection(&self, lane: Lane) -> Result<Box<dyn Connection>, DbError>;

    /// The expressions that are not portable.
    fn dialect(&self) -> Dialect;

    /// The number of connections of [`Lane::Search`].
    fn searches_max(&self) -> usize;

    /// The use of the connection pools, by lane. Empty for an engine without pools.
    fn pools(&self) -> Vec<PoolState> {
        Vec::new()
    }

    /// The durability that the settings of the engine allow, in words for the operator.
    async fn durability(&self) -> Result<String, DbError>;

    /// The room that the database takes and has, and how far its standbys are behind.
    async fn measure(&self) -> Result<StoreMeasure, DbError>;
}

/// The expressions that differ between engines.
#[derive(Clone, Copy, Debug)]
pub struct Dialect {
    /// The current time in microseconds since 1970.
    pub now: &'static str,
    /// The next serial of a session or an API key.
    pub next_credential: &'static str,
    /// The next serial of a user.
    pub next_user: &'static str,
    /// The next serial of a tenant.
    pub next_tenant: &'static str,
    /// The chain of the next batch, computed from the column `chain` and the parameter `$1`: the digest of the delta
    /// followed by the digest of the audit rows.
    pub next_chain: &'static str,
    /// True if a beat has to write, to prove that this server is the primary. SQLite has only one process, so a read is
    /// proof enough.
    pub beat_writes: bool,
    /// The most sessions that one statement inserts or reads. It is 1 where a statement can take only one serial.
    pub group_max: usize,
    /// True if each row that a statement inserts takes its own value of a sequence.
    pub serial_per_row: bool,
    /// True if `WITH` may change rows: the statement around it then reads them as they were before.
    pub changes_within: bool,
    /// The rows of a report of activity, from the JSON in `$1` and in its order: `tenant_id`, `session_id` (also of API
    /// keys), `requests`, `age_us`, `ip`, `page`.
    pub activity_rows: &'static str,
    /// The end of a statement that locks the rows `s` that it reads. Empty where there is only one writer at a time.
    pub lock_rows: &'static str,
    /// Names the index that the planner must use; written after a table and its alias. SQLite needs it: it has no
    /// statistics, and expects few rows in a tenant. Empty for PostgreSQL.
    pub by_index: fn(&'static str) -> String,
    /// The statement that removes copies of deleted rows beside the tables. None where no statement can.
    pub overwrite_deleted: Option<&'static str>,
    /// The statements that advance every sequence by a number.
    pub advance_sequences: fn(u64) -> Vec<String>,
}

/// A connection on loan. Dropping it in the middle of a transaction rolls the transaction back.
#[async_trait]
pub trait Connection: Send {
    /// Runs a statement with the parameters `$1`, `$2`, …, and keeps it prepared.
    async fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, DbError>;

    /// Runs statements, and returns the rows of each. An engine may send them all in one round trip, so none may depend
    /// on the answer of another.
    async fn query_all(&mut self, statements: &[Statement]) -> Result<Vec<Vec<Row>>, DbError> {
        let mut rows = Vec::with_capacity(statements.len());
        for Statement { sql, params } in statements {
            rows.push(self.query(sql, params).await?);
        }
        Ok(rows)
    }

    /// Begins a transaction that will write.
    async fn begin(&mut self) -> Result<(), DbError>;

    /// Commits. After an error the commit may have happened: its answer may have been lost.
    async fn commit(&mut self) -> Result<(), DbError>;

    /// Runs the last statements of a transaction as [`query_all`](Self::query_all) does, and commits.
    async fn finish(&mut self, last: &[Statement]) -> Result<Vec<Vec<Row>>, DbError> {
        let rows = self.query_all(last).await?;
        self.commit().await?;
        Ok(rows)
    }

    /// Rolls the transaction back.
    async fn rollback(&mut self) -> Result<(), DbError>;
}

/// A statement with its parameters.
pub struct Statement {
    /// The text, in which `$1`, `$2`, … stand for the parameters.
    pub sql: String,
    /// The parameters.
    pub params: Vec<Value>,
}

impl Statement {
    pub(super) fn new(sql: impl Into<String>, params: impl IntoIterator<Item = Value>) -> Self {
        Self {
            sql: sql.into(),
            params: params.into_iter().collect(),
        }
    }
}

/// The failure of a statement, classified by the remedy of a caller. The text names codes, never values.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// A unique key exists already.
    #[error("unique violation: {0}")]
    Unique(String),
    /// Another transaction was in the way.
    #[error("conflict: {0}")]
    Conflict(String),
    /// No connection, or no answer.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// No connection, because its TLS failed. The text names the setting to change.
    #[error("tls: {0}")]
    Tls(String),
    /// A statement reached the time limit of its lane.
    #[error("too slow: {0}")]
    TooSlow(String),
    /// Everything else.
    #[error("{0}")]
    Other(String),
}

impl From<DbError> for StoreError {
    fn from(error: DbError) -> Self {
        match error {
            // A statement that expects an existing key handles it (ON CONFLICT). Here another caller was faster.
            DbError::Unique(text) | DbError::Conflict(text) => Self::Conflict(text),
            DbError::Unavailable(text) => Self::Unavailable(text),
            DbError::Tls(text) => Self::Tls(text),
            DbError::TooSlow(text) => Self::TooSlow(text),
            DbError::Other(text) => Self::Internal(text),
        }
    }
}
