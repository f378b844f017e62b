//! A connection on loan for one call.

use super::{
    connection::{Connection, DbError, Dialect, Statement},
    row::Row,
    search::Turn,
    value::Value,
};

/// A connection on loan, with the expressions of its engine.
pub(super) struct Db {
    // Dropped in this order: the connection is free before the next search gets its turn.
    connection: Box<dyn Connection>,
    pub(super) dialect: Dialect,
    _turn: Option<Turn>,
}

impl Db {
    pub(super) fn new(connection: Box<dyn Connection>, dialect: Dialect) -> Self {
        Self {
            connection,
            dialect,
            _turn: None,
        }
    }

    /// Holds the turn of a search for as long as the connection is on loan.
    pub(super) fn in_turn(mut self, turn: Turn) -> Self {
        self._turn = Some(turn);
        self
    }

    pub(super) async fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, DbError> {
        self.connection.query(sql, params).await
    }

    pub(super) async fn run(&mut self, statement: &Statement) -> Result<Vec<Row>, DbError> {
        self.connection
            .query(&statement.sql, &statement.params)
            .await
    }

    pub(super) async fn run_all(
        &mut self,
        statements: &[Statement],
    ) -> Result<Vec<Vec<Row>>, DbError> {
        self.connection.query_all(statements).await
    }

    pub(super) async fn begin(&mut self) -> Result<(), DbError> {
        self.connection.begin().await
    }

    /// Runs the last statements of a transaction, and commits.
    pub(super) async fn finish(&mut self, last: &[Statement]) -> Result<Vec<Vec<Row>>, DbError> {
        self.connection.finish(last).await
    }

    pub(super) async fn rollback(&mut self) -> Result<(), DbError> {
        self.connection.rollback().await
    }
}
