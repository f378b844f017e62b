//! Sessions as rows: their columns, and how one is found by its key.

use std::collections::HashMap;

use portcullis_contract::{
    id::{SessionId, TenantId, TenantSerial, UserSerial},
    view::Subject,
};

use super::{
    columns::columns,
    connection::{DbError, Dialect},
    cutoffs::{CUT_EVENT, IS_CUT},
    db::Db,
    json::json,
    row::Row,
    value::Value,
    values::ValueRows,
};
use crate::StoreError;
use portcullis_domain::{Activity, Cause, ClientInfo, Micros, Session, SessionEnd, Sight};

/// The primary key of a session.
pub(super) type SessionKey = (TenantId, SessionId);

columns! {
    /// The primary key.
    SessionKeyColumns { tenant_id, session_id }
}

columns! {
    /// The columns of a [`Session`], but for its end.
    SessionColumns {
        tenant_id,
        session_id,
        serial,
        user_id,
        user_serial,
        tenant_serial,
        opened_revision,
        created_us,
        expires_us,
        remember_me,
        auth_time_us,
        facts,
        acr,
        ip,
        user_agent,
        device_id,
        app_name,
        salt,
        generation,
        rotated_us,
        rotated_before_us,
        rotated_by,
        shared_generation,
        device,
        device_sign_ins,
        place,
        network_beside,
        findings,
        replaces,
        active_us,
        actions,
        active_ip,
        active_page,
    }
}

columns! {
    /// The time at which a session was so.
    TimeColumns after SessionColumns { now_us }
}

columns! {
    /// The audit event that ended a session. All are null for a session that was not ended.
    EndColumns after TimeColumns { at_us, cause, actor, reason, user_message, revision }
}

/// Keys for a statement, in their order.
pub(super) fn key_rows<'a>(keys: impl IntoIterator<Item = &'a SessionKey>) -> ValueRows {
    ValueRows::new(keys.into_iter().map(|(tenant, id)| SessionKeyColumns {
        tenant_id: Value::from(tenant),
        session_id: Value::from(*id),
    }))
}

/// Finds sessions with their ends, in the order of `keys`.
pub(super) async fn find(
    db: &mut Db,
    keys: &[SessionKey],
) -> Result<Vec<Option<(Session, Micros)>>, StoreError> {
    let rows = key_rows(keys);
    let of = format!("(s.tenant_id, s.session_id) IN {}", rows.list());
    let sql = select_with_end(&db.dialect, &of);
    // The answer has no order, and a key that is asked for twice comes once: so the rows are found
    // by key.
    let mut found = HashMap::with_capacity(keys.len());
    for row in db.query(&sql, rows.params()).await? {
        let (session, now) = read_with_end(&row)?;
        found.insert((session.tenant_id.clone(), session.id), (session, now));
    }
    Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
}

/// Finds one session with its end.
pub(super) async fn find_one(
    db: &mut Db,
    key: &SessionKey,
) -> Result<Option<(Session, Micros)>, StoreError> {
    let mut found = find(db, std::slice::from_ref(key)).await?;
    Ok(found.pop().flatten())
}

/// Waits until the row of a session is durable.
pub(super) async fn make_durable(db: &mut Db, (tenant, id): &SessionKey) -> Result<(), DbError> {
    // An earlier commit may have lost its wait for a standby. Its caller was told nothing, and an
    // answer made from the row must not vouch for it before a later commit is durable. Locking a
    // row is a write, so the commit of the lock is that later commit.
    let is_only_writer = db.dialect.lock_rows.is_empty();
    if is_only_writer {
        // Each commit was durable before another statement could see it.
        return Ok(());
    }
    let sql = format!(
        "SELECT s.generation FROM sessions s WHERE s.tenant_id = $1 AND s.session_id = $2 {}",
        db.dialect.lock_rows
    );
    db.query(&sql, &[tenant.into(), (*id).into()]).await?;
    Ok(())
}

/// Selects the sessions `s` that match `of`, newest first, with the audit event that ended each: its own, or that of
/// the first cutoff that covers it.
pub(super) fn select_with_end(dialect: &Dialect, of: &str) -> String {
    // An event after its expiry ended no session. The inner ORDER BY is a fence. Without it
    // PostgreSQL joins the trail by the expression of `ended_by`, cannot look a subquery up in an
    // index, and reads the whole trail for each session. The ordinal comes from within for the same
    // reason: with a constant 0, PostgreSQL may look the trail up by the ordinal alone.
    format!(
        "SELECT {session}, {time}, {end} \
         FROM (SELECT s.*, COALESCE(s.end_event, CASE WHEN {IS_CUT} THEN {CUT_EVENT} END) AS ended_by, \
             0 AS ordinal FROM sessions s \
             WHERE {of} ORDER BY s.session_id DESC) s \
         LEFT JOIN audit_events e ON e.event_id = s.ended_by AND e.ordinal = s.ordinal AND e.at_us < s.expires_us",
        session = SessionColumns::of("s"),
        time = select_time(dialect.now),
        end = EndColumns::of("e"),
    )
}

