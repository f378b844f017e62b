//! What an engine is going to read for the statements that it is given.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use portcullis_authority::store::{
    StoreMeasure,
    sql::{Backend, Column, Connection, DbError, Dialect, Lane, Row, Value},
};

/// A statement with its plan.
pub type Statement = (String, String);

/// The statements of an engine that was wrapped by [`wrap`].
#[derive(Clone, Default)]
pub struct Plans(Arc<Mutex<Vec<Statement>>>);

impl Plans {
    /// Those since the last time.
    #[must_use]
    pub fn take(&self) -> Vec<Statement> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An engine like `backend`, which tells the plan of each statement that reads.
#[must_use]
pub fn wrap(backend: Arc<dyn Backend>) -> (Arc<dyn Backend>, Plans) {
    let plans = Plans::default();
    (
        Arc::new(Planned {
            inner: backend,
            plans: plans.clone(),
        }),
        plans,
    )
}

struct Planned {
    inner: Arc<dyn Backend>,
    plans: Plans,
}

#[async_trait]
impl Backend for Planned {
    async fn connection(&self, lane: Lane) -> Result<Box<dyn Connection>, DbError> {
        let inner = self.inner.connection(lane).await?;
        let is_postgres = self.inner.dialect().beat_writes;
        Ok(Box::new(PlannedConnection {
            inner,
            is_postgres,
            plans: self.plans.clone(),
        }))
    }

    fn dialect(&self) -> Dialect {
        self.inner.dialect()
    }

    fn searches_max(&self) -> usize {
        self.inner.searches_max()
    }

    async fn durability(&self) -> Result<String, DbError> {
        self.inner.durability().await
    }

    async fn measure(&self) -> Result<StoreMeasure, DbError> {
        self.inner.measure().await
    }
}

struct PlannedConnection {
    inner: Box<dyn Connection>,
    is_postgres: bool,
    plans: Plans,
}

impl PlannedConnection {
    async fn plan(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, DbError> {
        self.inner
            .query(&format!("EXPLAIN QUERY PLAN {sql}"), params)
            .await
    }

    /// The plan that is made whatever the parameters are, as the authority's connections make it.
    async fn generic_plan(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, DbError> {
        let of = |value: &Value| match value {
            Value::Int(_) => "bigint",
            Value::Text(_) => "text",
            Value::Blob(_) => "bytea",
        };
        let list = |words: Vec<&str>| {
            if words.is_empty() {
                String::new()
            } else {
                format!("({})", words.join(", "))
            }
        };
        let (types, nulls) = (
            list(params.iter().map(of).collect()),
            list(vec!["NULL"; params.len()]),
        );
        self.inner
            .query(&format!("PREPARE explained {types} AS {sql}"), &[])
            .await?;
        let plan = self
            .inner
            .query(&format!("EXPLAIN EXECUTE explained {nulls}"), &[])
            .await;
        self.inner.query("DEALLOCATE explained", &[]).await?;
        plan
    }
}

#[async_trait]
impl Connection for PlannedConnection {
    async fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, DbError> {
        let plan = if self.is_postgres {
            self.generic_plan(sql, params).await?
        } else {
            self.plan(sql, params).await?
        };
        // PostgreSQL tells one text a line, SQLite a step, its parent and a text. What is within another stands to the right.
        let line = |row: &Row| {
            let within = row.0.len() > 1 && row.int(Column::nth(1)).is_ok_and(|parent| parent != 0);
            format!(
                "{}{}",
                if within { "  " } else { "" },
                row.text(Column::nth(row.0.len() - 1)).unwrap_or_default()
            )
        };
        let plan = plan.iter().map(line).collect::<Vec<_>>().join("\n");
        self.plans
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((sql.to_owned(), plan));
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
