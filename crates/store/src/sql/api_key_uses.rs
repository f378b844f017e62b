//! The use of API keys that gates report: one statement for each table, whatever the number of keys.

use super::{
    api_keys::first_hour, connection::Dialect, db::Db, json::json, transaction::transaction,
    value::Value,
};
use crate::StoreError;
use portcullis_domain::{ApiKeyUse, time::span};

pub(super) async fn record(db: &mut Db, uses: &[ApiKeyUse]) -> Result<(), StoreError> {
    if uses.is_empty() {
        return Ok(());
    }
    // In one transaction, so that a report counts as a whole or not at all.
    transaction!(db, write(db, uses))
}

/// Writes a report.
async fn write(db: &mut Db, uses: &[ApiKeyUse]) -> Result<(), StoreError> {
    // The rows of the keys come last: a revocation that wants one of them waits for the commit at
    // most. Rows are locked in the order of the report, so that the reports of two gates cannot
    // wait for each other in a circle.
    let report = [Value::from(encode(uses))];
    // One parameter for all three statements: the report is encoded once, however many keys it
    // names.
    for sql in [
        add_requests(&db.dialect),
        delete_old_hours(&db.dialect),
        touch_keys(&db.dialect),
    ] {
        db.query(&sql, &report).await?;
    }
    Ok(())
}

fn add_requests(dialect: &Dialect) -> String {
    // The join drops keys that do not exist. Without it, a gate could fill the table with rows of
    // keys that nobody deletes.
    format!(
        "INSERT INTO api_key_hours (tenant_id, key_id, hour, requests) \
         SELECT k.tenant_id, k.key_id, ({now} - v.age_us) / 3600000000, v.requests FROM ({rows}) AS v, api_keys k \
         WHERE k.tenant_id = v.tenant_id AND k.key_id = v.session_id ORDER BY 1, 2 \
         ON CONFLICT (tenant_id, key_id, hour) DO UPDATE SET requests = api_key_hours.requests + excluded.requests",
        now = dialect.now,
        rows = dialect.activity_rows,
    )
}

/// Deletes the old hours of the keys of the report.
fn delete_old_hours(dialect: &Dialect) -> String {
    // Those of a key that is no longer used stay, and are never read.
    format!(
        "DELETE FROM api_key_hours WHERE (tenant_id, key_id) IN (SELECT v.tenant_id, v.session_id FROM ({rows}) AS v) \
         AND hour < {first_hour}",
        rows = dialect.activity_rows,
        first_hour = first_hour(dialect),
    )
}

fn touch_keys(dialect: &Dialect) -> String {
    // Two gates report in any order. The older use must not replace the newer one.
    format!(
        "UPDATE api_keys SET active_us = {now} - v.age_us FROM ({rows}) AS v \
         WHERE api_keys.tenant_id = v.tenant_id AND api_keys.key_id = v.session_id \
         AND (active_us IS NULL OR active_us < {now} - v.age_us)",
        now = dialect.now,
        rows = dialect.activity_rows,
    )
}

/// The report as [`Dialect::activity_rows`] reads it.
fn encode(uses: &[ApiKeyUse]) -> String {
    // Neither address nor page of a key is kept.
    let mut rows = Vec::with_capacity(uses.len());
    for each in uses {
        let id = format!("{:032x}", u128::from_be_bytes(each.id.to_bytes()));
        let age = span(each.age);
        rows.push((each.tenant_id.as_str(), id, each.requests, age, "", ""));
    }
    json(&rows)
}
