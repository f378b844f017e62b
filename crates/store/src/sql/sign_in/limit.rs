//! The number of a user's active sessions: counted before one opens, and what is beyond it afterwards.
//!
//! Sign-ins of a user whose number is limited take turns by a lock on the user. Serials are taken under that lock, so
//! their order is the order in which the sessions opened, whichever authority opened them. "Newest" and "oldest" mean
//! this order.

use std::collections::{BTreeSet, HashMap};

use portcullis_contract::id::{SessionId, TenantId, UserId};

use super::super::{
    columns::columns,
    connection::{Dialect, Statement},
    cutoffs::IS_CUT,
    db::Db,
    listing::conditions::{BY_USER, sessions_of_users},
    row::Row,
    value::Value,
    values::ValueRows,
};
use crate::StoreError;
use portcullis_domain::{EXCESS_SESSIONS_MAX, OTHER_SESSIONS_MAX, SignIn};

/// The most rows of a user's sessions, the newest first, among which the other active sessions are counted. It bounds
/// the cost of a sign-in whose user has opened and ended very many.
const OTHERS_LOOKED_AT_MAX: u32 = 1_000;

columns! {
    /// A user to lock, with its place in the order of locks.
    LockColumns { tenant_id, user_id, number }
}

columns! {
    /// A session that older ones may have to make room for.
    RoomColumns { tenant_id, user_id, session_id, replaces, sessions_max }
}

columns! {
    /// A session that is beyond the number, the session that it makes room for, and its place among the user's sessions.
    ExcessColumns { for_session, session_id, place }
}

/// The sessions beyond the number, newest first, by the session that they make room for.
pub(super) type Excess = HashMap<[u8; 16], Vec<SessionId>>;

/// The statement that makes sign-ins of the same users wait for each other. None where there is only one writer.
pub(super) fn lock(dialect: &Dialect, group: &[&SignIn]) -> Option<Statement> {
    let is_only_writer = dialect.lock_rows.is_empty();
    if is_only_writer || group.iter().all(|new| new.session_limit.is_none()) {
        return None;
    }
    // In key order, like every transaction that locks several users: none can wait for another in a circle.
    let users: BTreeSet<(&TenantId, &UserId)> = group
        .iter()
        .map(|new| (&new.tenant_id, &new.user_id))
        .collect();
    let rows = ValueRows::new(
        (0_i64..)
            .zip(users)
            .map(|(number, (tenant, user))| LockColumns {
                tenant_id: Value::from(tenant),
                user_id: Value::from(user),
                number: number.into(),
            }),
    );
    let sql = format!(
        "{with_v} SELECT s.user_serial FROM v JOIN users s ON s.tenant_id = v.tenant_id AND s.user_id = v.user_id \
         ORDER BY v.number {lock}",
        with_v = rows.with_v(),
        lock = dialect.lock_rows,
    );
    Some(Statement::new(sql, rows.into_params()))
}

/// The condition that the session `s` is active. Each session is compared with its own cutoffs.
fn active(dialect: &Dialect) -> String {
    format!(
        "s.end_event IS NULL AND s.expires_us > {} AND NOT {IS_CUT}",
        dialect.now
    )
}

/// The number of active sessions of the user `u`, without the one that the sign-in `v` replaces.
pub(super) fn count(dialect: &Dialect) -> String {
    format!(
        "(SELECT count(*) FROM sessions s {by_user} WHERE s.tenant_id = u.tenant_id AND {BY_USER} \
             AND s.user_id = u.user_id AND (v.replaces IS NULL OR s.session_id <> v.replaces) AND {active})",
        by_user = (dialect.by_index)("sessions_by_user"),
        active = active(dialect),
    )
}

