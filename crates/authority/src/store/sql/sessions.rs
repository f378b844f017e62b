//! Sessions and users as rows.

use portcullis_contract::{
    id::{Serial, SessionId, TenantId, TenantSerial, UserId, UserSerial},
    position::Revision,
    view::Subject,
};

use super::{Connection, DbError, Dialect, Row, Value, transaction};
use crate::{
    domain::{
        Cause, ClientInfo, End, Micros, NewSession, OpenedSession, Profile, Session, SessionFilter, SessionState, User,
        time::span,
    },
    store::{OpenError, Rotated, StoreError},
};

/// The columns of a session, in the order in which [`read`] takes them.
const COLUMNS: [&str; 21] = [
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
];

/// The audit event of the first cutoff that covers the session `s`.
pub(super) const CUT_EVENT: &str = "(SELECT c.event_id FROM cutoffs c \
     WHERE c.revision > s.opened_revision AND c.exempt_serial <> s.serial AND (\
         (c.scope = 1 AND c.scope_serial = s.user_serial) OR \
         (c.scope = 2 AND c.scope_serial = s.tenant_serial) OR \
         (c.scope = 3 AND c.scope_serial = 0)) \
     ORDER BY c.revision LIMIT 1)";

/// That no cutoff covers the row of `sessions`, and that its user is not disabled.
const UNCUT: &str = "NOT EXISTS (SELECT 1 FROM cutoffs c WHERE c.scope = 1 AND c.scope_serial = sessions.user_serial \
         AND c.revision > sessions.opened_revision AND c.exempt_serial <> sessions.serial) \
     AND NOT EXISTS (SELECT 1 FROM cutoffs c WHERE c.scope = 2 AND c.scope_serial = sessions.tenant_serial \
         AND c.revision > sessions.opened_revision AND c.exempt_serial <> sessions.serial) \
     AND NOT EXISTS (SELECT 1 FROM cutoffs c WHERE c.scope = 3 AND c.scope_serial = 0 \
         AND c.revision > sessions.opened_revision AND c.exempt_serial <> sessions.serial) \
     AND NOT EXISTS (SELECT 1 FROM users u WHERE u.tenant_id = sessions.tenant_id \
         AND u.user_id = sessions.user_id AND u.disabled_us IS NOT NULL)";

/// Opens a session. A known user costs one statement, whose one snapshot has the head and all else; an unknown
/// one a transaction that reads the head before anything else.
pub(super) async fn open(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    new: &NewSession,
) -> Result<OpenedSession, OpenError> {
    let opened = match insert_for_known_user(connection, dialect, new).await {
        Ok(None) => open_for_any_user(connection, dialect, new).await,
        known => known,
    };
    match opened {
        Ok(Some(opened)) => Ok(opened),
        Ok(None) => Err(OpenError::UserDisabled),
        Err(DbError::Unique(text)) => repeated(connection, dialect, new, text).await,
        Err(error) => Err(StoreError::from(error).into()),
    }
}

async fn insert_for_known_user(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    new: &NewSession,
) -> Result<Option<OpenedSession>, DbError> {
    let same = "($18 = '' OR u.user_name = $18) AND ($19 = '' OR u.given_name = $19) \
                AND ($20 = '' OR u.family_name = $20) AND ($21 = '' OR u.email = $21)";
    let sql = insert_statement(dialect, "h.revision", &format!("log_head h, users u WHERE {same} AND"));
    let mut values = insert_values(new);
    let Profile { user_name, given_name, family_name, email } = &new.profile;
    values.extend([user_name, given_name, family_name, email].map(|text| text.as_str().into()));
    inserted(new, &connection.query(&sql, &values).await?)
}

async fn open_for_any_user(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    new: &NewSession,
) -> Result<Option<OpenedSession>, DbError> {
    transaction!(connection, insert_for_any_user(connection, dialect, new))
}

async fn insert_for_any_user(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    new: &NewSession,
) -> Result<Option<OpenedSession>, DbError> {
    // First of all: whatever commits from here on covers this session.
    let head = connection.query("SELECT revision FROM log_head", &[]).await?;
    let head = head.first().and_then(|row| row.int(0).ok()).ok_or_else(|| DbError::Other("no head".into()))?;
    ensure_tenant(connection, dialect, &new.tenant_id).await?;
    upsert_user(connection, dialect, new).await?;
    let sql = insert_statement(dialect, "$18", "users u WHERE");
    let mut values = insert_values(new);
    values.push(head.into());
    inserted(new, &connection.query(&sql, &values).await?)
}

