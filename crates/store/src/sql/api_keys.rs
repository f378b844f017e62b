//! API keys as rows: one, many, and their requests by hour.

use portcullis_contract::{
    id::{ApiKeyId, TenantId, TenantSerial, UserSerial},
    view::Subject,
};

use super::{
    columns::{ONLY, columns},
    connection::{Dialect, Statement},
    db::Db,
    row::{Row, only_row},
    value::Value,
};
use crate::StoreError;
use portcullis_domain::{ApiKey, ApiKeyFilter, ApiKeyHour, Micros};

columns! {
    /// The columns of an [`ApiKey`].
    ApiKeyColumns {
        tenant_id,
        key_id,
        owner_id,
        serial,
        owner_serial,
        tenant_serial,
        opened_revision,
        name,
        scopes,
        audiences,
        created_us,
        expires_us,
        active_us,
    }
}

columns! {
    /// The columns of an answer beside those of the key.
    ApiKeyStateColumns after ApiKeyColumns { requests_24h, ended_us, now_us }
}

columns! {
    /// The requests of one hour.
    HourColumns { hour, requests }
}

/// The audit event of the first cutoff that covers the API key `k`.
pub(super) const CUT_EVENT: &str = "(SELECT c.event_id FROM api_key_cutoffs c WHERE c.revision > k.opened_revision AND (\
         (c.scope = 1 AND c.scope_serial = k.owner_serial) OR \
         (c.scope = 2 AND c.scope_serial = k.tenant_serial) OR \
         (c.scope = 3 AND c.scope_serial = 0)) \
     ORDER BY c.revision LIMIT 1)";

/// The time of the first cutoff that covers the API key `k`.
const CUT_US: &str = "(SELECT c.at_us FROM api_key_cutoffs c WHERE c.revision > k.opened_revision AND (\
         (c.scope = 1 AND c.scope_serial = k.owner_serial) OR \
         (c.scope = 2 AND c.scope_serial = k.tenant_serial) OR \
         (c.scope = 3 AND c.scope_serial = 0)) \
     ORDER BY c.revision LIMIT 1)";

/// The end of the key `k`, which was found with `end_us`. An end after its expiry ended no key.
const ENDED_US: &str =
    "CASE WHEN k.expires_us IS NULL OR k.end_us < k.expires_us THEN k.end_us END";

/// The first of the hours that count as the last 24: this one and the 23 before it.
pub(super) fn first_hour(dialect: &Dialect) -> String {
    format!("({} / 3600000000 - 23)", dialect.now)
}

pub(super) async fn find(
    db: &mut Db,
    tenant: &TenantId,
    id: ApiKeyId,
) -> Result<Option<(ApiKey, Micros)>, StoreError> {
    let sql = select(&db.dialect, "k.tenant_id = $1 AND k.key_id = $2", "TRUE");
    let rows = db.query(&sql, &[tenant.into(), id.into()]).await?;
    rows.first().map(read).transpose()
}

/// Lists keys, newest first, from just below `before`.
pub(super) async fn list(
    db: &mut Db,
    filter: &ApiKeyFilter,
    before: Option<ApiKeyId>,
    limit: u32,
) -> Result<(Vec<ApiKey>, Micros), StoreError> {
    let statement = list_statement(&db.dialect, filter, before, limit);
    let mut keys = Vec::new();
    let mut now = Micros::default();
    for row in db.run(&statement).await? {
        let (key, time) = read(&row)?;
        if keys.is_empty() {
            now = time;
        }
        keys.push(key);
    }
    Ok((keys, now))
}

fn list_statement(
    dialect: &Dialect,
    filter: &ApiKeyFilter,
    before: Option<ApiKeyId>,
    limit: u32,
) -> Statement {
    // The greatest UUID stands for "from the newest".
    let before = before.map_or([0xff; 16], ApiKeyId::to_bytes);
    let mut values = vec![
        Value::from(&filter.tenant_id),
        before[..].into(),
        i64::from(limit).into(),
    ];
    let mut of = String::from("k.tenant_id = $1 AND k.key_id < $2");
    if let Some(owner) = &filter.owner_id {
        // Every key matches the last condition. It allows the index by owner, which is partial so that no lookup by id
        // ends there.
        of.push_str(" AND k.owner_id = $4 AND k.serial > 0");
        values.push(owner.into());
    }
    let active = format!(
        "{ENDED_US} IS NULL AND (k.expires_us IS NULL OR k.expires_us > {})",
        dialect.now
    );
    let and = if filter.show_ended { "TRUE" } else { &active };
    let select = select(dialect, &of, and);
    let sql = format!("{select} ORDER BY k.key_id DESC LIMIT $3");
    Statement::new(sql, values)
}

