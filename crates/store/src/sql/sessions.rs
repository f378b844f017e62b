//! Sessions as rows.

use std::collections::HashMap;

use portcullis_contract::{
    id::{Serial, SessionId, TenantId, TenantSerial, UserId, UserSerial},
    position::Revision,
    view::Subject,
};
use serde::{Serialize, de::DeserializeOwned};

use super::{Connection, DbError, Dialect, Row, SessionKey, connection::ValueRows};
use crate::{
    domain::{Activity, Cause, ClientInfo, Micros, Session, SessionEnd, Sight},
    store::StoreError,
};

/// The columns of a session, in the order in which [`read`] takes them.
pub(super) const COLUMNS: [&str; 33] = [
    "tenant_id",
    "session_id",
    "serial",
    "user_id",
    "user_serial",
    "tenant_serial",
    "opened_revision",
    "created_us",
    "expires_us",
    "rotated_us",
    "remember_me",
    "auth_time_us",
    "amr",
    "acr",
    "audiences",
    "ip",
    "user_agent",
    "device_id",
    "app_name",
    "generation",
    "salt",
    "device",
    "place",
    "device_sign_ins",
    "findings",
    "replaces",
    "active_us",
    "actions",
    "active_ip",
    "active_page",
    "rotated_before_us",
    "rotated_by",
    "shared_generation",
];

/// Whether a cutoff covers the session `s`: one look-up in the index for each scope, most of which find nothing.
pub(super) const IS_CUT: &str = "((SELECT c.revision FROM cutoffs c WHERE c.scope = 1 \
         AND c.scope_serial = s.user_serial AND c.revision > s.opened_revision AND c.exempt_serial <> s.serial \
         LIMIT 1) IS NOT NULL \
     OR (SELECT c.revision FROM cutoffs c WHERE c.scope = 2 \
         AND c.scope_serial = s.tenant_serial AND c.revision > s.opened_revision AND c.exempt_serial <> s.serial \
         LIMIT 1) IS NOT NULL \
     OR (SELECT c.revision FROM cutoffs c WHERE c.scope = 3 \
         AND c.scope_serial = 0 AND c.revision > s.opened_revision AND c.exempt_serial <> s.serial \
         LIMIT 1) IS NOT NULL)";

/// The audit event of the first cutoff that covers the session `s`, which there is when [`IS_CUT`] says so: the first of each scope by the index, which has them
/// in order, and of these three the first.
pub(super) const CUT_EVENT: &str = "(SELECT c.event_id FROM (\
     SELECT * FROM (SELECT c.event_id, c.revision FROM cutoffs c WHERE c.scope = 1 \
         AND c.scope_serial = s.user_serial AND c.revision > s.opened_revision AND c.exempt_serial <> s.serial \
         ORDER BY c.revision LIMIT 1) c1 UNION ALL \
     SELECT * FROM (SELECT c.event_id, c.revision FROM cutoffs c WHERE c.scope = 2 \
         AND c.scope_serial = s.tenant_serial AND c.revision > s.opened_revision AND c.exempt_serial <> s.serial \
         ORDER BY c.revision LIMIT 1) c2 UNION ALL \
     SELECT * FROM (SELECT c.event_id, c.revision FROM cutoffs c WHERE c.scope = 3 \
         AND c.scope_serial = 0 AND c.revision > s.opened_revision AND c.exempt_serial <> s.serial \
         ORDER BY c.revision LIMIT 1) c3) c ORDER BY c.revision LIMIT 1)";

/// Waits until what the row of a session says is durable. An earlier commit may have lost its wait for a standby: its
/// caller was told nothing, and whoever reads the row must not vouch for it before a commit after it is durable. Locking
/// a row is a write.
pub(super) async fn make_durable(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    (tenant, id): &SessionKey,
) -> Result<(), DbError> {
    if dialect.lock_rows.is_empty() {
        // Whoever writes is alone, and each of its commits is durable when it is seen.
        return Ok(());
    }
    let sql = format!(
        "SELECT s.generation FROM sessions s WHERE s.tenant_id = $1 AND s.session_id = $2 {}",
        dialect.lock_rows
    );
    let key = [tenant.as_str().into(), id.to_bytes()[..].into()];
    connection.query(&sql, &key).await.map(drop)
}

/// Sessions with how they ended, in the order of `keys`.
pub(super) async fn find(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    keys: &[SessionKey],
) -> Result<Vec<Option<(Session, Micros)>>, StoreError> {
    let rows = key_rows(keys);
    let sql = select(
        dialect,
        &format!("(s.tenant_id, s.session_id) IN (VALUES {})", rows.text),
        "TRUE",
    );
    let found = connection.query(&sql, &rows.params).await?;
    let by_key = |row| read_with_end(row).and_then(|(session, now)| by_key(session, now));
    let found = found
        .iter()
        .map(by_key)
        .collect::<Result<HashMap<_, _>, _>>()?;
    Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
}

fn key_rows(keys: &[SessionKey]) -> ValueRows {
    ValueRows::new(
        keys.iter()
            .map(|(tenant, id)| [tenant.as_str().into(), id.to_bytes()[..].into()]),
    )
}

pub(super) fn by_key(
    session: Session,
    now: Micros,
) -> Result<(SessionKey, (Session, Micros)), StoreError> {
    Ok(((session.tenant_id.clone(), session.id), (session, now)))
}