fn insert_statement(dialect: &Dialect, opened: &str, from: &str) -> String {
    format!(
        "INSERT INTO sessions (tenant_id, session_id, serial, user_id, user_serial, tenant_serial, opened_revision, \
             created_us, expires_us, remember_me, auth_time_us, amr, acr, audiences, ip, user_agent, device_id, \
             app_name, salt, request_id, request_digest, generation) \
         SELECT u.tenant_id, $1, {serial}, u.user_id, u.user_serial, u.tenant_serial, {opened}, \
             {now}, {now} + $2, $3, COALESCE($4, {now}), $5, $6, $7, $8, $9, $10, \
             $11, $12, $13, $14, $15 \
         FROM {from} u.tenant_id = $16 AND u.user_id = $17 AND u.disabled_us IS NULL \
         RETURNING serial, user_serial, tenant_serial, opened_revision, created_us, expires_us, auth_time_us",
        serial = dialect.next_credential,
        now = dialect.now,
    )
}

fn insert_values(new: &NewSession) -> Vec<Value> {
    let (request_id, digest) = match &new.request {
        Some((id, digest)) => (Some(id.clone()), Some(digest.to_vec())),
        None => (None, None),
    };
    vec![
        new.id.to_bytes()[..].into(),
        span(new.lifetime).into(),
        new.remember_me.into(),
        Value::Int(new.auth_time.map(|time| time.0)),
        to_json(&new.amr).into(),
        new.acr.as_str().into(),
        to_json(&new.audiences).into(),
        new.client.ip.as_str().into(),
        new.client.user_agent.as_str().into(),
        new.client.device_id.as_str().into(),
        new.client.app_name.as_str().into(),
        new.salt[..].into(),
        Value::Text(request_id),
        Value::Blob(digest),
        0_i64.into(),
        new.tenant_id.as_str().into(),
        new.user_id.as_str().into(),
    ]
}

fn inserted(new: &NewSession, rows: &[Row]) -> Result<Option<OpenedSession>, DbError> {
    let Some(row) = rows.first() else { return Ok(None) };
    let session = read_inserted(new, row).map_err(|error| DbError::Other(error.to_string()))?;
    let now = session.created;
    Ok(Some(OpenedSession { session, now }))
}

fn read_inserted(new: &NewSession, row: &Row) -> Result<Session, StoreError> {
    Ok(Session {
        id: new.id,
        tenant_id: new.tenant_id.clone(),
        user_id: new.user_id.clone(),
        subject: Subject {
            serial: Serial(row.unsigned(0)?),
            user: UserSerial(row.unsigned(1)?),
            tenant: TenantSerial(row.unsigned(2)?),
            opened: Revision(row.unsigned(3)?),
        },
        created: Micros(row.int(4)?),
        expires: Micros(row.int(5)?),
        rotated: None,
        remember_me: new.remember_me,
        amr: new.amr.clone(),
        acr: new.acr.clone(),
        auth_time: Micros(row.int(6)?),
        audiences: new.audiences.clone(),
        client: new.client.clone(),
        generation: 0,
        salt: new.salt,
        end: None,
    })
}

/// The session of an earlier call with the same request id or session id.
async fn repeated(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    new: &NewSession,
    text: String,
) -> Result<OpenedSession, OpenError> {
    let (id, digest) = match &new.request {
        Some((id, digest)) => (Some(id.clone()), Some(digest.to_vec())),
        None => (None, None),
    };
    let sql =
        "SELECT session_id, request_digest FROM sessions WHERE tenant_id = $1 AND (session_id = $2 OR request_id = $3)";
    let values = [new.tenant_id.as_str().into(), new.id.to_bytes()[..].into(), Value::Text(id)];
    let rows = connection.query(sql, &values).await.map_err(StoreError::from)?;
    let row = rows.first().ok_or(StoreError::Conflict(text))?;
    if row.optional_blob(1)?.map(<[u8]>::to_vec) != digest {
        return Err(OpenError::RequestReused);
    }
    let found = find(connection, dialect, &new.tenant_id, SessionId::from_bytes(row.array(0)?)).await?;
    let (session, now) = found.ok_or_else(|| StoreError::Conflict("the session went away".into()))?;
    Ok(OpenedSession { session, now })
}

