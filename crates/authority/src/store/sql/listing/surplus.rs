//! Sessions beyond the number that a user may have.

use portcullis_contract::id::{SessionId, TenantId, UserId};

use super::{
    super::{Connection, Dialect, sessions::user_id},
    BY_USER, Params, active, id_rows,
};
use crate::store::StoreError;

/// Of these users those who have more than `most` active sessions, each with the newest session that is one too many:
/// it and all older ones are.
pub(in super::super) async fn surplus(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    tenant: &TenantId,
    users: &[String],
    most: u32,
) -> Result<Vec<(UserId, SessionId)>, StoreError> {
    let mut params = Params::default();
    let tenant = params.bind(tenant.as_str());
    let most = params.bind(i64::from(most));
    let sql = format!(
        "SELECT v.column1, (SELECT s.session_id FROM sessions s WHERE s.tenant_id = {tenant} AND {BY_USER} \
             AND s.user_id >= v.column1 AND s.user_id <= v.column1 AND {active} \
             ORDER BY s.user_id DESC, s.session_id DESC LIMIT 1 OFFSET {most}) \
         FROM (VALUES {users}) AS v",
        active = active(dialect, &tenant),
        users = id_rows(&mut params, users),
    );
    let mut surplus = Vec::new();
    for row in connection.query(&sql, &params.0).await? {
        if row.optional_blob(1)?.is_some() {
            surplus.push((user_id(row.text(0)?)?, SessionId::from_bytes(row.array(1)?)));
        }
    }
    Ok(surplus)
}
