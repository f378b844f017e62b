//! The statements that a store sends to its engine.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use portcullis_authority::store::sql::{Backend, Connection, DbError, Dialect, Lane, Row, Value};

/// A statement with its parameters.
pub type Statement = (String, Vec<Value>);

/// What was sent to an engine that was wrapped by [`wrap`].
#[derive(Clone, Default)]
pub struct Record(Arc<Mutex<Vec<Statement>>>);

impl Record {
    /// What was sent since the last time this was asked.
    #[must_use]
    pub fn take(&self) -> Vec<Statement> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An engine like `backend`, but for what the returned handle hears.
#[must_use]
pub fn wrap(backend: Arc<dyn Backend>) -> (Arc<dyn Backend>, Record) {
    let record = Record::default();
    (Arc::new(RecordedBackend { inner: backend, record: record.clone() }), record)
}

struct RecordedBackend {
    inner: Arc<dyn Backend>,
    record: Record,
}

#[async_trait]
impl Backend for RecordedBackend {
    async fn connection(&self, lane: Lane) -> Result<Box<dyn Connection>, DbError> {
        let inner = self.inner.connection(lane).await?;
        Ok(Box::new(RecordedConnection { inner, record: self.record.clone() }))
    }

    fn dialect(&self) -> Dialect {
        self.inner.dialect()
    }

    async fn durability(&self) -> Result<String, DbError> {
        self.inner.durability().await
    }
}

struct RecordedConnection {
    inner: Box<dyn Connection>,
    record: Record,
}

#[async_trait]
impl Connection for RecordedConnection {
    async fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, DbError> {
        self.record.0.lock().unwrap_or_else(PoisonError::into_inner).push((sql.to_owned(), params.to_vec()));
        self.inner.query(sql, params).await
    }

    async fn begin(&mut self) -> Result<(), DbError> {
        self.inner.begin().await
    }

    async fn commit(&mut self) -> Result<(), DbError> {
        self.inner.commit().await
    }

    async fn rollback(&mut self) -> Result<(), DbError> {
        self.inner.rollback().await
    }
}
