//! Where the stores of one case keep their rows.

use std::sync::Arc;

use portcullis_authority::store::{
    Store, StoreError,
    postgres::{Postgres, PostgresOptions},
    sql::{Backend, Lane, SqlStore},
    sqlite::Sqlite,
};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

use crate::{
    fault::{self, Faults, Point},
    plans::{self, Plans},
    postgres::{self, Schema, shared},
    wait::{eventually, within},
};

/// A fresh data directory or schema.
pub struct Place(Kind);

enum Kind {
    /// One process is the only authority there can be: all share its engine.
    Sqlite {
        directory: TempDir,
        engine: Option<Arc<dyn Backend>>,
    },
    Postgres {
        schema: Schema,
    },
}

impl Place {
    /// A data directory.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn sqlite() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut place = Self(Kind::Sqlite {
            directory,
            engine: None,
        });
        place.restart().await;
        place
    }

    /// A schema of the process's PostgreSQL.
    pub async fn postgres() -> Self {
        Self(Kind::Postgres {
            schema: postgres::fresh_schema().await,
        })
    }

    /// Closes what is open and opens it again. All stores of this place have to be dropped before.
    ///
    /// # Panics
    /// When it does not open, as it does not while a store is left.
    pub async fn restart(&mut self) {
        if let Kind::Sqlite { directory, engine } = &mut self.0 {
            *engine = None;
            *engine = Some(Arc::new(
                Sqlite::connect(directory.path())
                    .await
                    .expect("the data directory opens"),
            ));
        }
    }

    /// An engine, as one more authority would have it.
    ///
    /// # Panics
    /// When it does not open.
    pub async fn engine(&self) -> Arc<dyn Backend> {
        match &self.0 {
            Kind::Sqlite { engine, .. } => {
                Arc::clone(engine.as_ref().expect("open but in restart"))
            }
            Kind::Postgres { schema } => {
                let opened = Postgres::connect(&schema.url, &PostgresOptions::default()).await;
                Arc::new(opened.expect("the schema opens"))
            }
        }
    }

    /// Closes what is open and opens it again, as an authority that starts. All stores of a data directory have to be
    /// dropped before.
    ///
    /// # Errors
    /// When it does not open.
    pub async fn reopen(&mut self) -> Result<(), StoreError> {
        match &mut self.0 {
            Kind::Sqlite { directory, engine } => {
                *engine = None;
                *engine = Some(Arc::new(Sqlite::connect(directory.path()).await?));
            }
            Kind::Postgres { schema } => {
                Postgres::connect(&schema.url, &PostgresOptions::default()).await?;
            }
        }
        Ok(())
    }

    /// One more authority's store.
    ///
    /// # Panics
    /// When it does not open.
    pub async fn store(&self) -> Arc<dyn Store> {
        Arc::new(
            SqlStore::open(self.engine().await)
                .await
                .expect("the store opens"),
        )
    }

    /// One more authority's store, and its faults.
    ///
    /// # Panics
    /// When it does not open.
    pub async fn faulty_store(&self) -> (Arc<dyn Store>, Faults) {
        let (engine, faults) = fault::wrap(self.engine().await);
        (
            Arc::new(SqlStore::open(engine).await.expect("the store opens")),
            faults,
        )
    }

    /// Runs statements behind the authorities' backs, as whoever may do anything; what the database says against it.
    ///
    /// # Errors
    /// When the database refuses.
    ///
    /// # Panics
    /// When it cannot be reached.
    pub async fn execute(&self, sql: &str) -> Result<(), String> {
        match &self.0 {
            Kind::Sqlite { directory, .. } => {
                let (file, sql) = (directory.path().join("portcullis.db"), sql.to_owned());
                // A store's transaction, which it may have to wait for, may go on in this thread.
                let done =
                    spawn_blocking(move || rusqlite::Connection::open(file)?.execute_batch(&sql))
                        .await;
                done.expect("no panic").map_err(|error| error.to_string())
            }
            Kind::Postgres { schema } => {
                let sql = format!("SET search_path = {}; {sql}", schema.name);
                let done = shared().await.admin().await.batch_execute(&sql).await;
                done.map_err(|error| {
                    error
                        .as_db_error()
                        .map_or(error.to_string(), |error| error.message().to_owned())
                })
            }
        }
    }

    /// Takes away what keeps audit rows as they are, as who may change the schema can.
    ///
    /// # Panics
    /// When there was nothing.
    pub async fn disarm(&self) {
        let sql = match &self.0 {
            Kind::Sqlite { .. } => {
                "DROP TRIGGER audit_events_unchanged; DROP TRIGGER audit_events_undeleted"
            }
            Kind::Postgres { .. } => {
                "DROP TRIGGER audit_events_stay ON audit_events; \
                 DROP TRIGGER audit_events_undeleted ON audit_events; \
                 DROP TRIGGER audit_events_unchanged ON audit_events"
            }
        };
        self.execute(sql).await.expect("there are triggers");
    }

    /// One more authority's store, and the plan of each of its statements.
    ///
    /// # Panics
    /// When it does not open.
    pub async fn planned_store(&self) -> (Arc<dyn Store>, Plans) {
        let (engine, plans) = plans::wrap(self.engine().await);
        (
            Arc::new(SqlStore::open(engine).await.expect("the store opens")),
            plans,
        )
    }

    /// Runs `first` up to `point` of its transaction, `second` until it is done or waits for the first, and then both
    /// to their end. None when the first ends without getting there.
    ///
    /// # Panics
    /// When one of them does, or they do not end.
    pub async fn overlap<A: Send + 'static, B: Send + 'static>(
        &self,
        (faults, lane, point): (&Faults, Lane, Point),
        first: impl Future<Output = A> + Send + 'static,
        (other, other_lane): (&Faults, Lane),
        second: impl Future<Output = B> + Send + 'static,
    ) -> Option<(A, B)> {
        let mut hold = faults.pause(lane, point);
        let first = tokio::spawn(first);
        if !hold.reached().await {
            return None;
        }
        let second = tokio::spawn(second);
        let settled = async || {
            (second.is_finished() || self.is_blocked(other, other_lane).await).then_some(())
        };
        eventually("the second is done or waits for the first", settled).await;
        drop(hold);
        let both = async {
            (
                first.await.expect("no panic"),
                second.await.expect("no panic"),
            )
        };
        Some(within("both ends", both).await)
    }

    /// Whether a transaction of `lane` of the store with these `faults` waits for one that is on hold.
    pub async fn is_blocked(&self, faults: &Faults, lane: Lane) -> bool {
        match &self.0 {
            // There is one writer, and the one on hold has it.
            Kind::Sqlite { .. } => faults.is_waiting(lane),
            Kind::Postgres { schema } => {
                let waiting = format!(
                    "SELECT 1 FROM pg_stat_activity WHERE application_name = '{}' AND wait_event_type = 'Lock'",
                    schema.name
                );
                shared()
                    .await
                    .admin()
                    .await
                    .maybe_text(&waiting)
                    .await
                    .is_some()
            }
        }
    }

    /// Whether writers exclude each other from beginning to end.
    #[must_use]
    pub fn has_one_writer(&self) -> bool {
        matches!(self.0, Kind::Sqlite { .. })
    }
}
