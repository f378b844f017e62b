//! The number of a user's active sessions: counted before one opens, and reduced afterwards if it is too large.
//!
//! Sign-ins of a user whose number is limited take turns by a lock on the user. Serials are taken under that lock, so
//! their order is the order in which the sessions opened, whichever authority opened them. "Newest" and "oldest" mean
//! this order.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use portcullis_contract::id::{Serial, SessionId};

use super::super::{
    columns::columns,
    connection::{Dialect, Statement},
    cutoffs::IS_CUT,
    db::Db,
    listing::conditions::{BY_USER, FENCE},
    row::Row,
    users::{UserKey, UserKeyColumns},
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
    /// The serial of the newest session that has to make room for a session.
    SurplusColumns { session_id, newest }
}

columns! {
    /// A session that has to make room.
    ExcessColumns { session_id, serial }
}

/// Makes sign-ins of the same users wait for each other, and returns those whose users are locked. A user that is not
/// known yet cannot be locked: somebody else may be opening the first session.
pub(super) async fn lock_users<'a>(
    db: &mut Db,
    group: &[&'a SignIn],
) -> Result<Vec<&'a SignIn>, StoreError> {
    if !need_turns(&db.dialect, group) {
        return Ok(group.to_vec());
    }
    let statement = lock_statement(&db.dialect, group);
    let locked = read_locked(&db.run(&statement).await?)?;

    // A user who was inserted since is not among them, though the insert would find the row.
    // Without the lock two such sign-ins could pass the limit together.
    let mut of_locked = group.to_vec();
    of_locked.retain(|new| locked.contains(&(new.tenant_id.clone(), new.user_id.clone())));
    Ok(of_locked)
}

/// Returns true if two of these sign-ins at a time could pass a limit together.
fn need_turns(dialect: &Dialect, group: &[&SignIn]) -> bool {
    let is_only_writer = dialect.lock_rows.is_empty();
    !is_only_writer && group.iter().any(|new| new.session_limit.is_some())
}

fn lock_statement(dialect: &Dialect, group: &[&SignIn]) -> Statement {
    // In key order, like every transaction that locks several users: none can wait for another in a circle.
    let mut users = BTreeSet::new();
    for new in group {
        users.insert((&new.tenant_id, &new.user_id));
    }
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
        "{with_v} SELECT {columns} FROM v JOIN users s ON s.tenant_id = v.tenant_id AND s.user_id = v.user_id \
         ORDER BY v.number {lock}",
        with_v = rows.with_v(),
        columns = UserKeyColumns::of("s"),
        lock = dialect.lock_rows,
    );
    Statement::new(sql, rows.into_params())
}

fn read_locked(rows: &[Row]) -> Result<BTreeSet<UserKey>, StoreError> {
    let columns = UserKeyColumns::AT;
    let mut locked = BTreeSet::new();
    for row in rows {
        locked.insert((
            row.tenant_id(columns.tenant_id)?,
            row.user_id(columns.user_id)?,
        ));
    }
    Ok(locked)
}

/// The condition that the session `s` is active. Each session is compared with its own cutoffs.
fn active(dialect: &Dialect) -> String {
    format!(
        "s.end_event IS NULL AND s.expires_us > {} AND NOT {IS_CUT}",
        dialect.now
    )
}

