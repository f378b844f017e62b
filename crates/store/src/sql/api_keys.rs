//! API keys as rows: one, many, and their hours.

use portcullis_contract::{
    id::{ApiKeyId, Serial, TenantId, TenantSerial, UserSerial},
    position::Revision,
    view::Subject,
};

use super::{
    Connection, Dialect, Row,
    sessions::{from_json, tenant_id, user_id},
};
use crate::{
    domain::{ApiKey, ApiKeyFilter, ApiKeyHour, Micros},
    store::StoreError,
};

/// The audit event of the first cutoff that covers the API key `k`.
pub(super) const CUT_EVENT: &str = "(SELECT c.event_id FROM api_key_cutoffs c WHERE c.revision > k.opened_revision AND (\
         (c.scope = 1 AND c.scope_serial = k.owner_serial) OR \
         (c.scope = 2 AND c.scope_serial = k.tenant_serial) OR \
         (c.scope = 3 AND c.scope_serial = 0)) \
     ORDER BY c.revision LIMIT 1)";

/// The hours that count as the last 24: this one and the 23 before it.
pub(super) fn first_hour(dialect: &Dialect) -> String {
    format!("({} / 3600000000 - 23)", dialect.now)
}

pub(super) async fn find(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    tenant: &TenantId,
    id: ApiKeyId,
) -> Result<Option<(ApiKey, Micros)>, StoreError> {
    let sql = select(dialect, "k.tenant_id = $1 AND k.key_id = $2", "TRUE");
    let rows = connection
        .query(&sql, &[tenant.as_str().into(), id.to_bytes()[..].into()])
        .await?;
    rows.first().map(read).transpose()
}

pub(super) async fn list(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    filter: &ApiKeyFilter,
    before: Option<ApiKeyId>,
    limit: u32,
) -> Result<(Vec<ApiKey>, Micros), StoreError> {
    // The greatest UUID stands for "from the newest".
    let before = before.map_or([0xff; 16], ApiKeyId::to_bytes);
    let mut values = vec![
        filter.tenant_id.as_str().into(),
        before[..].into(),
        i64::from(limit).into(),
    ];
    let mut of = String::from("k.tenant_id = $1 AND k.key_id < $2");
    if let Some(owner) = &filter.owner_id {
        // The last is said of all keys: the index by owner is partial, so that no key is looked up in it by its id.
        of.push_str(" AND k.owner_id = $4 AND k.serial > 0");
        values.push(owner.as_str().into());
    }
    let active = format!(
        "e.event_id IS NULL AND (k.expires_us IS NULL OR k.expires_us > {})",
        dialect.now
    );
    let and = if filter.show_ended { "TRUE" } else { &active };
    let sql = format!(
        "{} ORDER BY k.key_id DESC LIMIT $3",
        select(dialect, &of, and)
    );
    let rows = connection.query(&sql, &values).await?;
    let found = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let now = found.first().map_or(Micros::default(), |(_, now)| *now);
    Ok((found.into_iter().map(|(key, _)| key).collect(), now))
}

/// The keys of a tenant that were neither revoked nor have expired, counted up to `max`. Those of disabled owners count.
pub(super) async fn count_live(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    tenant: &TenantId,
    max: u32,
) -> Result<u32, StoreError> {
    let sql = format!(
        "SELECT count(*) FROM (SELECT 1 FROM api_keys k WHERE k.tenant_id = $1 AND k.end_event IS NULL \
             AND (k.expires_us IS NULL OR k.expires_us > {now}) ORDER BY k.key_id LIMIT $2) c",
        now = dialect.now,
    );
    let values = [tenant.as_str().into(), i64::from(max).into()];
    let rows = connection.query(&sql, &values).await?;
    let count = rows.first().map_or(Ok(0), |row| row.int(0))?;
    Ok(u32::try_from(count).unwrap_or(max))
}

/// Keys with their requests, and the audit event that ended them: their own, or that of the first cutoff that covers
/// them. What came after its expiry ended no key.
fn select(dialect: &Dialect, of: &str, and: &str) -> String {
    format!(
        "SELECT k.tenant_id, k.key_id, k.owner_id, k.serial, k.owner_serial, k.tenant_serial, k.opened_revision, \
             k.name, k.scopes, k.audiences, k.created_us, k.expires_us, k.active_us, \
             (SELECT CAST(COALESCE(SUM(h.requests), 0) AS BIGINT) FROM api_key_hours h \
                 WHERE h.tenant_id = k.tenant_id AND h.key_id = k.key_id AND h.hour >= {first_hour}), \
             e.at_us, {now} \
         FROM (SELECT k.*, COALESCE(k.end_event, {CUT_EVENT}) AS ended_by FROM api_keys k WHERE {of}) k \
         LEFT JOIN audit_events e ON e.event_id = k.ended_by AND e.ordinal = 0 \
             AND (k.expires_us IS NULL OR e.at_us < k.expires_us) WHERE {and}",
        first_hour = first_hour(dialect),
        now = dialect.now,
    )
}

fn read(row: &Row) -> Result<(ApiKey, Micros), StoreError> {
    let key = ApiKey {
        tenant_id: tenant_id(row.text(0)?)?,
        id: ApiKeyId::from_bytes(row.array(1)?),
        owner_id: user_id(row.text(2)?)?,
        subject: Subject {
            serial: Serial(row.unsigned(3)?),
            user: UserSerial(row.unsigned(4)?),
            tenant: TenantSerial(row.unsigned(5)?),
            opened: Revision(row.unsigned(6)?),
        },
        name: row.text(7)?,
        scopes: from_json(&row.text(8)?)?,
        audiences: from_json(&row.text(9)?)?,
        created: Micros(row.int(10)?),
        expires: row.optional_int(11)?.map(Micros),
        last_used: row.optional_int(12)?.map(Micros),
        requests_24h: row.unsigned(13)?,
        ended: row.optional_int(14)?.map(Micros),
    };
    Ok((key, Micros(row.int(15)?)))
}

pub(super) async fn hours(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    tenant: &TenantId,
    id: ApiKeyId,
) -> Result<Vec<ApiKeyHour>, StoreError> {
    let sql = format!(
        "SELECT hour, requests FROM api_key_hours \
         WHERE tenant_id = $1 AND key_id = $2 AND hour >= {} AND requests > 0 ORDER BY hour",
        first_hour(dialect)
    );
    let rows = connection
        .query(&sql, &[tenant.as_str().into(), id.to_bytes()[..].into()])
        .await?;
    rows.iter()
        .map(|row| {
            Ok(ApiKeyHour {
                hour: row.int(0)?,
                requests: row.unsigned(1)?,
            })
        })
        .collect()
}

pub(super) async fn count(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    from: Micros,
    until: Option<Micros>,
) -> Result<u64, StoreError> {
    let sql = format!(
        "SELECT count(*) FROM api_keys WHERE created_us >= $1 AND created_us < $2 \
         AND end_event IS NULL AND (expires_us IS NULL OR expires_us > {now})",
        now = dialect.now,
    );
    let until = until.map_or(i64::MAX, |until| until.0);
    let rows = connection
        .query(&sql, &[from.0.into(), until.into()])
        .await?;
    let row = rows
        .first()
        .ok_or_else(|| StoreError::Internal("no count".into()))?;
    row.unsigned(0)
}