/// Counts the keys of a tenant that were neither revoked nor have expired, up to `max`. Keys of disabled owners count.
pub(super) async fn count_live(
    db: &mut Db,
    tenant: &TenantId,
    max: u32,
) -> Result<u32, StoreError> {
    let sql = format!(
        "SELECT count(*) FROM (SELECT 1 FROM api_keys k WHERE k.tenant_id = $1 AND k.end_event IS NULL \
             AND (k.expires_us IS NULL OR k.expires_us > {now}) ORDER BY k.key_id LIMIT $2) c",
        now = db.dialect.now,
    );
    let rows = db
        .query(&sql, &[tenant.into(), i64::from(max).into()])
        .await?;
    rows.first().map_or(Ok(0), |row| row.count(ONLY))
}

/// Selects keys with their requests, and the time at which each ended: its own, or that of the first cutoff that covers it.
/// Not from the audit trail, whose rows go: a key must not come to life with that.
fn select(dialect: &Dialect, of: &str, and: &str) -> String {
    // PostgreSQL sums BIGINT to NUMERIC, which no value of ours can hold: hence the cast back.
    let requests_24h = format!(
        "(SELECT CAST(COALESCE(SUM(h.requests), 0) AS BIGINT) FROM api_key_hours h \
             WHERE h.tenant_id = k.tenant_id AND h.key_id = k.key_id AND h.hour >= {})",
        first_hour(dialect)
    );
    let state = ApiKeyStateColumns {
        requests_24h: requests_24h.as_str(),
        ended_us: ENDED_US,
        now_us: dialect.now,
    };
    // Nested, because the name `end_us` can be compared only outside of the query that computes it.
    format!(
        "SELECT {key}, {state} \
         FROM (SELECT k.*, COALESCE(k.ended_us, {CUT_US}) AS end_us FROM api_keys k WHERE {of}) k WHERE {and}",
        key = ApiKeyColumns::of("k"),
        state = state.select(),
    )
}

fn read(row: &Row) -> Result<(ApiKey, Micros), StoreError> {
    let columns = ApiKeyColumns::AT;
    let state = ApiKeyStateColumns::AT;
    let key = ApiKey {
        tenant_id: row.tenant_id(columns.tenant_id)?,
        id: ApiKeyId::from_bytes(row.array(columns.key_id)?),
        owner_id: row.user_id(columns.owner_id)?,
        subject: read_subject(row)?,
        name: row.text(columns.name)?,
        scopes: row.json(columns.scopes)?,
        audiences: row.json(columns.audiences)?,
        created: row.time(columns.created_us)?,
        expires: row.optional_time(columns.expires_us)?,
        last_used: row.optional_time(columns.active_us)?,
        requests_24h: row.unsigned(state.requests_24h)?,
        ended: row.optional_time(state.ended_us)?,
    };
    Ok((key, row.time(state.now_us)?))
}

fn read_subject(row: &Row) -> Result<Subject, StoreError> {
    let columns = ApiKeyColumns::AT;
    Ok(Subject {
        serial: row.serial(columns.serial)?,
        user: UserSerial(row.unsigned(columns.owner_serial)?),
        tenant: TenantSerial(row.unsigned(columns.tenant_serial)?),
        opened: row.revision(columns.opened_revision)?,
    })
}

/// The requests of a key in the last 24 hours, by hour. Hours without requests are left out.
pub(super) async fn hours(
    db: &mut Db,
    tenant: &TenantId,
    id: ApiKeyId,
) -> Result<Vec<ApiKeyHour>, StoreError> {
    let sql = format!(
        "SELECT {} FROM api_key_hours \
         WHERE tenant_id = $1 AND key_id = $2 AND hour >= {} AND requests > 0 ORDER BY hour",
        HourColumns::names(),
        first_hour(&db.dialect)
    );
    let columns = HourColumns::AT;
    let mut hours = Vec::new();
    for row in db.query(&sql, &[tenant.into(), id.into()]).await? {
        hours.push(ApiKeyHour {
            hour: row.int(columns.hour)?,
            requests: row.unsigned(columns.requests)?,
        });
    }
    Ok(hours)
}

/// Counts the keys of all tenants that were created in a period and are good.
pub(super) async fn count(
    db: &mut Db,
    from: Micros,
    until: Option<Micros>,
) -> Result<u64, StoreError> {
    let sql = format!(
        "SELECT count(*) FROM api_keys WHERE created_us >= $1 AND created_us < $2 \
         AND end_event IS NULL AND (expires_us IS NULL OR expires_us > {now})",
        now = db.dialect.now,
    );
    let until = until.unwrap_or(Micros(i64::MAX));
    let rows = db.query(&sql, &[from.into(), until.into()]).await?;
    only_row(&rows, "count")?.unsigned(ONLY)
}