/// The number of active sessions of the user `u`, without the one that the sign-in `v` replaces.
///
/// Every subquery here takes the user as a range, and in the order of the index by user. So no other index looks as good
/// to a planner that has seen few rows: that of the tenant would read all its sessions.
pub(super) fn count(dialect: &Dialect) -> String {
    format!(
        "(SELECT count(*) FROM (SELECT 1 FROM sessions s {by_user} WHERE s.tenant_id = u.tenant_id AND {BY_USER} \
             AND s.user_id >= u.user_id AND s.user_id <= u.user_id \
             AND (v.replaces IS NULL OR s.session_id <> v.replaces) AND {active} \
             ORDER BY s.user_id DESC, s.session_id DESC {FENCE}) c)",
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

/// The statement that finds for whom of `group` there is no room beside them: the newest session that is too many, by
/// its serial. None where nobody's sessions have to make room.
pub(super) fn find_surplus(dialect: &Dialect, group: &[&SignIn]) -> Option<Statement> {
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
    // A subquery for each session, so that each goes by the index of its user. Only sessions that opened no later are
    // ranked, so an older sign-in never ends a newer session. One that was not opened has no serial, and ends none.
    let newest = format!(
        "(SELECT max(r.serial) FROM (SELECT n.serial AS serial, row_number() OVER (ORDER BY n.serial DESC) AS place \
             FROM (SELECT s.serial AS serial FROM sessions s {by_user} WHERE s.tenant_id = v.tenant_id AND {BY_USER} \
                 AND s.user_id >= v.user_id AND s.user_id <= v.user_id \
                 AND (v.replaces IS NULL OR s.session_id <> v.replaces) \
                 AND s.serial <= (SELECT o.serial FROM sessions o \
                     WHERE o.tenant_id = v.tenant_id AND o.session_id = v.session_id) \
                 AND {active} ORDER BY s.user_id DESC, s.session_id DESC {FENCE}) n) r \
         WHERE r.place > v.sessions_max)",
        by_user = (dialect.by_index)("sessions_by_user"),
        active = active(dialect),
    );
    let columns = SurplusColumns {
        session_id: "v.session_id",
        newest: &newest,
    };
    let sql = format!("{} SELECT {} FROM v", rows.with_v(), columns.select());
    Some(Statement::new(sql, rows.into_params()))
}

/// Reads the answer to [`find_surplus`]: the serial of the newest session that is too many, by the session that it has
/// to make room for.
pub(super) fn read_surplus(rows: &[Row]) -> Result<HashMap<[u8; 16], Serial>, StoreError> {
    let columns = SurplusColumns::AT;
    let mut surplus = HashMap::new();
    for row in rows {
        if row.optional_int(columns.newest)?.is_some() {
            surplus.insert(row.array(columns.session_id)?, row.serial(columns.newest)?);
        }
    }
    Ok(surplus)
}

/// The statement that lists the active sessions of the user of a sign-in that opened no later than `newest`.
pub(super) fn list_excess(dialect: &Dialect, new: &SignIn, newest: Serial) -> Statement {
    let sql = format!(
        "SELECT {columns} FROM sessions s {by_user} WHERE s.tenant_id = $1 AND {BY_USER} \
             AND s.user_id >= $2 AND s.user_id <= $2 AND s.serial <= $3 \
             AND ($4 IS NULL OR s.session_id <> $4) AND {active} \
         ORDER BY s.user_id DESC, s.session_id DESC LIMIT {EXCESS_SESSIONS_MAX}",
        columns = ExcessColumns::of("s"),
        by_user = (dialect.by_index)("sessions_by_user"),
        active = active(dialect),
    );
    let values: [Value; 4] = [
        (&new.tenant_id).into(),
        (&new.user_id).into(),
        newest.into(),
        new.replaces.into(),
    ];
    Statement::new(sql, values)
}

/// Reads the answer to [`list_excess`], newest first.
pub(super) fn read_excess(rows: &[Row]) -> Result<Vec<SessionId>, StoreError> {
    let columns = ExcessColumns::AT;
    let mut by_serial = BTreeMap::new();
    for row in rows {
        by_serial.insert(
            row.serial(columns.serial)?,
            row.session_id(columns.session_id)?,
        );
    }
    Ok(by_serial.into_values().rev().collect())
}

/// Finds the sessions that the session of a sign-in, which is open, leaves no room for.
pub(in crate::sql) async fn find_excess(
    db: &mut Db,
    new: &SignIn,
) -> Result<Vec<SessionId>, StoreError> {
    let Some(statement) = find_surplus(&db.dialect, &[new]) else {
        return Ok(Vec::new());
    };
    let surplus = read_surplus(&db.run(&statement).await?)?;
    let Some(newest) = surplus.get(&new.id.to_bytes()) else {
        return Ok(Vec::new());
    };
    let statement = list_excess(&db.dialect, new, *newest);
    read_excess(&db.run(&statement).await?)
}