/// Sessions, newest first, with the audit event that ended them: their own, or that of the first cutoff that covers
/// them. What came after its expiry ended no session.
///
/// The inner order is a fence: PostgreSQL would join by the expression for `ended_by` itself, whose subquery it cannot
/// look up in an index, and read the whole trail for each session. It also hides that the ordinal is 0, by which alone
/// the trail might be read.
pub(super) fn select(dialect: &Dialect, of: &str, and: &str) -> String {
    format!(
        "SELECT s.{columns}, {now}, e.at_us, e.cause, e.actor, e.reason, e.user_message, e.revision \
         FROM (SELECT s.*, COALESCE(s.end_event, CASE WHEN {IS_CUT} THEN {CUT_EVENT} END) AS ended_by, \
             0 AS ordinal FROM sessions s \
             WHERE {of} ORDER BY s.session_id DESC) s \
         LEFT JOIN audit_events e ON e.event_id = s.ended_by AND e.ordinal = s.ordinal AND e.at_us < s.expires_us \
         WHERE {and}",
        columns = COLUMNS.join(", s."),
        now = dialect.now,
    )
}

pub(super) fn read_with_end(row: &Row) -> Result<(Session, Micros), StoreError> {
    let end = COLUMNS.len() + 1;
    let ended = row.optional_int(end)?.map(|at| {
        let cause = Cause::from_code(row.int(end + 1)?)
            .ok_or_else(|| StoreError::Internal("unknown cause".into()))?;
        Ok::<_, StoreError>(SessionEnd {
            at: Micros(at),
            cause,
            actor: row.text(end + 2)?,
            reason: row.text(end + 3)?,
            user_message: row.text(end + 4)?,
            revision: Revision(row.unsigned(end + 5)?),
        })
    });
    Ok((
        read(row, ended.transpose()?)?,
        Micros(row.int(COLUMNS.len())?),
    ))
}

/// Reads [`COLUMNS`].
pub(super) fn read(row: &Row, end: Option<SessionEnd>) -> Result<Session, StoreError> {
    Ok(Session {
        tenant_id: tenant_id(row.text(0)?)?,
        id: SessionId::from_bytes(row.array(1)?),
        user_id: user_id(row.text(3)?)?,
        subject: Subject {
            serial: Serial(row.unsigned(2)?),
            user: UserSerial(row.unsigned(4)?),
            tenant: TenantSerial(row.unsigned(5)?),
            opened: Revision(row.unsigned(6)?),
        },
        created: Micros(row.int(7)?),
        expires: Micros(row.int(8)?),
        rotated: row.optional_int(9)?.map(Micros),
        rotated_before: row.optional_int(30)?.map(Micros),
        rotated_by: read_rotating_client(&row.text(31)?)?,
        shared_generation: match row.optional_int(32)? {
            Some(_) => Some(row.unsigned(32)?),
            None => None,
        },
        remember_me: row.int(10)? != 0,
        auth_time: Micros(row.int(11)?),
        amr: from_json(&row.text(12)?)?,
        acr: row.text(13)?,
        audiences: from_json(&row.text(14)?)?,
        client: ClientInfo {
            ip: row.text(15)?,
            user_agent: row.text(16)?,
            device_id: row.text(17)?,
            app_name: row.text(18)?,
        },
        generation: row.unsigned(19)?,
        salt: row.array(20)?,
        end,
        sight: Sight {
            device: read_json(&row.text(21)?)?,
            place: read_json(&row.text(22)?)?,
            device_sign_ins: u32::try_from(row.int(23)?).unwrap_or(u32::MAX),
            findings: read_json(&row.text(24)?)?,
        },
        replaces: row
            .optional_blob(25)?
            .is_some()
            .then(|| row.array(25))
            .transpose()?
            .map(SessionId::from_bytes),
        activity: Activity {
            last: Micros(row.int(26)?),
            requests: row.unsigned(27)?,
            ip: row.text(28)?,
            page: row.text(29)?,
        },
    })
}

/// The client of a rotation as [`read_rotating_client`] reads it.
pub(super) fn rotating_client(client: &ClientInfo) -> String {
    if *client == ClientInfo::default() {
        return String::new();
    }
    json(&(&client.ip, &client.user_agent, &client.device_id))
}

/// The client of a rotation. Empty: unknown.
fn read_rotating_client(text: &str) -> Result<ClientInfo, StoreError> {
    if text.is_empty() {
        return Ok(ClientInfo::default());
    }
    let (ip, user_agent, device_id) = read_json(text)?;
    Ok(ClientInfo {
        ip,
        user_agent,
        device_id,
        app_name: String::new(),
    })
}

pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("it has only text keys")
}

pub(super) fn read_json<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text)
        .map_err(|_| StoreError::Internal("a column is not the JSON that it was".into()))
}

pub(super) fn to_json(texts: &[String]) -> String {
    serde_json::to_string(texts).expect("strings serialize")
}

pub(super) fn from_json(text: &str) -> Result<Vec<String>, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Internal("a list column is not JSON".into()))
}

pub(super) fn tenant_id(text: String) -> Result<TenantId, StoreError> {
    TenantId::parse(text).map_err(|_| StoreError::Internal("a tenant id is malformed".into()))
}

pub(super) fn user_id(text: String) -> Result<UserId, StoreError> {
    UserId::parse(text).map_err(|_| StoreError::Internal("a user id is malformed".into()))
}
