//! Poolers between the service and its server: one that gives each transaction another session is refused.
//!
//! Settings, prepared statements and the process that is ended when it does not answer belong to a session. A pooler that
//! changes it after each transaction (PgBouncer's `pool_mode = transaction`) mixes them up between authorities, and
//! every call would fail at random.

use tokio::time::timeout;
use tokio_postgres::{Client, Config};

use super::connect::{self, PostgresOptions};
use crate::store::{StoreError, postgres::connection::db_error, sql::DbError};

/// How often it is looked for: a session may be the same one by chance when other clients come and go.
const ROUNDS: usize = 3;

const REFUSAL: &str = "store.url leads to a pooler that gives each transaction another session: set pool_mode = session \
     in PgBouncer for this database, or connect to PostgreSQL itself";

/// Refuses a pooler that does not keep a session.
pub(super) async fn refuse_transaction_pooling(
    config: &Config,
    options: &PostgresOptions,
) -> Result<(), StoreError> {
    let one = connect::plain(config, options).await?;
    let other = connect::plain(config, options).await?;
    let looking = timeout(options.connect_timeout, are_mixed(&one, &other)).await;
    let is_mixed = looking.map_err(|_| {
        StoreError::Unavailable(
            "connecting: no answer in time: is there a pooler with too few connections?".into(),
        )
    })?;
    match is_mixed? {
        true => Err(StoreError::Unusable(REFUSAL.into())),
        false => Ok(()),
    }
}

/// Whether two connections are served by one process, or one of them by several. The server gives each connection a
/// process of its own, for as long as it lives.
async fn are_mixed(one: &Client, other: &Client) -> Result<bool, DbError> {
    let (_, mine) = connect::look(one).await?;
    for _ in 0..ROUNDS {
        // Idle sessions are handed out again, most often the newest: the other one gets mine.
        if connect::look(other).await?.1 == mine {
            return Ok(true);
        }
        // Or it keeps one that may have been mine, and I get another one.
        execute(other, "BEGIN").await?;
        let (_, theirs) = connect::look(other).await?;
        let (_, again) = connect::look(one).await?;
        execute(other, "ROLLBACK").await?;
        if theirs == mine || again != mine {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn execute(client: &Client, sql: &str) -> Result<(), DbError> {
    client
        .batch_execute(sql)
        .await
        .map_err(|error| db_error(&error))
}
