//! One PostgreSQL connection, on loan from a pool.

use std::{
    error::Error,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use deadpool_postgres::ClientWrapper;
use portcullis_contract::seeded::{self, Mistake};
use tokio::time::timeout;
use tokio_postgres::{
    error::SqlState,
    types::{FromSql, IsNull, ToSql, Type, private::BytesMut, to_sql_checked},
};

use super::{
    cancel::cancel,
    error::{db_error, is_unfit},
    pool::{Loan, Server},
    send::{Prepared, Sent, send, send_control},
};
use crate::sql::{Connection, DbError, Lane, Row, Statement, Value};

pub(super) struct PostgresConnection {
    /// The loan. Taken out of the pool for good when no other caller may use the connection.
    loan: Option<Loan>,
    lane: Lane,
    answer_timeout: Duration,
    server: Arc<Server>,
    state: State,
    in_transaction: bool,
    /// Whether `BEGIN` goes out with the next statement, in one round trip.
    begins: bool,
}

/// The state of a connection between two calls. Only an idle connection returns to its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    /// A statement was sent, and its answer was not read.
    Asked,
    /// The connection is closed, leads to a server that only reads, or was given up.
    Unfit,
}

impl PostgresConnection {
    pub(super) fn new(
        loan: Loan,
        lane: Lane,
        answer_timeout: Duration,
        server: Arc<Server>,
    ) -> Self {
        Self {
            loan: Some(loan),
            lane,
            answer_timeout,
            server,
            state: State::Idle,
            in_transaction: false,
            begins: false,
        }
    }

    fn loan(&self) -> &Loan {
        self.loan.as_ref().expect("present until drop")
    }

    fn warnings(&self) -> u64 {
        self.loan().session.warnings.load(Ordering::SeqCst)
    }

    /// Runs a statement within the answer timeout.
    ///
    /// A call without an answer in time gives the connection up. It also ends the server's process, which may hold the head
    /// of the log.
    async fn bounded<T>(
        &mut self,
        work: impl AsyncFnOnce(&ClientWrapper) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, DbError> {
        if self.state != State::Idle {
            // Not even a rollback is sent: it would wait for another deadline, and the server rolls back by itself.
            return Err(DbError::Unavailable("the connection was given up".into()));
        }
        // Set before the await: a call that is dropped while it waits leaves this state behind.
        self.state = State::Asked;
        let client = &self.loan().session.client;
        let Ok(answer) = timeout(self.answer_timeout, work(client)).await else {
            self.state = State::Unfit;
            self.server.doubt();
            self.server
                .terminate(self.lane, self.loan().session.process);
            return Err(DbError::Unavailable("no answer in time".into()));
        };
        self.state = State::Idle;
        answer.map_err(|error| self.record_failure(&error))
    }

    /// Classifies an error. When the server goes away or only reads, this connection becomes unfit, and the others have to
    /// prove themselves.
    fn record_failure(&mut self, error: &tokio_postgres::Error) -> DbError {
        if is_unfit(error) {
            self.state = State::Unfit;
            self.server.doubt();
        }
        match db_error(error) {
            // The server cancels a search only when its time is over.
            DbError::Unavailable(text)
                if self.lane == Lane::Search && error.code() == Some(&SqlState::QUERY_CANCELED) =>
            {
                DbError::TooSlow(text)
            }
            error => error,
        }
    }

    /// Prepares all statements before the first one is sent, so that nothing else goes out between them.
    async fn prepare<'a>(
        &mut self,
        statements: &'a [Statement],
    ) -> Result<Vec<Prepared<'a>>, DbError> {
        self.bounded(async |client| {
            let mut prepared = Vec::with_capacity(statements.len());
            for Statement { sql, params } in statements {
                // With types: the server would infer others, such as INT4, which `Value` does not send.
                prepared.push((
                    client.prepare_typed_cached(sql, &types(params)).await?,
                    to_sql(params),
                ));
            }
            Ok(prepared)
        })
        .await
    }

    fn read_answers(&mut self, sent: Sent) -> Result<Vec<Vec<Row>>, DbError> {
        match sent {
            Sent::All(Ok(answers)) => answers.iter().map(|rows| read_rows(rows)).collect(),
            Sent::All(Err(error)) | Sent::NotAll(error) => Err(self.record_failure(&error)),
        }
    }

    async fn run_control(&mut self, statement: &str) -> Result<(), DbError> {
        self.bounded(async |client| send_control(client, Some(statement)).await)
            .await
    }

    /// Fails when the server warned during a commit: the commit may not be durable.
    fn check_warnings(&self, before: u64) -> Result<(), DbError> {
        if self.warnings() == before || seeded::has(Mistake::CommitNotice) {
            return Ok(());
        }
        Err(DbError::Unavailable(
            "the server warned during a commit: it may not be durable".into(),
        ))
    }
}

impl Drop for PostgresConnection {
    fn drop(&mut self) {
        if self.state == State::Idle && !self.in_transaction {
            return;
        }
        let Some(loan) = self.loan.take() else {
            return;
        };
        // A statement may be running. A lane with a single connection cannot wait for its end.
        let is_shared = matches!(self.lane, Lane::Read | Lane::Write | Lane::Search);
        if self.state == State::Asked && is_shared && !loan.session.client.is_closed() {
            cancel(loan);
        } else {
            drop(Loan::take(loan));
        }
    }
}

