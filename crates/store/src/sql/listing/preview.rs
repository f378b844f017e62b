//! Previews of calls that end sessions: their number and a sample.

use std::cmp::Reverse;

use portcullis_contract::id::{SessionId, TenantId, UserId};

use super::{
    super::{
        columns::{ONLY, columns},
        connection::{Dialect, Statement},
        db::Db,
        row::{Row, only_row},
        sessions::{SessionKey, find, key_rows},
    },
    conditions::{BY_USER, FENCE, NEWEST, Params, active, of_user, sessions_of_users},
};
use crate::StoreError;
use portcullis_domain::{
    Micros, Preview, Selection, SignedOut,
    listing::{PREVIEW_SAMPLE_MAX, PREVIEW_SESSIONS_MAX},
};

columns! {
    /// A selected session.
    SelectedColumns { session_id, is_active }
}

columns! {
    /// The sessions that a sign-out ends, and those that were looked at for it.
    EndingColumns { active, examined }
}

/// One more than a preview counts, so that the caller can tell "as many as" from "more than".
const LIMIT: u32 = PREVIEW_SESSIONS_MAX + 1;

/// Counts the active sessions of a tenant, up to `max`.
pub(in crate::sql) async fn count(
    db: &mut Db,
    tenant: &TenantId,
    max: u32,
) -> Result<u32, StoreError> {
    let sql = format!(
        "SELECT count(*) FROM (SELECT 1 FROM sessions s WHERE s.tenant_id = $1 AND {} \
         ORDER BY s.session_id DESC LIMIT $2) c",
        active(&db.dialect, "$1")
    );
    let rows = db
        .query(&sql, &[tenant.into(), i64::from(max).into()])
        .await?;
    // An aggregate always answers with a row, so 0 stands for a case that cannot happen.
    rows.first().map_or(Ok(0), |row| row.count(ONLY))
}

/// Previews the active sessions of a selection. Returns none when a session that it names does not exist.
pub(in crate::sql) async fn preview(
    db: &mut Db,
    tenant: &TenantId,
    selection: &Selection,
) -> Result<Option<Preview>, StoreError> {
    let statement = match selection {
        Selection::Sessions(ids) => of_sessions(&db.dialect, tenant, ids),
        Selection::Users(users, keep) => of_users(&db.dialect, tenant, users, *keep),
        Selection::Tenant => of_tenant(&db.dialect, tenant),
    };
    let rows = db.run(&statement).await?;
    if let Selection::Sessions(ids) = selection
        && rows.len() < ids.len()
    {
        return Ok(None);
    }

    let active = read_active(&rows)?;
    Ok(Some(preview_of(db, tenant, active).await?))
}

/// Counts the active sessions of users or of a tenant that a sign-out ends, in the transaction of the log.
///
/// The rows that are read are bounded, and not only the active ones among them: a tenant that was signed out a moment ago
/// has a million ended sessions before the first active one.
pub(in crate::sql) async fn count_ending(
    db: &mut Db,
    tenant: &TenantId,
    selection: &Selection,
) -> Result<SignedOut, StoreError> {
    let statement = ending_statement(&db.dialect, tenant, selection);
    let rows = db.run(&statement).await?;
    let row = only_row(&rows, "the count of sessions")?;
    let columns = EndingColumns::AT;
    let active = row.count(columns.active)?;
    let examined = row.count(columns.examined)?;
    Ok(SignedOut {
        sessions: active.min(SignedOut::COUNTED_MAX),
        is_capped: active > SignedOut::COUNTED_MAX || examined >= SignedOut::EXAMINED_MAX,
        unknown: Vec::new(),
    })
}

fn ending_statement(dialect: &Dialect, tenant: &TenantId, selection: &Selection) -> Statement {
    let mut params = Params::default();
    let tenant = params.bind(tenant);
    let limit = SignedOut::EXAMINED_MAX;
    let (with, of) = match selection {
        Selection::Users(users, keep) => {
            ending_of_users(dialect, &mut params, &tenant, (users, *keep))
        }
        // The newest first: they are the likeliest to be active.
        _ => (
            String::new(),
            format!(
                "SELECT s.* FROM sessions s WHERE s.tenant_id = {tenant} ORDER BY s.session_id DESC LIMIT {limit}"
            ),
        ),
    };
    let count = select_ending(dialect, &tenant);
    Statement::new(format!("{with}SELECT {count} FROM ({of}) s"), params.0)
}

fn select_ending(dialect: &Dialect, tenant: &str) -> String {
    let columns = EndingColumns {
        active: format!(
            "COALESCE(sum(CASE WHEN {} THEN 1 ELSE 0 END), 0)",
            active(dialect, tenant)
        ),
        examined: "count(*)".to_owned(),
    };
    columns.select()
}

/// The sessions of users without the one that stays, and the `WITH` clause that they need.
fn ending_of_users(
    dialect: &Dialect,
    params: &mut Params,
    tenant: &str,
    (users, keep): (&[UserId], Option<SessionId>),
) -> (String, String) {
    let keep = bind_kept(params, keep);
    let ids: Vec<_> = users.iter().map(ToString::to_string).collect();
    let with = params.with_user_ids(&ids);
    let of = format!(
        "SELECT s.* FROM {from} WHERE s.tenant_id = {tenant} AND {BY_USER} AND s.user_id = v.user_id \
         AND s.session_id <> {keep} LIMIT {limit}",
        from = sessions_of_users(dialect),
        limit = SignedOut::EXAMINED_MAX,
    );
    (with, of)
}

