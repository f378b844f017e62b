//! What a store asks its engine, statement by statement.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use portcullis_authority::store::sql::{Backend, Connection, DbError, Dialect, Lane, Row, Value};

/// A statement and its parameters.
pub type Statement = (String, Vec<Value>);

/// Statements in the order in which they were asked.
#[derive(Clone, Default)]
pub struct Statements(Arc<Mutex<Vec<Statement>>>);

impl Statements {
    /// Those since the last time.
    #[must_use]
    pub fn take(&self) -> Vec<Statement> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An engine like `inner`, whose statements are noted.
#[must_use]
pub fn wrap(inner: Arc<dyn Backend>) -> (Arc<dyn Backend>, Statements) {
    let statements = Statements::default();
    (Arc::new(Observed { inner, statements: statements.clone() }), statements)
}

struct Observed<T: ?Sized> {
    statements: Statements,
    inner: T,
}

#[async_trait]
impl Backend for Observed<Arc<dyn Backend>> {
    async fn connection(&self, lane: Lane) -> Result<Box<dyn Connection>, DbError> {
        let inner = self.inner.connection(lane).await?;
        Ok(Box::new(Observed { inner, statements: self.statements.clone() }))
    }

    fn dialect(&self) -> Dialect {
        self.inner.dialect()
    }

    async fn durability(&self) -> Result<String, DbError> {
        self.inner.durability().await
    }
}

#[async_trait]
impl Connection for Observed<Box<dyn Connection>> {
    async fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, DbError> {
        let statement = (sql.to_owned(), params.to_vec());
        self.statements.0.lock().unwrap_or_else(PoisonError::into_inner).push(statement);
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
