//! What an engine must offer: connections that run portable statements.
//!
//! The seam is public so that tests can put a fault or a pause between any two statements.

use async_trait::async_trait;

use crate::store::{PoolState, StoreError};

/// What a connection is for. Appender, beat and feed have connections of their own, so that a crowd of sign-ins
/// never keeps a revocation waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Reads of sessions and users.
    Read,
    /// Sign-ins and refreshes.
    Write,
    /// Lists, counts, previews and walks: what may take long. A statement of this lane has a time limit.
    Search,
    /// The one batch in flight.
    Append,
    /// The beat.
    Beat,
    /// The tail of the log.
    Feed,
    /// Reads of the log that may be large: streams that fell behind, checkpoints. The feed never waits for one.
    CatchUp,
    /// Writes that keep the log in order and may be large: checkpoints, trimming.
    Upkeep,
}

impl Lane {
    /// Its name in reports of outages and in metrics.
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
        }
    }
}

/// An engine.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// A connection for `lane`; waits, within a bound, when all are in use.
    async fn connection(&self, lane: Lane) -> Result<Box<dyn Connection>, DbError>;

    /// How the engine spells what is not portable.
    fn dialect(&self) -> Dialect;

    /// The connections of [`Lane::Search`].
    fn searches_max(&self) -> usize;

    /// The connections of each lane, where the engine has pools of them.
    fn pools(&self) -> Vec<PoolState> {
        Vec::new()
    }

    /// What its settings let it promise.
    async fn durability(&self) -> Result<String, DbError>;
}

/// The expressions that differ between engines.
#[derive(Clone, Copy, Debug)]
pub struct Dialect {
    /// Microseconds since 1970, now.
    pub now: &'static str,
    /// The next serial of a session or key.
    pub next_credential: &'static str,
    /// The next serial of a user.
    pub next_user: &'static str,
    /// The next serial of a tenant.
    pub next_tenant: &'static str,
    /// The chain of the next batch, of the column `chain` and the parameter `$1` (digest of the delta and of the
    /// audit rows).
    pub next_chain: &'static str,
    /// Whether a beat has to write to prove that this is the primary. A sole process proves it by being alone.
    pub beat_writes: bool,
    /// The most sessions that one statement inserts: 1 where a statement can take only one serial. Also the most that
    /// are read together.
    pub group_max: usize,
    /// Whether a sequence gives each row of a statement a value of its own.
    pub serial_per_row: bool,
    /// Whether a statement may change rows within one that reads, which sees them as they were before.
    pub changes_within: bool,
    /// The rows of a report, from the JSON in `$1` and in its order: tenant_id, session_id (or an API key's), requests,
    /// age_us, ip, page.
    pub activity_rows: &'static str,
    /// Ends a statement that locks the rows `s` that it reads; empty where whoever writes is alone.
    pub lock_rows: &'static str,
    /// Written after a table and its alias: the index to look its rows up in, where the planner has to be told. SQLite
    /// has no statistics and takes a tenant for a few rows.
    pub by_index: fn(&'static str) -> String,
    /// Moves every sequence this far on; one statement each.
    pub advance_sequences: fn(u64) -> Vec<String>,
}

/// A connection. Dropping it in the middle of a transaction rolls that back.
#[async_trait]
pub trait Connection: Send {
    /// Runs a statement, and keeps it prepared. `$1`, `$2`, … are the parameters.
    async fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, DbError>;

    /// Runs statements, and gives the rows of each. An engine may take them all in one round trip: none may be made of
    /// what another answers.
    async fn query_all(&mut self, statements: &[Statement]) -> Result<Vec<Vec<Row>>, DbError> {
        let mut rows = Vec::with_capacity(statements.len());
        for Statement { sql, params } in statements {
            rows.push(self.query(sql, params).await?);
        }
        Ok(rows)
    }

    /// Begins a transaction that will write.
    async fn begin(&mut self) -> Result<(), DbError>;

    /// Commits. An error may mean that the commit happened and the answer was lost.
    async fn commit(&mut self) -> Result<(), DbError>;

    /// As [`query_all`](Self::query_all) with the last statements of a transaction, and commits.
    async fn finish(&mut self, last: &[Statement]) -> Result<Vec<Vec<Row>>, DbError> {
        let rows = self.query_all(last).await?;
        self.commit().await?;
        Ok(rows)
    }

    /// Undoes the transaction.
    async fn rollback(&mut self) -> Result<(), DbError>;
}

/// A statement with its parameters.
pub struct Statement {
    /// As [`Connection::query`] takes it.
    pub sql: String,
    /// `$1`, `$2`, …
    pub params: Vec<Value>,
}

/// A parameter or a column. Nulls have types because PostgreSQL wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// 64 bits.
    Int(Option<i64>),
    /// UTF-8.
    Text(Option<String>),
    /// Bytes.
    Blob(Option<Vec<u8>>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Int(Some(value.into()))
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        // Serials and revisions start at 1 and grow by one; 2^63 of them are out of reach.
        Self::Int(Some(i64::try_from(value).unwrap_or(i64::MAX)))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(Some(value))
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Blob(Some(value))
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Blob(Some(value.to_vec()))
    }
}

