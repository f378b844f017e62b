//! What a call would end: a count, and a sample.

use portcullis_contract::id::{SessionId, TenantId, UserId};

use super::{
    super::{
        Connection, Dialect, Value,
        connection::ValueRows,
        sessions::{read_with_end, select},
    },
    BY_USER, FENCE, NEWEST, Params, active, of_user,
};
use crate::{
    domain::{
        Micros, Preview, Selection, Session,
        listing::{PREVIEW_SAMPLE_MAX, PREVIEW_SESSIONS_MAX},
    },
    store::StoreError,
};

/// Active sessions of a tenant, counted up to `max`.
pub(in super::super) async fn count(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    tenant: &TenantId,
    max: u32,
) -> Result<u32, StoreError> {
    let sql = format!(
        "SELECT count(*) FROM (SELECT 1 FROM sessions s WHERE s.tenant_id = $1 AND {} \
         ORDER BY s.session_id DESC LIMIT $2) c",
        active(dialect, "$1")
    );
    let rows = connection
        .query(&sql, &[tenant.as_str().into(), i64::from(max).into()])
        .await?;
    let count = rows.first().map_or(Ok(0), |row| row.int(0))?;
    Ok(u32::try_from(count).unwrap_or(max))
}

/// The active ones of a selection; none when a session that it names is not there.
pub(in super::super) async fn preview(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    tenant: &TenantId,
    selection: &Selection,
) -> Result<Option<Preview>, StoreError> {
    let (sql, params) = match selection {
        Selection::Sessions(ids) => of_sessions(dialect, tenant, ids),
        Selection::Users(users, keep) => of_users(dialect, tenant, users, *keep),
        Selection::Tenant => of_tenant(dialect, tenant),
    };
    let rows = connection.query(&sql, &params).await?;
    if matches!(selection, Selection::Sessions(ids) if rows.len() < ids.len()) {
        return Ok(None);
    }
    let mut ids = Vec::new();
    for row in &rows {
        if row.int(1)? != 0 {
            ids.push(row.array(0)?);
        }
    }
    ids.sort_unstable_by(|a, b| b.cmp(a));
    let sessions = u32::try_from(ids.len()).unwrap_or(u32::MAX);
    ids.truncate(PREVIEW_SAMPLE_MAX as usize);
    let sample = sample(connection, dialect, tenant, &ids).await?;
    let now = sample.first().map_or(Micros::default(), |(_, now)| *now);
    Ok(Some(Preview {
        sessions,
        sample: sample.into_iter().map(|(session, _)| session).collect(),
        now,
    }))
}

/// Sessions as they are now, newest first. One that has ended meanwhile is shown as ended.
async fn sample(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    tenant: &TenantId,
    ids: &[[u8; 16]],
) -> Result<Vec<(Session, Micros)>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let keys = ValueRows::new(ids.iter().map(|id| [tenant.as_str().into(), id[..].into()]));
    let sql = select(
        dialect,
        &format!("(s.tenant_id, s.session_id) IN (VALUES {})", keys.text),
        "TRUE",
    );
    let rows = connection.query(&sql, &keys.params).await?;
    let mut found = rows
        .iter()
        .map(read_with_end)
        .collect::<Result<Vec<_>, _>>()?;
    found.sort_unstable_by_key(|(session, _)| std::cmp::Reverse(session.id.to_bytes()));
    Ok(found)
}

const LIMIT: u32 = PREVIEW_SESSIONS_MAX + 1;

fn of_sessions(dialect: &Dialect, tenant: &TenantId, ids: &[SessionId]) -> (String, Vec<Value>) {
    let mut keys = ValueRows::new(
        ids.iter()
            .map(|id| [tenant.as_str().into(), id.to_bytes()[..].into()]),
    );
    let tenant = keys.push(tenant.as_str());
    let sql = format!(
        "SELECT s.session_id, CASE WHEN {} THEN 1 ELSE 0 END FROM sessions s \
         WHERE (s.tenant_id, s.session_id) IN (VALUES {})",
        active(dialect, &tenant),
        keys.text,
    );
    (sql, keys.params)
}

/// A single user's are the newest ones; of several users' some are counted.
fn of_users(
    dialect: &Dialect,
    tenant: &TenantId,
    users: &[UserId],
    keep: Option<SessionId>,
) -> (String, Vec<Value>) {
    let mut params = Params::default();
    let (tenant, keep) = (
        params.bind(tenant.as_str()),
        params.bind(&keep.map_or([0; 16], SessionId::to_bytes)[..]),
    );
    let and = format!("s.session_id <> {keep} AND {}", active(dialect, &tenant));
    let sql = if let [user] = users {
        let (of, order) = of_user(&params.bind(user.as_str()), &params.bind(&NEWEST[..]));
        format!(
            "SELECT s.session_id, 1 FROM sessions s WHERE s.tenant_id = {tenant} AND {of} AND {and} ORDER BY {order} \
             LIMIT {LIMIT}"
        )
    } else {
        let ids: Vec<_> = users.iter().map(ToString::to_string).collect();
        format!(
            "SELECT s.session_id, 1 FROM (SELECT s.session_id FROM {from} \
             WHERE s.tenant_id = {tenant} AND {BY_USER} AND s.user_id = v.column1 AND {and} {FENCE}) s LIMIT {LIMIT}",
            from = super::of_users(dialect, &mut params, &ids)
        )
    };
    (sql, params.0)
}

fn of_tenant(dialect: &Dialect, tenant: &TenantId) -> (String, Vec<Value>) {
    let sql = format!(
        "SELECT s.session_id, 1 FROM sessions s WHERE s.tenant_id = $1 AND {} ORDER BY s.session_id DESC LIMIT {LIMIT}",
        active(dialect, "$1")
    );
    (sql, vec![tenant.as_str().into()])
}
