//! Sessions of identity providers, and the logout tokens of the last minutes.

use std::time::Duration;

use portcullis_contract::id::{SessionId, TenantId};
use portcullis_domain::{ProviderKey, ProviderLogout, time::span};

use super::{
    db::Db, listing::conditions::active, row::Row, sessions::SessionKeyColumns, value::Value,
};
use crate::StoreError;

/// The tokens that are forgotten with each that is remembered. More than one, so that the table shrinks.
const FORGOTTEN_MAX: u32 = 4;

/// Finds the active sessions that a logout ends.
pub(super) async fn find(
    db: &mut Db,
    logout: &ProviderLogout,
    limit: u32,
) -> Result<Vec<(TenantId, SessionId)>, StoreError> {
    let by_session = logout.named.session_key();
    let mut found = Vec::new();
    if let Some(key) = by_session {
        found = find_by(db, "s.provider_session = $1", key, logout, limit).await?;
    }
    if let Some(key) = logout.named.subject_key() {
        // With a session id, only sessions that could not be found by one are left to the subject.
        let condition = match by_session {
            Some(_) => "s.provider_subject = $1 AND s.provider_session IS NULL",
            None => "s.provider_subject = $1",
        };
        found.extend(find_by(db, condition, key, logout, limit).await?);
    }
    // Each of the two statements has the limit for itself.
    found.truncate(limit as usize);
    Ok(found)
}

/// Finds the active sessions that match a condition on one of the two keys.
async fn find_by(
    db: &mut Db,
    condition: &str,
    key: ProviderKey,
    logout: &ProviderLogout,
    limit: u32,
) -> Result<Vec<(TenantId, SessionId)>, StoreError> {
    let mut values: Vec<Value> = vec![key[..].into(), i64::from(limit).into()];
    let mut of_tenant = "";
    if let Some(tenant) = &logout.tenant {
        values.push(tenant.into());
        of_tenant = "AND s.tenant_id = $3";
    }
    let sql = format!(
        "SELECT {} FROM sessions s WHERE {condition} {of_tenant} AND {} ORDER BY s.session_id LIMIT $2",
        SessionKeyColumns::of("s"),
        active(&db.dialect, "s.tenant_id"),
    );
    let rows = db.query(&sql, &values).await?;
    rows.iter().map(read_key).collect()
}

fn read_key(row: &Row) -> Result<(TenantId, SessionId), StoreError> {
    let columns = SessionKeyColumns::AT;
    let tenant = row.tenant_id(columns.tenant_id)?;
    Ok((tenant, row.session_id(columns.session_id)?))
}

/// Whether a logout token is remembered.
pub(super) async fn knows_token(db: &mut Db, digest: &[u8; 32]) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM logout_tokens WHERE digest = $1";
    Ok(!db.query(sql, &[digest[..].into()]).await?.is_empty())
}

/// Remembers a logout token, and forgets a few whose time is over.
pub(super) async fn remember_token(
    db: &mut Db,
    digest: &[u8; 32],
    keep: Duration,
) -> Result<(), StoreError> {
    let now = db.dialect.now;
    let forget = format!(
        "DELETE FROM logout_tokens WHERE digest IN \
             (SELECT digest FROM logout_tokens WHERE forget_us < {now} ORDER BY forget_us LIMIT {FORGOTTEN_MAX})"
    );
    db.query(&forget, &[]).await?;
    let remember = format!(
        "INSERT INTO logout_tokens (digest, forget_us) VALUES ($1, {now} + $2) ON CONFLICT (digest) DO NOTHING"
    );
    db.query(&remember, &[digest[..].into(), span(keep).into()])
        .await?;
    Ok(())
}