/// The number of other active sessions of the user of the row of `sessions`, without the one that it replaces. Counted
/// up to one more than [`OTHER_SESSIONS_MAX`].
pub(super) fn others(dialect: &Dialect) -> String {
    // The user is a range, not an equality: so the order is that of the index by user, and no other index looks as good.
    format!(
        "(SELECT count(*) FROM (SELECT 1 FROM (SELECT s.* FROM sessions s {by_user} \
             WHERE s.tenant_id = sessions.tenant_id AND {BY_USER} \
             AND s.user_id >= sessions.user_id AND s.user_id <= sessions.user_id \
             ORDER BY s.user_id DESC, s.session_id DESC LIMIT {OTHERS_LOOKED_AT_MAX}) s \
         WHERE s.session_id <> sessions.session_id AND (sessions.replaces IS NULL OR s.session_id <> sessions.replaces) \
             AND {active} LIMIT {capped}) c)",
        by_user = (dialect.by_index)("sessions_by_user"),
        active = active(dialect),
        capped = OTHER_SESSIONS_MAX + 1,
    )
}

/// The statement that finds the sessions that the sessions of `group` leave no room for. None where nobody's sessions
/// have to make room.
pub(super) fn excess(dialect: &Dialect, group: &[&SignIn]) -> Option<Statement> {
    let mut wanted = Vec::new();
    for new in group {
        wanted.extend(new.ends_beyond().map(|sessions_max| RoomColumns {
            tenant_id: Value::from(&new.tenant_id),
            user_id: (&new.user_id).into(),
            session_id: new.id.into(),
            replaces: new.replaces.into(),
            sessions_max: i64::from(sessions_max).into(),
        }));
    }
    if wanted.is_empty() {
        return None;
    }
    let rows = ValueRows::new(wanted);
    // Only sessions that opened no later than that one are ranked, so an older sign-in never ends a newer session. The
    // rank is dense and the answer distinct, because the padding of the rows repeats the last one. A session that was
    // not opened has no serial, and nothing makes room for it.
    let sql = format!(
        "{with_v} SELECT DISTINCT {columns} FROM (\
             SELECT v.session_id AS for_session, s.session_id AS session_id, v.sessions_max AS sessions_max, \
                 dense_rank() OVER (PARTITION BY v.session_id ORDER BY s.serial DESC) AS place \
             FROM {sessions} WHERE s.tenant_id = v.tenant_id AND {BY_USER} AND s.user_id = v.user_id \
                 AND (v.replaces IS NULL OR s.session_id <> v.replaces) \
                 AND s.serial <= (SELECT n.serial FROM sessions n \
                     WHERE n.tenant_id = v.tenant_id AND n.session_id = v.session_id) \
                 AND {active}) r \
         WHERE r.place > r.sessions_max AND r.place <= r.sessions_max + {EXCESS_SESSIONS_MAX} ORDER BY r.place",
        with_v = rows.with_v(),
        columns = ExcessColumns::of("r"),
        sessions = sessions_of_users(dialect),
        active = active(dialect),
    );
    Some(Statement::new(sql, rows.into_params()))
}

/// Reads the answer to [`excess`].
pub(super) fn read_excess(rows: &[Row]) -> Result<Excess, StoreError> {
    let columns = ExcessColumns::AT;
    let mut excess = Excess::new();
    for row in rows {
        let for_session = row.array(columns.for_session)?;
        let of_session: &mut Vec<_> = excess.entry(for_session).or_default();
        of_session.push(row.session_id(columns.session_id)?);
    }
    Ok(excess)
}

/// Finds the sessions that the session of a sign-in, which is open, leaves no room for.
pub(in crate::sql) async fn find_excess(
    db: &mut Db,
    new: &SignIn,
) -> Result<Vec<SessionId>, StoreError> {
    let Some(statement) = excess(&db.dialect, &[new]) else {
        return Ok(Vec::new());
    };
    let rows = db.run(&statement).await?;
    let mut found = read_excess(&rows)?;
    Ok(found.remove(&new.id.to_bytes()).unwrap_or_default())
}
