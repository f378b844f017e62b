//! Reads of a database beside the running authorities: its durability and its issuer.

use tokio::time::timeout;
use tokio_postgres::error::SqlState;

use super::{
    connect::{self, PostgresOptions},
    durability,
    error::db_error,
    pooler, url,
};
use crate::{StoreError, sql::ISSUER};

/// Errors of a database without the schema, or whose rights were not granted yet.
const NOT_INSTALLED: [SqlState; 3] = [
    SqlState::UNDEFINED_TABLE,
    SqlState::UNDEFINED_COLUMN,
    SqlState::INSUFFICIENT_PRIVILEGE,
];

/// Describes the durability of the server behind a URL, without changing it.
///
/// # Errors
/// When the server cannot be reached in time, or the URL leads to a pooler that cannot be used.
pub async fn examine(url: &str, options: &PostgresOptions) -> Result<String, StoreError> {
    let target = url::parse_setting("store.url", url)?;
    pooler::refuse_transaction_pooling(&target, options).await?;
    let client = connect::connect_plainly(&target, options).await?;
    let described = timeout(options.connect_timeout, durability::describe(&client)).await;
    Ok(described.map_err(|_| no_answer())??)
}

/// The issuer that a database was installed with, read as the service and without migrating. None while the table or the
/// column does not exist, or the service may not read it yet.
///
/// # Errors
/// When the server cannot be reached in time.
pub async fn installed_issuer(
    url: &str,
    options: &PostgresOptions,
) -> Result<Option<String>, StoreError> {
    let target = url::parse_setting("store.url", url)?;
    let client = connect::connect_plainly(&target, options).await?;
    let asked = timeout(options.connect_timeout, client.query_opt(ISSUER, &[]));
    let answer = asked.await.map_err(|_| no_answer())?;
    match answer {
        Ok(row) => Ok(row.and_then(|row| row.get(0))),
        // Before the first start nothing is wrong with such a database.
        Err(error) if is_not_installed(&error) => Ok(None),
        Err(error) => Err(db_error(&error).into()),
    }
}

fn is_not_installed(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        Some(code) => NOT_INSTALLED.contains(code),
        None => false,
    }
}

fn no_answer() -> StoreError {
    StoreError::Unavailable("no answer in time".into())
}
