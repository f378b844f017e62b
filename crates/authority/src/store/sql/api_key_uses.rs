//! What gates saw of API keys: a statement a table, whatever the number of keys.

use std::collections::BTreeMap;

use super::{Connection, Dialect, api_keys::first_hour, connection::ValueRows, transaction};
use crate::{
    domain::{ApiKeyUse, Micros},
    store::StoreError,
};

/// The rows of one statement: PostgreSQL takes 65,535 parameters, SQLite 32,766.
const ROWS_MAX: usize = 4_096;

/// A tenant and a key of it, as they stand in columns.
type Key<'a> = (&'a str, [u8; 16]);

pub(super) async fn record(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    uses: &[ApiKeyUse],
) -> Result<(), StoreError> {
    if uses.is_empty() {
        return Ok(());
    }
    transaction!(connection, write(connection, dialect, uses))
}

/// The keys' own rows come last: a revocation that wants one of them waits for the commit at most.
async fn write(connection: &mut dyn Connection, dialect: &Dialect, uses: &[ApiKeyUse]) -> Result<(), StoreError> {
    // Each key and hour once, in one order: two who report the same keys wait for each other and do not deadlock.
    let mut requests: BTreeMap<(Key<'_>, i64), u64> = BTreeMap::new();
    let mut last_used: BTreeMap<Key<'_>, Micros> = BTreeMap::new();
    for each in uses {
        let key = (each.tenant_id.as_str(), each.id.to_bytes());
        let sum = requests.entry((key, each.hour)).or_default();
        *sum = sum.saturating_add(each.requests);
        let last = last_used.entry(key).or_insert(each.last_used);
        *last = each.last_used.max(*last);
    }
    count(connection, &requests.into_iter().collect::<Vec<_>>()).await?;
    let last_used: Vec<_> = last_used.into_iter().collect();
    forget(connection, dialect, &last_used).await?;
    touch(connection, &last_used).await
}

async fn count(connection: &mut dyn Connection, requests: &[((Key<'_>, i64), u64)]) -> Result<(), StoreError> {
    for rows in requests.chunks(ROWS_MAX) {
        let rows = ValueRows::new(rows.iter().map(|(((tenant, key), hour), requests)| {
            [(*tenant).into(), key[..].into(), (*hour).into(), (*requests).into()]
        }));
        // `DISTINCT` for the row that stands several times.
        let sql = format!(
            "INSERT INTO api_key_hours (tenant_id, key_id, hour, requests) \
             SELECT DISTINCT k.tenant_id, k.key_id, v.column3, v.column4 FROM (VALUES {}) AS v, api_keys k \
             WHERE k.tenant_id = v.column1 AND k.key_id = v.column2 ORDER BY 1, 2, 3 \
             ON CONFLICT (tenant_id, key_id, hour) DO UPDATE SET requests = api_key_hours.requests + excluded.requests",
            rows.text
        );
        connection.query(&sql, &rows.params).await?;
    }
    Ok(())
}

/// What is older than a day, of the keys that were used: of others it stays, and nobody reads it.
async fn forget(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    keys: &[(Key<'_>, Micros)],
) -> Result<(), StoreError> {
    for keys in keys.chunks(ROWS_MAX) {
        let keys = ValueRows::new(keys.iter().map(|((tenant, key), _)| [(*tenant).into(), key[..].into()]));
        let sql = format!(
            "DELETE FROM api_key_hours WHERE (tenant_id, key_id) IN (VALUES {}) AND hour < {}",
            keys.text,
            first_hour(dialect)
        );
        connection.query(&sql, &keys.params).await?;
    }
    Ok(())
}

async fn touch(connection: &mut dyn Connection, keys: &[(Key<'_>, Micros)]) -> Result<(), StoreError> {
    for rows in keys.chunks(ROWS_MAX) {
        let rows =
            ValueRows::new(rows.iter().map(|((tenant, key), last)| [(*tenant).into(), key[..].into(), last.0.into()]));
        let sql = format!(
            "UPDATE api_keys SET active_us = v.column3 FROM (VALUES {}) AS v \
             WHERE api_keys.tenant_id = v.column1 AND api_keys.key_id = v.column2 \
             AND (active_us IS NULL OR active_us < v.column3)",
            rows.text
        );
        connection.query(&sql, &rows.params).await?;
    }
    Ok(())
}
