//! One PostgreSQL connection, on loan from a pool.

use std::{
    error::Error,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use deadpool_postgres::ClientWrapper;
use futures::future::maybe_done;
use tokio::time::timeout;
use tokio_postgres::{
    error::SqlState,
    types::{FromSql, IsNull, ToSql, Type, private::BytesMut, to_sql_checked},
};

use super::{
    cancel::cancel,
    pool::{Loan, Server},
};
use crate::store::sql::{Connection, DbError, Lane, Row, Statement, Value};

pub(super) struct PostgresConnection {
    /// Taken out of the pool for good when it is in a state that no other caller may meet.
    loan: Option<Loan>,
    lane: Lane,
    answer_timeout: Duration,
    server: Arc<Server>,
    state: State,
    in_transaction: bool,
    /// `BEGIN` goes out with the first statement, in one round trip.
    begins: bool,
}

/// The state of a connection between two calls. Only an idle one goes back to its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    /// A statement was sent and its answer not read.
    Asked,
    /// It is closed, leads to a server that only reads, or was given up.
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

    /// Runs a statement within the time an answer may take. Whoever is left waiting gives the connection up, and has the
    /// process that serves it ended: it may hold the head of the log.
    async fn bounded<T>(
        &mut self,
        work: impl AsyncFnOnce(&ClientWrapper) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, DbError> {
        if self.state != State::Idle {
            // Not even a rollback: it would wait for another deadline, and the server rolls back what was given up.
            return Err(DbError::Unavailable("the connection was given up".into()));
        }
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
        answer.map_err(|error| self.failure(&error))
    }

    /// The class of an error. One that says that the server goes away, or only reads, makes this connection unfit and the
    /// others doubtful.
    fn failure(&mut self, error: &tokio_postgres::Error) -> DbError {
        if is_unfit(error) {
            self.state = State::Unfit;
            self.server.doubt();
        }
        match db_error(error) {
            // A search that the server cancelled took too long.
            DbError::Unavailable(text)
                if self.lane == Lane::Search && error.code() == Some(&SqlState::QUERY_CANCELED) =>
            {
                DbError::TooSlow(text)
            }
            error => error,
        }
    }

    /// Prepares statements before any of them goes out: nothing else goes out between them.
    async fn prepare<'a>(
        &mut self,
        statements: &'a [Statement],
    ) -> Result<Vec<Prepared<'a>>, DbError> {
        self.bounded(async |client| {
            let mut prepared = Vec::with_capacity(statements.len());
            for Statement { sql, params } in statements {
                prepared.push((
                    client.prepare_typed_cached(sql, &types(params)).await?,
                    to_sql(params),
                ));
            }
            Ok(prepared)
        })
        .await
    }

    fn answers(&mut self, sent: Sent) -> Result<Vec<Vec<Row>>, DbError> {
        match sent {
            Sent::All(Ok(answers)) => answers.iter().map(|rows| read(rows)).collect(),
            Sent::All(Err(error)) | Sent::NotAll(error) => Err(self.failure(&error)),
        }
    }

    async fn control(&mut self, statement: &str) -> Result<(), DbError> {
        self.bounded(async |client| control(client, Some(statement)).await)
            .await
    }

    /// A commit during which the server warned is not known to be durable.
    fn check_warnings(&self, before: u64) -> Result<(), DbError> {
        if self.warnings() == before {
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
        // A statement may be running. Lanes of one connection do not wait for its end.
        let is_shared = matches!(self.lane, Lane::Read | Lane::Write | Lane::Search);
        if self.state == State::Asked && is_shared && !loan.session.client.is_closed() {
            cancel(loan);
        } else {
            drop(Loan::take(loan));
        }
    }
}

/// A statement and what it is sent with.
type Prepared<'a> = (tokio_postgres::Statement, Vec<&'a (dyn ToSql + Sync)>);

/// What the server answered to each.
type Answers = Result<Vec<Vec<tokio_postgres::Row>>, tokio_postgres::Error>;

/// What became of statements.
enum Sent {
    /// They went out, and what was to follow them.
    All(Answers),
    /// One could not be sent, nor what was to follow.
    NotAll(tokio_postgres::Error),
}

