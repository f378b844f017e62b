//! Policies as rows.

use portcullis_contract::id::TenantId;

use super::Connection;
use crate::{domain::Policy, store::StoreError};

/// A tenant's policy with its version.
pub(super) async fn find(
    connection: &mut dyn Connection,
    tenant: &TenantId,
) -> Result<Option<(Policy, u64)>, StoreError> {
    let sql = "SELECT policy, version FROM policies WHERE tenant_id = $1";
    let rows = connection.query(sql, &[tenant.as_str().into()]).await?;
    let read = |row: &super::Row| Ok((decode(&row.text(0)?)?, row.unsigned(1)?));
    rows.first().map(read).transpose()
}

pub(super) fn decode(json: &str) -> Result<Policy, StoreError> {
    // The parser's words may repeat values.
    Policy::decode(json)
        .map_err(|_| StoreError::Internal("a policy is not one of this version".into()))
}
