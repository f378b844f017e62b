//! The size of the database and the lag of its standbys.

use std::time::Duration;

use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use super::error::db_error;
use crate::{STANDBYS_MAX, StandbyState, StoreMeasure, sql::DbError};

/// The size, and whether PostgreSQL shows this role the positions of standbys. Without the right it shows their names
/// with nulls, which must not look like standbys without a lag.
const DATABASE: &str = "SELECT pg_database_size(current_database()), \
     pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')::int";

/// Standbys that share a name are one row, with the worst lag. A base backup is no standby.
fn standbys() -> String {
    format!(
        "SELECT application_name, \
             max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn))::bigint, \
             (max(extract(epoch FROM coalesce(replay_lag, '0'))) * 1000000)::bigint \
         FROM pg_stat_replication \
         WHERE state IN ('streaming', 'catchup') AND replay_lsn IS NOT NULL \
         GROUP BY application_name ORDER BY application_name LIMIT {STANDBYS_MAX}"
    )
}

/// Asks the primary.
pub(super) async fn measure(client: &Client) -> Result<StoreMeasure, DbError> {
    let database = rows(client, DATABASE).await?;
    let database = database.first();
    let shows_standbys = database.is_some_and(|row| number(row, 1) == 1);
    // None and not an empty list: an operator must not read "no standby" where the role may not see
    // them.
    let standbys = match shows_standbys {
        true => Some(read_standbys(client).await?),
        false => None,
    };
    Ok(StoreMeasure {
        size_bytes: database.map(|row| number(row, 0)).unwrap_or_default(),
        disk_free_bytes: None,
        standbys,
    })
}

async fn read_standbys(client: &Client) -> Result<Vec<StandbyState>, DbError> {
    let rows = rows(client, &standbys()).await?;
    let states = rows.iter().map(|row| StandbyState {
        name: row.get(0).unwrap_or_default().to_owned(),
        lag_bytes: number(row, 1),
        lag: Duration::from_micros(number(row, 2)),
    });
    Ok(states.collect())
}

async fn rows(client: &Client, sql: &str) -> Result<Vec<SimpleQueryRow>, DbError> {
    let messages = client
        .simple_query(sql)
        .await
        .map_err(|error| db_error(&error))?;
    let mut rows = Vec::new();
    for message in messages {
        if let SimpleQueryMessage::Row(row) = message {
            rows.push(row);
        }
    }
    Ok(rows)
}

/// Reads a number. A standby may report a position that the primary's own look had not reached yet: that is no lag.
fn number(row: &SimpleQueryRow, column: usize) -> u64 {
    let text = row.get(column).unwrap_or_default();
    text.parse().unwrap_or_default()
}
