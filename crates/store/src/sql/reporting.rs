//! Reports of outages: every statement tells an [`Outage`] whether the engine answered.

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    connection::{Backend, Connection, DbError, Dialect, Lane, Statement},
    row::Row,
    value::Value,
};
use crate::{PoolState, StoreMeasure, outage::Outage};

/// An engine whose connections and statements are reported.
pub(super) struct Reporting {
    engine: Arc<dyn Backend>,
    outage: Arc<Outage>,
}

impl Reporting {
    pub(super) fn new(engine: Arc<dyn Backend>, outage: Arc<Outage>) -> Self {
        Self { engine, outage }
    }
}

#[async_trait]
impl Backend for Reporting {
    async fn connection(&self, lane: Lane) -> Result<Box<dyn Connection>, DbError> {
        let inner = match self.engine.connection(lane).await {
            Ok(inner) => inner,
            Err(error) => {
                record_failure(&self.outage, lane, &error);
                return Err(error);
            }
        };
        Ok(Box::new(ReportingConnection {
            inner,
            lane,
            outage: Arc::clone(&self.outage),
        }))
    }

    fn dialect(&self) -> Dialect {
        self.engine.dialect()
    }

    fn searches_max(&self) -> usize {
        self.engine.searches_max()
    }

    fn pools(&self) -> Vec<PoolState> {
        self.engine.pools()
    }

    async fn durability(&self) -> Result<String, DbError> {
        self.engine.durability().await
    }

    async fn measure(&self) -> Result<StoreMeasure, DbError> {
        self.engine.measure().await
    }
}

struct ReportingConnection {
    inner: Box<dyn Connection>,
    lane: Lane,
    outage: Arc<Outage>,
}

impl ReportingConnection {
    fn record<T>(&self, done: Result<T, DbError>) -> Result<T, DbError> {
        match &done {
            Err(error) => record_failure(&self.outage, self.lane, error),
            Ok(_) => self.outage.record_success(self.lane.name()),
        }
        done
    }
}

fn record_failure(outage: &Outage, lane: Lane, error: &DbError) {
    // Every other error is an answer of the database, so it is up.
    if let DbError::Unavailable(text) | DbError::Tls(text) = error {
        outage.record_failure(lane.name(), text);
    }
}

#[async_trait]
impl Connection for ReportingConnection {
    async fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, DbError> {
        let done = self.inner.query(sql, params).await;
        self.record(done)
    }

    async fn query_all(&mut self, statements: &[Statement]) -> Result<Vec<Vec<Row>>, DbError> {
        let done = self.inner.query_all(statements).await;
        self.record(done)
    }

    async fn begin(&mut self) -> Result<(), DbError> {
        // Not recorded as a success: an engine may send BEGIN only with the first statement.
        self.inner.begin().await
    }

    async fn commit(&mut self) -> Result<(), DbError> {
        let done = self.inner.commit().await;
        self.record(done)
    }

    async fn finish(&mut self, last: &[Statement]) -> Result<Vec<Vec<Row>>, DbError> {
        let done = self.inner.finish(last).await;
        self.record(done)
    }

    async fn rollback(&mut self) -> Result<(), DbError> {
        self.inner.rollback().await
    }
}