#[async_trait]
impl Connection for PostgresConnection {
    async fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, DbError> {
        let warnings = self.warnings();
        let types = types(params);
        let begins = std::mem::take(&mut self.begins);
        let rows = self
            .bounded(async |client| {
                let query = async {
                    let statement = client.prepare_typed_cached(sql, &types).await?;
                    client.query(&statement, &to_sql(params)).await
                };
                if !begins {
                    return query.await;
                }
                // `join!` polls in order, and the driver sends in the order of polling.
                // BEGIN alone would cost a round trip for each transaction.
                let (begun, rows) = futures::join!(client.batch_execute("BEGIN"), query);
                begun.and(rows)
            })
            .await?;
        // Within a transaction the COMMIT checks the warnings.
        if !self.in_transaction {
            self.check_warnings(warnings)?;
        }
        read_rows(&rows)
    }

    async fn query_all(&mut self, statements: &[Statement]) -> Result<Vec<Vec<Row>>, DbError> {
        let prepared = self.prepare(statements).await?;
        let warnings = self.warnings();
        let begins = std::mem::take(&mut self.begins);
        let sent = self
            .bounded(async |client| Ok(send(client, begins, &prepared, false).await))
            .await?;
        if !self.in_transaction {
            self.check_warnings(warnings)?;
        }
        self.read_answers(sent)
    }

    async fn begin(&mut self) -> Result<(), DbError> {
        self.in_transaction = true;
        // Not sent alone, which would cost a round trip.
        self.begins = true;
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), DbError> {
        // Nothing was sent since BEGIN, so there is nothing to commit.
        if std::mem::take(&mut self.begins) {
            self.in_transaction = false;
            return Ok(());
        }
        let warnings = self.warnings();
        self.run_control("COMMIT").await?;
        // The transaction is over even if its commit is not durable, so the connection may go back to its pool.
        self.in_transaction = false;
        self.check_warnings(warnings)
    }

    async fn finish(&mut self, last: &[Statement]) -> Result<Vec<Vec<Row>>, DbError> {
        if last.is_empty() {
            return self.commit().await.map(|()| Vec::new());
        }
        // Answered before anything is sent, so that a statement that cannot be prepared has no
        // COMMIT behind it on the wire.
        let prepared = self.prepare(last).await?;
        let warnings = self.warnings();
        let begins = std::mem::take(&mut self.begins);
        let sent = self
            .bounded(async |client| Ok(send(client, begins, &prepared, true).await))
            .await?;
        // A COMMIT that was not sent leaves the transaction open. The drop then closes the connection.
        if let Sent::All(_) = sent {
            self.in_transaction = false;
        }
        let rows = self.read_answers(sent)?;
        self.check_warnings(warnings)?;
        Ok(rows)
    }

    async fn rollback(&mut self) -> Result<(), DbError> {
        if self.in_transaction && !std::mem::take(&mut self.begins) {
            self.run_control("ROLLBACK").await?;
        }
        self.in_transaction = false;
        Ok(())
    }
}

fn types(params: &[Value]) -> Vec<Type> {
    params.iter().map(Value::postgres_type).collect()
}

fn to_sql(params: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    params
        .iter()
        .map(|value| value as &(dyn ToSql + Sync))
        .collect()
}

impl Value {
    fn postgres_type(&self) -> Type {
        match self {
            Self::Int(_) => Type::INT8,
            Self::Text(_) => Type::TEXT,
            Self::Blob(_) => Type::BYTEA,
        }
    }
}

impl ToSql for Value {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Int(value) => value.to_sql(ty, out),
            Self::Text(value) => value.to_sql(ty, out),
            Self::Blob(value) => value.to_sql(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8 | Type::TEXT | Type::BYTEA)
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        match *ty {
            Type::INT8 => i64::from_sql(ty, raw).map(Self::from),
            // Number literals in a statement, such as those of a CASE, are INT4.
            Type::INT4 => i32::from_sql(ty, raw).map(|value| Self::from(i64::from(value))),
            Type::BYTEA => Vec::<u8>::from_sql(ty, raw).map(Self::from),
            _ => String::from_sql(ty, raw).map(Self::from),
        }
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        // A null has no type. Readers of every type accept this one.
        Ok(Self::Int(None))
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8 | Type::INT4 | Type::TEXT | Type::BYTEA)
    }
}

/// The text of an error about a column, without its value.
const UNDECODABLE: &str = "postgres: a column does not decode";

fn read_rows(rows: &[tokio_postgres::Row]) -> Result<Vec<Row>, DbError> {
    let mut all = Vec::with_capacity(rows.len());
    for row in rows {
        let mut values = Vec::with_capacity(row.len());
        for column in 0..row.len() {
            // The database has answered, so this is no outage: the column has a type or a text that we do not read.
            let value = row.try_get(column);
            values.push(value.map_err(|_| DbError::Other(UNDECODABLE.into()))?);
        }
        all.push(Row(values));
    }
    Ok(all)
}
