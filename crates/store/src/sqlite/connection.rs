//! One SQLite connection. Statements run on the blocking pool: the runtime never waits for a disk.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use rusqlite::{ErrorCode, Statement, types::ValueRef};
use tokio::{sync::OwnedMutexGuard, task::spawn_blocking};

use crate::store::sql::{Connection, DbError, Row, Value};

/// How many steps of SQLite's machine pass between two looks at whether a statement is still wanted: less than a
/// millisecond's worth.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;

/// A connection that can be lent to the blocking pool.
pub(super) struct Handle(Arc<Mutex<rusqlite::Connection>>);

impl Handle {
    pub(super) fn new(connection: rusqlite::Connection) -> Self {
        Self(Arc::new(Mutex::new(connection)))
    }
}

pub(super) struct SqliteConnection {
    handle: OwnedMutexGuard<Handle>,
    in_transaction: bool,
    /// Set when the loan ends: a statement that still waits for a thread must not run in the next loan.
    over: Arc<AtomicBool>,
    limits: Option<Limits>,
}

/// When a statement that only reads is interrupted: when its loan ends, and after its time.
#[derive(Clone, Copy)]
struct Limits {
    time: Option<Duration>,
}

impl SqliteConnection {
    pub(super) fn new(handle: OwnedMutexGuard<Handle>) -> Self {
        Self {
            handle,
            in_transaction: false,
            over: Arc::default(),
            limits: None,
        }
    }

    /// Lets statements be interrupted, for a connection that only reads.
    pub(super) fn interruptible(mut self, time: Option<Duration>) -> Self {
        self.limits = Some(Limits { time });
        self
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DbError> {
        let connection = Arc::clone(&self.handle.0);
        let over = Arc::clone(&self.over);
        let limits = self.limits;
        let run = move || {
            // A statement that panicked left no half-made state of ours behind.
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            if over.load(Ordering::SeqCst) {
                return Err(DbError::Unavailable("the caller has gone away".into()));
            }
            if let Some(limits) = limits {
                limits.set(&mut connection, over)?;
            }
            work(&connection).map_err(DbError::from)
        };
        spawn_blocking(run)
            .await
            .map_err(|error| DbError::Other(error.to_string()))?
    }

    async fn control(&self, statement: &'static str) -> Result<(), DbError> {
        self.run(move |connection| connection.execute_batch(statement))
            .await
    }
}

impl Limits {
    /// Sets them for the next statement of the connection, in place of those of the one before.
    fn set(
        self,
        connection: &mut rusqlite::Connection,
        over: Arc<AtomicBool>,
    ) -> Result<(), DbError> {
        let end = self.time.map(|time| Instant::now() + time);
        let is_unwanted =
            move || over.load(Ordering::SeqCst) || end.is_some_and(|end| Instant::now() > end);
        Ok(connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(is_unwanted))?)
    }
}

impl Drop for SqliteConnection {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        if self.in_transaction {
            let connection = self.handle.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Nothing to roll back any more is as good as rolled back.
            let _ = connection.execute_batch("ROLLBACK");
        }
    }
}

#[async_trait]
impl Connection for SqliteConnection {
    async fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, DbError> {
        let (sql, params) = (sql.to_owned(), params.to_vec());
        self.run(move |connection| rows(&mut *connection.prepare_cached(&sql)?, &params))
            .await
    }

    async fn begin(&mut self) -> Result<(), DbError> {
        self.in_transaction = true;
        self.control("BEGIN IMMEDIATE").await
    }

    async fn commit(&mut self) -> Result<(), DbError> {
        self.control("COMMIT").await?;
        self.in_transaction = false;
        Ok(())
    }

    async fn rollback(&mut self) -> Result<(), DbError> {
        self.in_transaction = false;
        self.control("ROLLBACK").await
    }
}

fn rows(statement: &mut Statement<'_>, params: &[Value]) -> rusqlite::Result<Vec<Row>> {
    for (number, value) in (1..).zip(params) {
        // `$3` is a name to SQLite, whose number depends on where it first stands.
        if let Some(index) = statement.parameter_index(&format!("${number}"))? {
            match value {
                Value::Int(value) => statement.raw_bind_parameter(index, value)?,
                Value::Text(value) => statement.raw_bind_parameter(index, value)?,
                Value::Blob(value) => statement.raw_bind_parameter(index, value)?,
            }
        }
    }
    let columns = statement.column_count();
    let mut rows = statement.raw_query();
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let value = |column| row.get_ref(column).map(value);
        all.push(Row((0..columns).map(value).collect::<Result<_, _>>()?));
    }
    Ok(all)
}

fn value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Int(None),
        ValueRef::Integer(value) => Value::Int(Some(value)),
        // The schema has no fractions; one would be read as the wrong type.
        ValueRef::Real(_) => Value::Text(None),
        ValueRef::Text(value) => Value::Text(Some(String::from_utf8_lossy(value).into_owned())),
        ValueRef::Blob(value) => Value::Blob(Some(value.to_vec())),
    }
}

impl From<rusqlite::Error> for DbError {
    fn from(error: rusqlite::Error) -> Self {
        let rusqlite::Error::SqliteFailure(failure, _) = &error else {
            return Self::Other(format!("sqlite: {error}"));
        };
        let mut text = format!("sqlite code {}", failure.extended_code);
        if failure.code == ErrorCode::DiskFull {
            text.push_str(", the disk is full");
        }
        match failure.code {
            ErrorCode::ConstraintViolation if is_unique(failure.extended_code) => {
                Self::Unique(text)
            }
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Conflict(text),
            ErrorCode::OperationInterrupted => Self::TooSlow(text),
            ErrorCode::DiskFull | ErrorCode::CannotOpen | ErrorCode::SystemIoFailure => {
                Self::Unavailable(text)
            }
            _ => Self::Other(text),
        }
    }
}

fn is_unique(extended: i32) -> bool {
    matches!(
        extended,
        rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE | rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY
    )
}