/// Sends statements, perhaps a BEGIN before and a COMMIT after them, in one round trip. A statement that fails makes the
/// COMMIT a ROLLBACK.
async fn send(
    client: &ClientWrapper,
    begins: bool,
    prepared: &[Prepared<'_>],
    commits: bool,
) -> Sent {
    // What is polled first is sent first.
    let mut begun = Box::pin(maybe_done(control(client, begins.then_some("BEGIN"))));
    let _ = futures::poll!(begun.as_mut());
    let mut sent = Vec::with_capacity(prepared.len());
    for (statement, params) in prepared {
        let mut query = Box::pin(maybe_done(client.query(statement, params)));
        let _ = futures::poll!(query.as_mut());
        if let Some(Err(_)) = query.as_mut().output_mut()
            && let Some(Err(error)) = query.as_mut().take_output()
        {
            return Sent::NotAll(error);
        }
        sent.push(query);
    }
    let committed = control(client, commits.then_some("COMMIT")).await;
    begun.as_mut().await;
    let begun = begun.as_mut().take_output().unwrap_or(Ok(()));
    let mut answers = Vec::with_capacity(sent.len());
    for mut query in sent {
        query.as_mut().await;
        answers.push(
            query
                .as_mut()
                .take_output()
                .unwrap_or_else(|| Ok(Vec::new())),
        );
    }
    // The first failure is the news.
    let answers = answers.into_iter().collect::<Answers>();
    Sent::All(
        begun
            .and(answers)
            .and_then(|answers| committed.map(|()| answers)),
    )
}

async fn control(
    client: &ClientWrapper,
    statement: Option<&str>,
) -> Result<(), tokio_postgres::Error> {
    match statement {
        Some(statement) => client.batch_execute(statement).await,
        None => Ok(()),
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
                // What is polled first is sent first.
                let (begun, rows) = futures::join!(client.batch_execute("BEGIN"), query);
                begun.and(rows)
            })
            .await?;
        if !self.in_transaction {
            self.check_warnings(warnings)?;
        }
        read(&rows)
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
        self.answers(sent)
    }

    async fn begin(&mut self) -> Result<(), DbError> {
        self.in_transaction = true;
        self.begins = true;
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), DbError> {
        if std::mem::take(&mut self.begins) {
            self.in_transaction = false;
            return Ok(());
        }
        let warnings = self.warnings();
        self.control("COMMIT").await?;
        self.in_transaction = false;
        self.check_warnings(warnings)
    }

    async fn finish(&mut self, last: &[Statement]) -> Result<Vec<Vec<Row>>, DbError> {
        if last.is_empty() {
            return self.commit().await.map(|()| Vec::new());
        }
        let prepared = self.prepare(last).await?;
        let warnings = self.warnings();
        let begins = std::mem::take(&mut self.begins);
        let sent = self
            .bounded(async |client| Ok(send(client, begins, &prepared, true).await))
            .await?;
        if let Sent::All(_) = sent {
            self.in_transaction = false;
        }
        let rows = self.answers(sent)?;
        self.check_warnings(warnings)?;
        Ok(rows)
    }

    async fn rollback(&mut self) -> Result<(), DbError> {
        if self.in_transaction && !std::mem::take(&mut self.begins) {
            self.control("ROLLBACK").await?;
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
            Type::INT4 => i32::from_sql(ty, raw).map(|value| Self::from(i64::from(value))),
            Type::BYTEA => Vec::<u8>::from_sql(ty, raw).map(Self::from),
            _ => String::from_sql(ty, raw).map(Self::from),
        }
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self::Int(None))
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8 | Type::INT4 | Type::TEXT | Type::BYTEA)
    }
}

fn read(rows: &[tokio_postgres::Row]) -> Result<Vec<Row>, DbError> {
    let value =
        |row: &tokio_postgres::Row, column| row.try_get(column).map_err(|error| db_error(&error));
    let read = |row: &tokio_postgres::Row| {
        Ok(Row((0..row.len())
            .map(|at| value(row, at))
            .collect::<Result<_, _>>()?))
    };
    rows.iter().map(read).collect()
}

/// The class of a driver's error. Its text may hold values, its code never does.
pub(super) fn db_error(error: &tokio_postgres::Error) -> DbError {
    let Some(code) = error.code() else {
        return DbError::Unavailable("postgres: no connection".into());
    };
    let mut text = format!("postgres {}", code.code());
    if *code == SqlState::DISK_FULL {
        text.push_str(", the disk is full");
    }
    match *code {
        SqlState::UNIQUE_VIOLATION => DbError::Unique(text),
        SqlState::T_R_SERIALIZATION_FAILURE
        | SqlState::T_R_DEADLOCK_DETECTED
        | SqlState::LOCK_NOT_AVAILABLE
        | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => DbError::Conflict(text),
        _ if is_unavailable(code.code()) => DbError::Unavailable(text),
        _ => DbError::Other(text),
    }
}

/// Whether a connection must not be used again: it is closed or about to be (08, 57P0x, 25P03), or its server only reads
/// (25006), which a standby does for as long as it is one.
fn is_unfit(error: &tokio_postgres::Error) -> bool {
    let code = error.code().map_or("", SqlState::code);
    error.is_closed()
        || code.starts_with("08")
        || code.starts_with("57P0")
        || ["25006", "25P03"].contains(&code)
}

/// Connection exceptions (08), insufficient resources (53), operator intervention (57), system errors (58), and a
/// server that only reads (25006), as a deposed primary does.
fn is_unavailable(code: &str) -> bool {
    ["08", "53", "57", "58"].contains(&&code[..2]) || code == "25006"
}