fn bind_kept(params: &mut Params, keep: Option<SessionId>) -> String {
    // No session has the id of zeros. So one text, prepared once, serves sign-outs that keep a
    // session and those that keep none.
    let keep = keep.map_or([0; 16], SessionId::to_bytes);
    params.bind(&keep[..])
}

async fn preview_of(
    db: &mut Db,
    tenant: &TenantId,
    mut active: Vec<SessionId>,
) -> Result<Preview, StoreError> {
    // Newest first, whatever order the statement had: the sample shows the newest.
    active.sort_unstable_by_key(|id| Reverse(id.to_bytes()));
    let sessions = u32::try_from(active.len()).unwrap_or(u32::MAX);
    active.truncate(PREVIEW_SAMPLE_MAX as usize);

    // As they are now: a session that has ended meanwhile is shown as ended.
    let keys: Vec<SessionKey> = active.iter().map(|id| (tenant.clone(), *id)).collect();
    let mut sample = Vec::with_capacity(keys.len());
    let mut now = Micros::default();
    if !keys.is_empty() {
        for (session, time) in find(db, &keys).await?.into_iter().flatten() {
            sample.push(session);
            now = time;
        }
    }
    Ok(Preview {
        sessions,
        sample,
        now,
    })
}

fn read_active(rows: &[Row]) -> Result<Vec<SessionId>, StoreError> {
    let columns = SelectedColumns::AT;
    let mut active = Vec::with_capacity(rows.len());
    for row in rows {
        if row.is_true(columns.is_active)? {
            active.push(row.session_id(columns.session_id)?);
        }
    }
    Ok(active)
}

fn of_sessions(dialect: &Dialect, tenant: &TenantId, ids: &[SessionId]) -> Statement {
    let keys: Vec<SessionKey> = ids.iter().map(|id| (tenant.clone(), *id)).collect();
    let mut keys = key_rows(&keys);
    let tenant = keys.push(tenant);
    let active = active(dialect, &tenant);
    let columns = SelectedColumns {
        session_id: "s.session_id",
        is_active: &format!("CASE WHEN {active} THEN 1 ELSE 0 END"),
    };
    let sql = format!(
        "SELECT {columns} FROM sessions s WHERE (s.tenant_id, s.session_id) IN {keys}",
        columns = columns.select(),
        keys = keys.list(),
    );
    Statement::new(sql, keys.into_params())
}

/// The columns of a statement that selects only active sessions.
fn select_active() -> String {
    let columns = SelectedColumns {
        session_id: "s.session_id",
        is_active: "1",
    };
    columns.select()
}

/// The sessions of one user are its newest. Of the sessions of several users, any are counted up to the limit.
fn of_users(
    dialect: &Dialect,
    tenant: &TenantId,
    users: &[UserId],
    keep: Option<SessionId>,
) -> Statement {
    let mut params = Params::default();
    let tenant = params.bind(tenant);
    let keep = bind_kept(&mut params, keep);
    let and = format!("s.session_id <> {keep} AND {}", active(dialect, &tenant));
    let sql = match users {
        [user] => newest_of_user(&mut params, &tenant, user, &and),
        _ => any_of_users(dialect, &mut params, &tenant, users, &and),
    };
    Statement::new(sql, params.0)
}

fn newest_of_user(params: &mut Params, tenant: &str, user: &UserId, and: &str) -> String {
    let user = params.bind(user);
    let newest = params.bind(&NEWEST[..]);
    let (of, order) = of_user(&user, &newest);
    format!(
        "SELECT {select} FROM sessions s WHERE s.tenant_id = {tenant} AND {of} AND {and} ORDER BY {order} \
         LIMIT {LIMIT}",
        select = select_active(),
    )
}

fn any_of_users(
    dialect: &Dialect,
    params: &mut Params,
    tenant: &str,
    users: &[UserId],
    and: &str,
) -> String {
    // In the order of the users, not of the sessions: sorting the sessions of a thousand users would
    // cost more than a preview is worth.
    let ids: Vec<_> = users.iter().map(ToString::to_string).collect();
    let with = params.with_user_ids(&ids);
    format!(
        "{with}SELECT {select} FROM (SELECT s.session_id FROM {from} \
         WHERE s.tenant_id = {tenant} AND {BY_USER} AND s.user_id = v.user_id AND {and} {FENCE}) s LIMIT {LIMIT}",
        select = select_active(),
        from = sessions_of_users(dialect),
    )
}

fn of_tenant(dialect: &Dialect, tenant: &TenantId) -> Statement {
    let sql = format!(
        "SELECT {select} FROM sessions s WHERE s.tenant_id = $1 AND {active} ORDER BY s.session_id DESC LIMIT {LIMIT}",
        select = select_active(),
        active = active(dialect, "$1"),
    );
    Statement::new(sql, [tenant.into()])
}