/// Selects the time under its name.
pub(super) fn select_time(now: &str) -> String {
    TimeColumns { now_us: now }.select()
}

/// Reads [`SessionColumns`], [`TimeColumns`] and [`EndColumns`].
pub(super) fn read_with_end(row: &Row) -> Result<(Session, Micros), StoreError> {
    let end = read_end(row)?;
    Ok((read(row, end)?, row.time(TimeColumns::AT.now_us)?))
}

fn read_end(row: &Row) -> Result<Option<SessionEnd>, StoreError> {
    let columns = EndColumns::AT;
    let Some(at) = row.optional_time(columns.at_us)? else {
        return Ok(None);
    };
    // A cause that this version does not know is an error. Any other answer would show a wrong
    // reason.
    let cause = Cause::from_code(row.int(columns.cause)?)
        .ok_or_else(|| StoreError::Internal("a session ended for an unknown cause".into()))?;
    Ok(Some(SessionEnd {
        at,
        cause,
        actor: row.text(columns.actor)?,
        reason: row.text(columns.reason)?,
        user_message: row.text(columns.user_message)?,
        revision: row.revision(columns.revision)?,
    }))
}

/// Reads [`SessionColumns`].
pub(super) fn read(row: &Row, end: Option<SessionEnd>) -> Result<Session, StoreError> {
    let columns = SessionColumns::AT;
    Ok(Session {
        tenant_id: row.tenant_id(columns.tenant_id)?,
        id: row.session_id(columns.session_id)?,
        user_id: row.user_id(columns.user_id)?,
        subject: read_subject(row)?,
        created: row.time(columns.created_us)?,
        expires: row.time(columns.expires_us)?,
        rotated: row.optional_time(columns.rotated_us)?,
        rotated_before: row.optional_time(columns.rotated_before_us)?,
        rotated_by: read_refreshing_client(row)?,
        shared_generation: read_shared_generation(row)?,
        remember_me: row.is_true(columns.remember_me)?,
        auth_time: row.time(columns.auth_time_us)?,
        facts: row.json(columns.facts)?,
        acr: row.text(columns.acr)?,
        client: read_client(row)?,
        generation: row.unsigned(columns.generation)?,
        salt: row.array(columns.salt)?,
        end,
        sight: read_sight(row)?,
        replaces: read_replaced(row)?,
        activity: read_activity(row)?,
    })
}

fn read_subject(row: &Row) -> Result<Subject, StoreError> {
    let columns = SessionColumns::AT;
    Ok(Subject {
        serial: row.serial(columns.serial)?,
        user: UserSerial(row.unsigned(columns.user_serial)?),
        tenant: TenantSerial(row.unsigned(columns.tenant_serial)?),
        opened: row.revision(columns.opened_revision)?,
    })
}

fn read_client(row: &Row) -> Result<ClientInfo, StoreError> {
    let columns = SessionColumns::AT;
    Ok(ClientInfo {
        ip: row.text(columns.ip)?,
        user_agent: row.text(columns.user_agent)?,
        device_id: row.text(columns.device_id)?,
        app_name: row.text(columns.app_name)?,
    })
}

fn read_sight(row: &Row) -> Result<Sight, StoreError> {
    let columns = SessionColumns::AT;
    Ok(Sight {
        device: row.json(columns.device)?,
        place: row.json(columns.place)?,
        network_beside: row.text(columns.network_beside)?,
        device_sign_ins: row.count(columns.device_sign_ins)?,
        findings: row.json(columns.findings)?,
    })
}

fn read_activity(row: &Row) -> Result<Activity, StoreError> {
    let columns = SessionColumns::AT;
    Ok(Activity {
        last: row.time(columns.active_us)?,
        requests: row.unsigned(columns.actions)?,
        ip: row.text(columns.active_ip)?,
        page: row.text(columns.active_page)?,
    })
}

fn read_replaced(row: &Row) -> Result<Option<SessionId>, StoreError> {
    let replaced = row.optional_array(SessionColumns::AT.replaces)?;
    Ok(replaced.map(SessionId::from_bytes))
}

fn read_shared_generation(row: &Row) -> Result<Option<u64>, StoreError> {
    let column = SessionColumns::AT.shared_generation;
    match row.optional_int(column)? {
        Some(_) => Ok(Some(row.unsigned(column)?)),
        None => Ok(None),
    }
}

/// The client of a refresh as the column `rotated_by` keeps it.
pub(super) fn refreshing_client(client: &ClientInfo) -> String {
    // The application's name is left out: nothing compares it.
    if *client == ClientInfo::default() {
        return String::new();
    }
    json(&(&client.ip, &client.user_agent, &client.device_id))
}

/// Reads the client of the last refresh. The empty text is an unknown client.
fn read_refreshing_client(row: &Row) -> Result<ClientInfo, StoreError> {
    let column = SessionColumns::AT.rotated_by;
    if row.text(column)?.is_empty() {
        return Ok(ClientInfo::default());
    }
    let (ip, user_agent, device_id) = row.json(column)?;
    Ok(ClientInfo {
        ip,
        user_agent,
        device_id,
        app_name: String::new(),
    })
}
