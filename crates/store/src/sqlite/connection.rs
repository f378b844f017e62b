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

use crate::sql::{Connection, DbError, Row, Value};

/// Steps of SQLite's virtual machine between two checks whether a statement is still wanted: less than a millisecond.
const STEPS_BETWEEN_CHECKS: i32 = 10_000;

/// A connection that a thread of the blocking pool can use.
pub(super) struct Handle(Arc<Mutex<rusqlite::Connection>>);

impl Handle {
    pub(super) fn new(connection: rusqlite::Connection) -> Self {
        Self(Arc::new(Mutex::new(connection)))
    }
}

pub(super) struct SqliteConnection {
    handle: OwnedMutexGuard<Handle>,
    in_transaction: bool,
    /// Set when the loan ends. A statement that still waits for a thread must not run in the next loan.
    over: Arc<AtomicBool>,
    limits: Option<Limits>,
}

/// The limits of a reading statement. It is interrupted when its loan ends, or after `time`.
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

    /// Allows statements to be interrupted. For connections that only read.
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
            // A poisoned lock is harmless: a statement that panicked left none of our state half-changed.
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            // The loan may have ended while this call waited for a thread.
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
    /// Sets the limits for the next statement of the connection. They replace those of the statement before.
    fn set(
        self,
        connection: &mut rusqlite::Connection,
        over: Arc<AtomicBool>,
    ) -> Result<(), DbError> {
        let end = self.time.map(|time| Instant::now() + time);
        Ok(connection
            .progress_handler(STEPS_BETWEEN_CHECKS, Some(move || is_unwanted(&over, end)))?)
    }
}

/// Whether nobody waits for a statement any more: its loan is over, or its time.
fn is_unwanted(over: &AtomicBool, end: Option<Instant>) -> bool {
    if over.load(Ordering::SeqCst) {
        return true;
    }
    match end {
        Some(end) => Instant::now() > end,
        None => false,
    }
}

impl Drop for SqliteConnection {
    fn drop(&mut self) {
        // First, so that a statement of this loan that still runs is interrupted and lets the lock go.
        self.over.store(true, Ordering::SeqCst);
        if self.in_transaction {
            // Here and not on the blocking pool: the next loan must not find the transaction open. The lock waits for a
            // statement of this loan that still runs.
            let connection = self.handle.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Fails when SQLite has already rolled back by itself, which is as good.
            let _ = connection.execute_batch("ROLLBACK");
        }
    }
}

#[async_trait]
impl Connection for SqliteConnection {
    async fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, DbError> {
        let (sql, params) = (sql.to_owned(), params.to_vec());
        self.run(move |connection| read_rows(&mut *connection.prepare_cached(&sql)?, &params))
            .await
    }

    async fn begin(&mut self) -> Result<(), DbError> {
        // Set first: a call that is dropped while it waits may have begun the transaction.
        self.in_transaction = true;
        // IMMEDIATE takes the write lock at once. A deferred transaction can fail when it upgrades its lock.
        self.control("BEGIN IMMEDIATE").await
    }

    async fn commit(&mut self) -> Result<(), DbError> {
        // A COMMIT that fails, for example on a full disk, may leave the transaction open. The drop then rolls it back.
        self.control("COMMIT").await?;
        self.in_transaction = false;
        Ok(())
    }

    async fn rollback(&mut self) -> Result<(), DbError> {
        // Cleared last: a call that is dropped while it waits may have rolled nothing back. The writer is shared, and a
        // transaction that stayed open would take the next caller's writes with it when it is rolled back (I1).
        self.control("ROLLBACK").await?;
        self.in_transaction = false;
        Ok(())
    }
}

fn bind(statement: &mut Statement<'_>, params: &[Value]) -> rusqlite::Result<()> {
    for (number, value) in (1..).zip(params) {
        // To SQLite `$3` is a name. Its number depends on where it first appears, so binding by number would be wrong.
        if let Some(index) = statement.parameter_index(&format!("${number}"))? {
            match value {
                Value::Int(value) => statement.raw_bind_parameter(index, value)?,
                Value::Text(value) => statement.raw_bind_parameter(index, value)?,
                Value::Blob(value) => statement.raw_bind_parameter(index, value)?,
            }
        }
    }
    Ok(())
}

fn read_rows(statement: &mut Statement<'_>, params: &[Value]) -> rusqlite::Result<Vec<Row>> {
    bind(statement, params)?;
    let columns = statement.column_count();
    let mut rows = statement.raw_query();
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let mut values = Vec::with_capacity(columns);
        for column in 0..columns {
            values.push(value(row.get_ref(column)?));
        }
        all.push(Row(values));
    }
    Ok(all)
}

fn value(value: ValueRef<'_>) -> Value {
    match value {
        // A null has no type. Readers of every type accept this one.
        ValueRef::Null => Value::Int(None),
        ValueRef::Integer(value) => Value::Int(Some(value)),
        // The schema has no fractions, so nothing reads one.
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
        // The code only: this text is logged, and logs must hold no values.
        let mut text = format!("sqlite code {}", failure.extended_code);
        if failure.code == ErrorCode::DiskFull {
            text.push_str(", the disk is full");
        }
        match failure.code {
            ErrorCode::ConstraintViolation if is_unique(failure.extended_code) => {
                Self::Unique(text)
            }
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Conflict(text),
            // Its loan may also be over, but then nobody reads the answer.
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

#[cfg(test)]
mod tests {
    use std::thread;

    use futures::poll;
    use tokio::sync::Mutex as Lending;

    use super::*;

    #[tokio::test]
    async fn a_rollback_that_is_given_up_leaves_no_transaction_open() {
        let opened = rusqlite::Connection::open_in_memory().expect("opens");
        let writer = Arc::new(Lending::new(Handle::new(opened)));
        let mut loan = SqliteConnection::new(Arc::clone(&writer).lock_owned().await);
        loan.begin().await.expect("a transaction");

        // Somebody keeps the connection busy until the loan is over, so the rollback does not get to run.
        let (busy, over) = (Arc::clone(&loan.handle.0), Arc::clone(&loan.over));
        let (taken, is_taken) = tokio::sync::oneshot::channel();
        let blocker = thread::spawn(move || {
            let _busy = busy.lock().expect("no panic");
            taken.send(()).expect("the test waits");
            while !over.load(Ordering::SeqCst) {
                thread::yield_now();
            }
        });
        is_taken.await.expect("taken");
        let mut rollback = Box::pin(loan.rollback());
        assert!(poll!(&mut rollback).is_pending());
        drop(rollback);
        drop(loan);
        blocker.join().expect("no panic");

        let next = writer.lock().await;
        let connection = next.0.lock().expect("no panic");
        assert!(connection.is_autocommit(), "a transaction was left open");
    }
}
