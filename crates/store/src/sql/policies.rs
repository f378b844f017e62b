//! Policies as rows.

use portcullis_contract::id::TenantId;

use super::{columns::columns, db::Db};
use crate::StoreError;
use portcullis_domain::Policy;

columns! {
    /// A policy with its version.
    PolicyColumns { policy, version }
}

/// The version of the policy of `tenant`, as an expression. 0: the tenant has set none.
pub(super) fn version_of(tenant: &str) -> String {
    format!("COALESCE((SELECT p.version FROM policies p WHERE p.tenant_id = {tenant}), 0)")
}

/// Finds a tenant's policy with its version.
pub(super) async fn find(
    db: &mut Db,
    tenant: &TenantId,
) -> Result<Option<(Policy, u64)>, StoreError> {
    let sql = format!(
        "SELECT {} FROM policies WHERE tenant_id = $1",
        PolicyColumns::names()
    );
    let rows = db.query(&sql, &[tenant.into()]).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let columns = PolicyColumns::AT;
    // The text of the parser's error may repeat values of the policy, so it is dropped.
    let policy = Policy::decode(&row.text(columns.policy)?)
        .map_err(|_| StoreError::Internal("a policy is not of this version".into()))?;
    Ok(Some((policy, row.unsigned(columns.version)?)))
}
