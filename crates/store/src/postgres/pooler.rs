//! Detection of poolers that give each transaction another session.
//!
//! Settings, prepared statements and the process to end on a timeout belong to a session. A pooler that changes the session
//! after each transaction (PgBouncer's `pool_mode = transaction`) mixes them up between authorities, and calls would fail at
//! random.

use tokio::time::timeout;
use tokio_postgres::Client;

use super::{
    connect::{self, PostgresOptions},
    error::db_error,
    url::Target,
};
use crate::{StoreError, sql::DbError};

/// Rounds of the test. While other clients come and go, a pooler may return the same session by chance.
const ROUNDS: usize = 3;

const REFUSAL: &str = "store.url leads to a pooler that gives each transaction another session: set pool_mode = session \
     in PgBouncer for this database, or connect to PostgreSQL itself";

/// Refuses a pooler that does not keep sessions.
pub(super) async fn refuse_transaction_pooling(
    target: &Target,
    options: &PostgresOptions,
) -> Result<(), StoreError> {
    let one = connect::connect_plainly(target, options).await?;
    let other = connect::connect_plainly(target, options).await?;
    let looking = timeout(options.connect_timeout, are_mixed(&one, &other)).await;
    let is_mixed = looking.map_err(|_| {
        StoreError::Unavailable(
            "connecting: no answer in time: is there a pooler with too few connections?".into(),
        )
    })?;
    if is_mixed? {
        return Err(StoreError::Unusable(REFUSAL.into()));
    }
    Ok(())
}

/// Whether two connections share a process, or one of them changes it. The server itself gives each connection one process
/// for life.
async fn are_mixed(one: &Client, other: &Client) -> Result<bool, DbError> {
    let (_, mine) = connect::identify(one).await?;
    for _ in 0..ROUNDS {
        // A pooler hands out idle sessions again, most often the newest. The other connection then gets mine.
        if connect::identify(other).await?.1 == mine {
            return Ok(true);
        }
        // Or the other connection holds a session in a transaction, and the first one has to get another.
        execute(other, "BEGIN").await?;
        let (_, theirs) = connect::identify(other).await?;
        let (_, again) = connect::identify(one).await?;
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
