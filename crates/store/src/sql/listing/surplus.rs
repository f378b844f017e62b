//! Sessions beyond the number that a user may have.

use portcullis_contract::id::{SessionId, TenantId, UserId};

use super::{
    super::{Connection, Dialect, sessions::user_id},
    BY_USER, Params, active, id_rows, now,
};
use crate::{
    domain::{policy::Limits, time::span},
    store::StoreError,
};

/// Of these users, who are held to `limits`, those who have more active sessions than `most`, each with the newest session
/// that is one too many: it and all older ones are. What ends for another reason, but idleness, does not count.
pub(in super::super) async fn surplus(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    tenant: &TenantId,
    users: &[String],
    limits: &Limits,
    most: u32,
) -> Result<Vec<(UserId, SessionId)>, StoreError> {
    let mut params = Params::default();
    let tenant = params.bind(tenant.as_str());
    let most = params.bind(i64::from(most));
    let mut allowed = vec![active(dialect, &tenant)];
    let [remembered, other] =
        [true, false].map(|remember_me| params.bind(span(limits.lifetime(remember_me))));
    let now = now(dialect);
    allowed.push(format!(
        "s.created_us > {now} - CASE WHEN s.remember_me <> 0 THEN {remembered} ELSE {other} END"
    ));
    if !limits.remember_me_allowed {
        allowed.push("s.remember_me = 0".into());
    }
    if !limits.required_acr.is_empty() {
        let acrs = limits
            .required_acr
            .iter()
            .map(|acr| params.bind(acr.as_str()));
        allowed.push(format!(
            "s.acr IN ({})",
            acrs.collect::<Vec<_>>().join(", ")
        ));
    }
    let sql = format!(
        "SELECT v.column1, (SELECT s.session_id FROM sessions s WHERE s.tenant_id = {tenant} AND {BY_USER} \
             AND s.user_id >= v.column1 AND s.user_id <= v.column1 AND {allowed} \
             ORDER BY s.user_id DESC, s.session_id DESC LIMIT 1 OFFSET {most}) \
         FROM (VALUES {users}) AS v",
        allowed = allowed.join(" AND "),
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