/// One row of a result.
#[derive(Debug)]
pub struct Row(pub Vec<Value>);

impl Row {
    /// An integer column.
    pub fn int(&self, column: usize) -> Result<i64, StoreError> {
        self.optional_int(column)?.ok_or_else(|| unexpected(column))
    }

    /// An integer column that is a serial, a revision or a generation.
    pub fn unsigned(&self, column: usize) -> Result<u64, StoreError> {
        u64::try_from(self.int(column)?).map_err(|_| unexpected(column))
    }

    /// An integer column that may be null.
    pub fn optional_int(&self, column: usize) -> Result<Option<i64>, StoreError> {
        match self.0.get(column) {
            Some(Value::Int(value)) => Ok(*value),
            Some(value) if value.is_null() => Ok(None),
            _ => Err(unexpected(column)),
        }
    }

    /// A text column; null reads as empty.
    pub fn text(&self, column: usize) -> Result<String, StoreError> {
        match self.0.get(column) {
            Some(Value::Text(Some(value))) => Ok(value.clone()),
            Some(value) if value.is_null() => Ok(String::new()),
            _ => Err(unexpected(column)),
        }
    }

    /// A bytes column that may be null.
    pub fn optional_blob(&self, column: usize) -> Result<Option<&[u8]>, StoreError> {
        match self.0.get(column) {
            Some(Value::Blob(value)) => Ok(value.as_deref()),
            Some(value) if value.is_null() => Ok(None),
            _ => Err(unexpected(column)),
        }
    }

    /// A bytes column.
    pub fn blob(&self, column: usize) -> Result<&[u8], StoreError> {
        self.optional_blob(column)?
            .ok_or_else(|| unexpected(column))
    }

    /// A bytes column of a known length.
    pub fn array<const N: usize>(&self, column: usize) -> Result<[u8; N], StoreError> {
        self.blob(column)?
            .try_into()
            .map_err(|_| unexpected(column))
    }
}

impl Value {
    fn is_null(&self) -> bool {
        matches!(self, Self::Int(None) | Self::Text(None) | Self::Blob(None))
    }
}

fn unexpected(column: usize) -> StoreError {
    StoreError::Internal(format!("column {column} is not of the expected type"))
}

/// Why a statement failed, by what can be done about it. The text names codes, never values.
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
            // Where a unique key may rightly exist the statement says so; elsewhere someone was faster.
            DbError::Unique(text) | DbError::Conflict(text) => Self::Conflict(text),
            DbError::Unavailable(text) => Self::Unavailable(text),
            DbError::TooSlow(text) => Self::TooSlow(text),
            DbError::Other(text) => Self::Internal(text),
        }
    }
}

/// The most rows of one statement: PostgreSQL takes 65,535 parameters, SQLite 32,766.
pub(super) const ROWS_MAX: usize = 1_024;

/// The rows of a `VALUES` list.
pub(super) struct ValueRows {
    /// `($1, $2), ($3, $4), …`
    pub(super) text: String,
    /// All columns of all rows.
    pub(super) params: Vec<Value>,
}

impl ValueRows {
    /// Their number is rounded up to a power of two by repeating the last one, so that a few prepared statements serve
    /// batches of every size. The statement must not mind a row that stands twice.
    pub(super) fn new<const N: usize>(rows: impl IntoIterator<Item = [Value; N]>) -> Self {
        let mut params: Vec<Value> = rows.into_iter().flatten().collect();
        let rows = params.len() / N;
        let last = params[params.len().saturating_sub(N)..].to_vec();
        (rows..rows.next_power_of_two()).for_each(|_| params.extend_from_slice(&last));
        Self::exact::<N>(params)
    }

    /// Rows in lists whose lengths are powers of two, where none may stand twice.
    pub(super) fn in_powers_of_two<const N: usize>(mut rows: &[[Value; N]]) -> Vec<Self> {
        let mut lists = Vec::new();
        while let Some(power) = rows.len().min(ROWS_MAX).checked_ilog2() {
            let (list, rest) = rows.split_at(1 << power);
            lists.push(Self::exact::<N>(list.concat()));
            rows = rest;
        }
        lists
    }

    fn exact<const N: usize>(params: Vec<Value>) -> Self {
        let row = |row: usize| {
            let names: Vec<_> = (1..=N)
                .map(|column| format!("${}", row * N + column))
                .collect();
            format!("({})", names.join(", "))
        };
        Self {
            text: (0..params.len() / N)
                .map(row)
                .collect::<Vec<_>>()
                .join(", "),
            params,
        }
    }

    /// Adds a parameter after the rows; its name.
    pub(super) fn push(&mut self, value: impl Into<Value>) -> String {
        self.params.push(value.into());
        format!("${}", self.params.len())
    }
}