pub(super) async fn ensure_tenant(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    tenant: &TenantId,
) -> Result<TenantSerial, DbError> {
    let select = "SELECT tenant_serial FROM tenants WHERE tenant_id = $1";
    let key = [tenant.as_str().into()];
    let mut rows = connection.query(select, &key).await?;
    if rows.is_empty() {
        let insert = format!("INSERT INTO tenants VALUES ($1, {}) ON CONFLICT DO NOTHING", dialect.next_tenant);
        connection.query(&insert, &key).await?;
        rows = connection.query(select, &key).await?;
    }
    let serial = rows.first().and_then(|row| row.unsigned(0).ok());
    serial.map(TenantSerial).ok_or_else(|| DbError::Conflict("the tenant went away".into()))
}

async fn upsert_user(connection: &mut dyn Connection, dialect: &Dialect, new: &NewSession) -> Result<(), DbError> {
    ensure_user(connection, dialect, &new.tenant_id, &new.user_id).await?;
    let sql = "UPDATE users SET user_name = CASE WHEN $3 = '' THEN user_name ELSE $3 END, \
         given_name = CASE WHEN $4 = '' THEN given_name ELSE $4 END, \
         family_name = CASE WHEN $5 = '' THEN family_name ELSE $5 END, \
         email = CASE WHEN $6 = '' THEN email ELSE $6 END \
         WHERE tenant_id = $1 AND user_id = $2";
    let Profile { user_name, given_name, family_name, email } = &new.profile;
    let texts = [new.tenant_id.as_str(), new.user_id.as_str(), user_name, given_name, family_name, email];
    connection.query(sql, &texts.map(Value::from)).await?;
    Ok(())
}

/// Makes the row of a user of a known tenant, unless it is there.
pub(super) async fn ensure_user(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    tenant: &TenantId,
    user: &UserId,
) -> Result<(), DbError> {
    let key = [tenant.as_str().into(), user.as_str().into()];
    let known = "SELECT 1 FROM users WHERE tenant_id = $1 AND user_id = $2";
    if !connection.query(known, &key).await?.is_empty() {
        return Ok(());
    }
    let insert = format!(
        "INSERT INTO users (tenant_id, user_id, user_serial, tenant_serial, user_name, given_name, family_name, email, \
             created_us, disabled_us) \
         SELECT t.tenant_id, $2, {serial}, t.tenant_serial, '', '', '', '', {now}, NULL \
         FROM tenants t WHERE t.tenant_id = $1 ON CONFLICT DO NOTHING",
        serial = dialect.next_user,
        now = dialect.now,
    );
    connection.query(&insert, &key).await?;
    Ok(())
}

pub(super) async fn salt(
    connection: &mut dyn Connection,
    tenant: &TenantId,
    id: SessionId,
) -> Result<Option<[u8; 16]>, StoreError> {
    let sql = "SELECT salt FROM sessions WHERE tenant_id = $1 AND session_id = $2";
    let rows = connection.query(sql, &[tenant.as_str().into(), id.to_bytes()[..].into()]).await?;
    rows.first().map(|row| row.array(0)).transpose()
}

pub(super) async fn rotate(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    tenant: &TenantId,
    id: SessionId,
    generation: u64,
) -> Result<Rotated, StoreError> {
    let sql = format!(
        "UPDATE sessions SET generation = generation + 1, rotated_us = {now} \
         WHERE tenant_id = $1 AND session_id = $2 AND generation = $3 AND end_event IS NULL AND expires_us > {now} \
         AND {UNCUT} RETURNING {columns}, {now}",
        now = dialect.now,
        columns = COLUMNS.join(", "),
    );
    let values = [tenant.as_str().into(), id.to_bytes()[..].into(), generation.into()];
    if let Some(row) = connection.query(&sql, &values).await?.first() {
        return Ok(Rotated::Won(Box::new(read(row, None)?), Micros(row.int(COLUMNS.len())?)));
    }
    let found = find(connection, dialect, tenant, id).await?;
    Ok(found.map_or(Rotated::NotFound, |(session, now)| Rotated::Lost(Box::new(session), now)))
}

