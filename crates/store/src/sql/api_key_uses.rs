//! What gates saw of API keys: a statement a table, whatever the number of keys.

use super::{Connection, Dialect, Value, api_keys::first_hour, transaction};
use crate::{
    domain::{ApiKeyUse, time::span},
    store::StoreError,
};

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

/// The keys' own rows come last: a revocation that wants one of them waits for the commit at most. Rows are locked in
/// one order, so that two gates' reports do not meet crosswise.
async fn write(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    uses: &[ApiKeyUse],
) -> Result<(), StoreError> {
    let (now, rows, first_hour) = (dialect.now, dialect.activity_rows, first_hour(dialect));
    let count = format!(
        "INSERT INTO api_key_hours (tenant_id, key_id, hour, requests) \
         SELECT k.tenant_id, k.key_id, ({now} - v.age_us) / 3600000000, v.requests FROM ({rows}) AS v, api_keys k \
         WHERE k.tenant_id = v.tenant_id AND k.key_id = v.session_id ORDER BY 1, 2 \
         ON CONFLICT (tenant_id, key_id, hour) DO UPDATE SET requests = api_key_hours.requests + excluded.requests"
    );
    // Of keys that nobody uses old hours stay, and nobody reads them.
    let forget = format!(
        "DELETE FROM api_key_hours WHERE (tenant_id, key_id) IN (SELECT v.tenant_id, v.session_id FROM ({rows}) AS v) \
         AND hour < {first_hour}"
    );
    let touch = format!(
        "UPDATE api_keys SET active_us = {now} - v.age_us FROM ({rows}) AS v \
         WHERE api_keys.tenant_id = v.tenant_id AND api_keys.key_id = v.session_id \
         AND (active_us IS NULL OR active_us < {now} - v.age_us)"
    );
    let report = [Value::from(encode(uses))];
    for statement in [count, forget, touch] {
        connection.query(&statement, &report).await?;
    }
    Ok(())
}

/// As [`Dialect::activity_rows`] reads it: of a key neither address nor page is told.
fn encode(uses: &[ApiKeyUse]) -> String {
    let rows = uses.iter().map(|each| {
        let id = format!("{:032x}", u128::from_be_bytes(each.id.to_bytes()));
        (
            each.tenant_id.as_str(),
            id,
            each.requests,
            span(each.age),
            "",
            "",
        )
    });
    serde_json::to_string(&rows.collect::<Vec<_>>()).expect("text and numbers serialize")
}