pub(super) async fn find(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    tenant: &TenantId,
    id: SessionId,
) -> Result<Option<(Session, Micros)>, StoreError> {
    let sql = select(dialect, "s.tenant_id = $1 AND s.session_id = $2", "TRUE");
    let rows = connection.query(&sql, &[tenant.as_str().into(), id.to_bytes()[..].into()]).await?;
    rows.first().map(read_with_end).transpose()
}

pub(super) async fn list(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    filter: &SessionFilter,
    before: Option<SessionId>,
    limit: u32,
) -> Result<(Vec<Session>, Micros), StoreError> {
    // The greatest UUID stands for "from the newest".
    let before = before.map_or([0xff; 16], SessionId::to_bytes);
    let mut values = vec![filter.tenant_id.as_str().into(), before[..].into(), i64::from(limit).into()];
    let mut of = String::from("s.tenant_id = $1 AND s.session_id < $2");
    if let Some(user) = &filter.user_id {
        of.push_str(" AND s.user_id = $4");
        values.push(user.as_str().into());
    }
    let state = state_condition(dialect, filter.state);
    let sql = format!("{} ORDER BY s.session_id DESC LIMIT $3", select(dialect, &of, &state));
    let rows = connection.query(&sql, &values).await?;
    let found = rows.iter().map(read_with_end).collect::<Result<Vec<_>, _>>()?;
    let now = found.first().map_or(Micros::default(), |(_, now)| *now);
    Ok((found.into_iter().map(|(session, _)| session).collect(), now))
}

fn state_condition(dialect: &Dialect, state: Option<SessionState>) -> String {
    let now = dialect.now;
    match state {
        None => "TRUE".into(),
        Some(SessionState::Active) => format!("e.event_id IS NULL AND s.expires_us > {now}"),
        Some(SessionState::Expired) => format!("e.event_id IS NULL AND s.expires_us <= {now}"),
        Some(SessionState::SignedOut) => format!("e.cause = {}", Cause::User.code()),
        Some(SessionState::Revoked) => format!("e.cause <> {}", Cause::User.code()),
    }
}

/// Sessions with the audit event that ended them: their own, or that of the first cutoff that covers them. What came
/// after its expiry ended no session.
fn select(dialect: &Dialect, of: &str, and: &str) -> String {
    format!(
        "SELECT s.{columns}, {now}, e.at_us, e.cause, e.actor, e.reason, e.user_message, e.revision \
         FROM (SELECT s.*, COALESCE(s.end_event, {CUT_EVENT}) AS ended_by FROM sessions s WHERE {of}) s \
         LEFT JOIN audit_events e ON e.event_id = s.ended_by AND e.ordinal = 0 AND e.at_us < s.expires_us WHERE {and}",
        columns = COLUMNS.join(", s."),
        now = dialect.now,
    )
}

fn read_with_end(row: &Row) -> Result<(Session, Micros), StoreError> {
    let end = COLUMNS.len() + 1;
    let ended = row.optional_int(end)?.map(|at| {
        let cause = Cause::from_code(row.int(end + 1)?).ok_or_else(|| StoreError::Internal("unknown cause".into()))?;
        Ok::<_, StoreError>(End {
            at: Micros(at),
            cause,
            actor: row.text(end + 2)?,
            reason: row.text(end + 3)?,
            user_message: row.text(end + 4)?,
            revision: Revision(row.unsigned(end + 5)?),
        })
    });
    Ok((read(row, ended.transpose()?)?, Micros(row.int(COLUMNS.len())?)))
}

fn read(row: &Row, end: Option<End>) -> Result<Session, StoreError> {
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
    })
}

pub(super) async fn user(
    connection: &mut dyn Connection,
    tenant: &TenantId,
    id: &UserId,
) -> Result<Option<User>, StoreError> {
    let sql = "SELECT user_name, given_name, family_name, email, created_us, disabled_us FROM users \
         WHERE tenant_id = $1 AND user_id = $2";
    let rows = connection.query(sql, &[tenant.as_str().into(), id.as_str().into()]).await?;
    let read = |row: &Row| {
        Ok(User {
            tenant_id: tenant.clone(),
            user_id: id.clone(),
            profile: Profile {
                user_name: row.text(0)?,
                given_name: row.text(1)?,
                family_name: row.text(2)?,
                email: row.text(3)?,
            },
            created: Micros(row.int(4)?),
            disabled: row.optional_int(5)?.map(Micros),
        })
    };
    rows.first().map(read).transpose()
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
