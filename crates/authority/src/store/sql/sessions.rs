//! Sessions and users as rows.

use std::collections::{BTreeMap, HashMap};

use portcullis_contract::{
    id::{Serial, SessionId, TenantId, TenantSerial, UserId, UserSerial},
    position::Revision,
    view::Subject,
};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    Connection, DbError, Dialect, Row, SessionKey, Statement, UserKey, Value, connection::ValueRows, history, pending,
    transaction,
};
use crate::{
    domain::{
        Activity, Cause, ClientInfo, End, Micros, NewSession, OpenedSession, Profile, Session, Sight, User,
        device::DeviceKind,
        listing::{address_key, fold},
        time::span,
    },
    store::{OpenError, Proof, Rotated, StoreError},
};

/// The columns of a session, in the order in which [`read`] takes them.
pub(super) const COLUMNS: [&str; 30] = [
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
];

/// The audit event of the first cutoff that covers the session `s`: the first of each scope by the index, which has them
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

/// When the user of the session `s` was disabled. A subquery, not a join: PostgreSQL might join by the tenant alone, and
/// read all of its users.
const DISABLED: &str = "(SELECT u.disabled_us FROM users u WHERE u.tenant_id = s.tenant_id AND u.user_id = s.user_id)";

/// Opens sessions. Those of known users take one transaction together, whose first statement has the head and all else
/// in one snapshot; each other one a transaction that reads the head before anything else.
pub(super) async fn open(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    group: &[NewSession],
) -> Result<Vec<Result<OpenedSession, OpenError>>, StoreError> {
    let mut known = open_for_known_users(connection, dialect, group).await?;
    let mut opened = Vec::with_capacity(group.len());
    for new in group {
        opened.push(match known.remove(&new.id.to_bytes()) {
            Some(row) => Ok(read_inserted(new, &row)?),
            None => open_for_any_user(connection, dialect, new).await,
        });
    }
    Ok(opened)
}

async fn open_for_known_users(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    group: &[NewSession],
) -> Result<HashMap<[u8; 16], Row>, StoreError> {
    transaction!(connection, async {
        let inserted = insert_for_known_users(connection, dialect, group).await?;
        let opened = group.iter().filter_map(|new| Some((new, inserted.get(&new.id.to_bytes())?)));
        let opened = opened.map(|(new, row)| Ok((new, Micros(row.int(CREATED)?))));
        let last = record(dialect, &opened.collect::<Result<Vec<_>, StoreError>>()?);
        Ok::<_, StoreError>((inserted, last))
    }, then last)
}

/// What a sign-in leaves behind beside its session.
fn record(dialect: &Dialect, opened: &[(&NewSession, Micros)]) -> Vec<Statement> {
    if opened.is_empty() {
        return Vec::new();
    }
    // In key order, as all who lock several users.
    let last: BTreeMap<_, _> =
        opened.iter().map(|(new, _)| ((new.tenant_id.as_str(), new.user_id.as_str()), &new.sight.place)).collect();
    let rows = ValueRows::new(
        last.into_iter().map(|((tenant, user), place)| [tenant.into(), user.into(), json(place).into()]),
    );
    let sql = format!(
        "UPDATE users AS u SET signed_in_us = {now}, signed_in_at = v.column3 FROM (VALUES {rows}) AS v \
         WHERE u.tenant_id = v.column1 AND u.user_id = v.column2",
        now = dialect.now,
        rows = rows.text,
    );
    let signed_in = Statement { sql, params: rows.params };
    let kept = history::keep(dialect, opened.iter().map(|(new, _)| *new));
    let events: Vec<_> = opened.iter().flat_map(|(new, at)| new.events(*at)).collect();
    std::iter::once(signed_in).chain(kept).chain(pending::defer(&events)).collect()
}

/// Inserts the sessions whose users are known as the sign-ins say, and that are not there; the rows by session id.
async fn insert_for_known_users(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    group: &[NewSession],
) -> Result<HashMap<[u8; 16], Row>, StoreError> {
    let mut group: Vec<_> = group.iter().collect();
    // One order for all who may wait for each other's request ids.
    group.sort_by_key(|new| (&new.tenant_id, &new.request));
    let rows = ValueRows::new(group.into_iter().map(insert_values));
    let rest = "AND (v.column27 = '' OR u.user_name = v.column27) AND (v.column28 = '' OR u.given_name = v.column28) \
         AND (v.column29 = '' OR u.family_name = v.column29) AND (v.column30 = '' OR u.email = v.column30) \
         ON CONFLICT DO NOTHING";
    let sql = insert_statement(dialect, &rows.text, "(SELECT revision FROM log_head)", rest);
    let inserted = connection.query(&sql, &rows.params).await?;
    inserted.into_iter().map(|row| Ok((row.array(0)?, row))).collect()
}

async fn open_for_any_user(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    new: &NewSession,
) -> Result<OpenedSession, OpenError> {
    match in_transaction(connection, dialect, new).await {
        Ok(Some(row)) => Ok(read_inserted(new, &row)?),
        Ok(None) => Err(OpenError::UserDisabled),
        Err(DbError::Unique(text)) => repeated(connection, dialect, new, text).await,
        Err(error) => Err(StoreError::from(error).into()),
    }
}

async fn in_transaction(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    new: &NewSession,
) -> Result<Option<Row>, DbError> {
    transaction!(connection, insert_for_any_user(connection, dialect, new), then last)
}

async fn insert_for_any_user(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    new: &NewSession,
) -> Result<(Option<Row>, Vec<Statement>), DbError> {
    // First of all: whatever commits from here on covers this session.
    let head = connection.query("SELECT revision FROM log_head", &[]).await?;
    let head = head.first().and_then(|row| row.int(0).ok()).ok_or_else(|| DbError::Other("no head".into()))?;
    ensure_tenant(connection, dialect, &new.tenant_id).await?;
    upsert_user(connection, dialect, new).await?;
    let mut rows = ValueRows::new([insert_values(new)]);
    let head = rows.push(head);
    let sql = insert_statement(dialect, &rows.text, &head, "");
    let inserted = connection.query(&sql, &rows.params).await?.pop();
    let last = match &inserted {
        Some(row) => {
            let created = row.int(CREATED).map_err(|error| DbError::Other(error.to_string()))?;
            record(dialect, &[(new, Micros(created))])
        }
        None => Vec::new(),
    };
    Ok((inserted, last))
}

/// Inserts `rows` of users who are known and may sign in. The outer join is a fence: PostgreSQL would go through all users
/// and look among the rows, which it takes for few when it has no statistics. An outer join it has to begin at the rows.
fn insert_statement(dialect: &Dialect, rows: &str, opened: &str, rest: &str) -> String {
    format!(
        "INSERT INTO sessions (tenant_id, session_id, serial, user_id, user_serial, tenant_serial, opened_revision, \
             created_us, expires_us, remember_me, auth_time_us, amr, acr, audiences, ip, user_agent, device_id, \
             app_name, salt, request_id, request_digest, generation, active_us, due_us, device, device_type, \
             device_sign_ins, place, country, network, replaces, findings) \
         SELECT u.tenant_id, v.column1, {serial}, u.user_id, u.user_serial, u.tenant_serial, {opened}, \
             {now}, {now} + v.column2, v.column3, COALESCE(v.column4, {now}), v.column5, v.column6, v.column7, \
             v.column8, v.column9, v.column10, v.column11, v.column12, v.column13, v.column14, v.column15, \
             {now}, {now} + v.column18, v.column19, v.column20, v.column21, v.column22, v.column23, v.column24, \
             v.column25, v.column26 \
         FROM (VALUES {rows}) AS v LEFT JOIN users u ON u.tenant_id = v.column16 AND u.user_id = v.column17 \
         WHERE COALESCE(u.user_serial, 0) > 0 AND u.disabled_us IS NULL {rest} \
         RETURNING session_id, serial, user_serial, tenant_serial, opened_revision, created_us, expires_us, \
             auth_time_us",
        serial = dialect.next_credential,
        now = dialect.now,
    )
}

fn insert_values(new: &NewSession) -> [Value; 30] {
    let (request_id, digest) = match &new.request {
        Some((id, digest)) => (Some(id.clone()), Some(digest.to_vec())),
        None => (None, None),
    };
    [
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
        // When the sweep looks at it first.
        Value::Int(new.idle_timeout.filter(|timeout| *timeout < new.lifetime).map(span)),
        json(&new.sight.device).into(),
        device_code(new.sight.device.kind).into(),
        u64::from(new.sight.device_sign_ins).into(),
        json(&new.sight.place).into(),
        new.sight.place.country.as_str().into(),
        Value::Blob(new.client.ip.parse().ok().map(|ip| address_key(ip).to_vec())),
        Value::Blob(new.replaces.map(|id| id.to_bytes().to_vec())),
        json(&new.sight.findings).into(),
        new.profile.user_name.as_str().into(),
        new.profile.given_name.as_str().into(),
        new.profile.family_name.as_str().into(),
        new.profile.email.as_str().into(),
    ]
}

/// Where the time of opening stands in the row that an insert returns.
const CREATED: usize = 5;

/// A new session as its row came back. Its time is that of the row.
fn read_inserted(new: &NewSession, row: &Row) -> Result<OpenedSession, StoreError> {
    let created = Micros(row.int(CREATED)?);
    let session = Session {
        id: new.id,
        tenant_id: new.tenant_id.clone(),
        user_id: new.user_id.clone(),
        subject: Subject {
            serial: Serial(row.unsigned(1)?),
            user: UserSerial(row.unsigned(2)?),
            tenant: TenantSerial(row.unsigned(3)?),
            opened: Revision(row.unsigned(4)?),
        },
        created,
        expires: Micros(row.int(6)?),
        rotated: None,
        remember_me: new.remember_me,
        amr: new.amr.clone(),
        acr: new.acr.clone(),
        auth_time: Micros(row.int(7)?),
        audiences: new.audiences.clone(),
        client: new.client.clone(),
        generation: 0,
        salt: new.salt,
        end: None,
        sight: new.sight.clone(),
        activity: Activity { last: created, ..Activity::default() },
        replaces: new.replaces,
    };
    Ok(OpenedSession { session, now: created })
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
    let key = (new.tenant_id.clone(), SessionId::from_bytes(row.array(0)?));
    let found = find(connection, dialect, &[key]).await?.pop().flatten();
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
         WHERE tenant_id = $1 AND user_id = $2 RETURNING user_name, given_name, family_name, email";
    let Profile { user_name, given_name, family_name, email } = &new.profile;
    let texts = [new.tenant_id.as_str(), new.user_id.as_str(), user_name, given_name, family_name, email];
    let rows = connection.query(sql, &texts.map(Value::from)).await?;
    let Some(row) = rows.first() else { return Ok(()) };
    let key = |column| row.text(column).map(|text| fold(&text)).map_err(|error| DbError::Other(error.to_string()));
    // Of the names as they are now: the sign-in may have said some of them only. The row is locked.
    let sql = "UPDATE users SET name_key = $3, person_key = $4, email_key = $5 WHERE tenant_id = $1 AND user_id = $2";
    let person = format!("{}\n{}", key(2)?, key(1)?);
    let keys = [key(0)?, person, key(3)?].map(Value::from);
    let user = [new.tenant_id.as_str(), new.user_id.as_str()].map(Value::from);
    connection.query(sql, &[&user[..], &keys].concat()).await?;
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

/// A refresh token as it was presented.
#[derive(Clone)]
pub(super) struct Presented {
    pub(super) session: SessionKey,
    pub(super) generation: u64,
    pub(super) proof: Proof,
}

/// Sessions by what names them, each with the time at which it was so.
type Found = HashMap<SessionKey, (Session, Micros)>;

/// Why a rotation was undone.
enum Undone<'a> {
    Store(StoreError),
    /// Some were presented without proof; the others.
    Forged(Vec<&'a Presented>),
}

impl<E: Into<StoreError>> From<E> for Undone<'_> {
    fn from(error: E) -> Self {
        Self::Store(error.into())
    }
}

/// Advances the generations of sessions, each for the first who asks for it and proves that it may. The proof needs the
/// row: it is asked for before the commit, so that a rotation takes one statement, and a forged token changes nothing.
pub(super) async fn rotate(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    asked: &[Presented],
) -> Result<Vec<Rotated>, StoreError> {
    let mut genuine: Vec<_> = asked.iter().collect();
    // In key order: rows are locked in one order, which is also the appender's.
    genuine.sort_by_key(|presented| (&presented.session.0, presented.session.1.to_bytes()));
    let mut won = loop {
        match advance(connection, dialect, &genuine).await {
            Ok(won) => break won,
            Err(Undone::Forged(others)) => genuine = others,
            Err(Undone::Store(error)) => return Err(error),
        }
    };
    let mut rotated = Vec::with_capacity(asked.len());
    for Presented { session: key, generation, proof } in asked {
        let is_it = |session: &Session| session.generation == generation + 1 && proof(&session.salt);
        if won.get(key).is_some_and(|(session, _)| is_it(session))
            && let Some((session, now)) = won.remove(key)
        {
            rotated.push(Rotated::Won(Box::new(session), now));
            continue;
        }
        let found = find(connection, dialect, std::slice::from_ref(key)).await?.pop().flatten();
        rotated.push(match found.filter(|(session, _)| proof(&session.salt)) {
            Some((session, now)) => Rotated::Lost(Box::new(session), now),
            None => Rotated::NotFound,
        });
    }
    Ok(rotated)
}

/// Advances all of them, or none when some have no proof.
async fn advance<'a>(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    presented: &[&'a Presented],
) -> Result<Found, Undone<'a>> {
    if presented.is_empty() {
        return Ok(Found::new());
    }
    transaction!(connection, async {
        let won = advance_generations(connection, dialect, presented).await?;
        let is_forged = |one: &&&Presented| won.get(&one.session).is_some_and(|(session, _)| !(one.proof)(&session.salt));
        let (forged, others): (Vec<&Presented>, Vec<_>) = presented.iter().partition(is_forged);
        if !forged.is_empty() {
            return Err(Undone::Forged(others));
        }
        let events: Vec<_> = won.values().map(|(session, now)| session.refreshed(*now)).collect();
        Ok((won, pending::defer(&events)))
    }, then last)
}

/// The sessions that were alive and of the generation that was asked for, as they are now.
async fn advance_generations(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    presented: &[&Presented],
) -> Result<Found, StoreError> {
    let rows = ValueRows::new(presented.iter().map(|Presented { session: (tenant, id), generation, .. }| {
        [tenant.as_str().into(), id.to_bytes()[..].into(), (*generation).into()]
    }));
    let sql = format!(
        "UPDATE sessions AS s SET generation = s.generation + 1, rotated_us = {now} FROM (VALUES {rows}) AS v \
         WHERE s.tenant_id = v.column1 AND s.session_id = v.column2 AND s.generation = v.column3 \
             AND s.expires_us > {now} AND s.end_event IS NULL AND {CUT_EVENT} IS NULL AND {DISABLED} IS NULL \
         RETURNING {columns}, {now}",
        now = dialect.now,
        rows = rows.text,
        columns = COLUMNS.join(", "),
    );
    let won = connection.query(&sql, &rows.params).await?;
    won.iter().map(|row| by_key(read(row, None)?, Micros(row.int(COLUMNS.len())?))).collect()
}

/// Sessions with how they ended, in the order of `keys`.
pub(super) async fn find(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    keys: &[SessionKey],
) -> Result<Vec<Option<(Session, Micros)>>, StoreError> {
    let rows = key_rows(keys);
    let sql = select(dialect, &format!("(s.tenant_id, s.session_id) IN (VALUES {})", rows.text), "TRUE");
    let found = connection.query(&sql, &rows.params).await?;
    let by_key = |row| read_with_end(row).and_then(|(session, now)| by_key(session, now));
    let found = found.iter().map(by_key).collect::<Result<HashMap<_, _>, _>>()?;
    Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
}

fn key_rows(keys: &[SessionKey]) -> ValueRows {
    ValueRows::new(keys.iter().map(|(tenant, id)| [tenant.as_str().into(), id.to_bytes()[..].into()]))
}

fn by_key(session: Session, now: Micros) -> Result<(SessionKey, (Session, Micros)), StoreError> {
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
         FROM (SELECT s.*, COALESCE(s.end_event, {CUT_EVENT}) AS ended_by, 0 AS ordinal FROM sessions s \
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

/// Reads [`COLUMNS`].
pub(super) fn read(row: &Row, end: Option<End>) -> Result<Session, StoreError> {
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
        sight: Sight {
            device: read_json(&row.text(21)?)?,
            place: read_json(&row.text(22)?)?,
            device_sign_ins: u32::try_from(row.int(23)?).unwrap_or(u32::MAX),
            findings: read_json(&row.text(24)?)?,
        },
        replaces: row.optional_blob(25)?.is_some().then(|| row.array(25)).transpose()?.map(SessionId::from_bytes),
        activity: Activity {
            last: Micros(row.int(26)?),
            requests: row.unsigned(27)?,
            ip: row.text(28)?,
            page: row.text(29)?,
        },
    })
}

/// The number of a kind of device in the rows; that of the contract.
fn device_code(kind: DeviceKind) -> i64 {
    match kind {
        DeviceKind::Unknown => 0,
        DeviceKind::Phone => 1,
        DeviceKind::Tablet => 2,
        DeviceKind::Desktop => 3,
        DeviceKind::Program => 4,
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("it has only text keys")
}

pub(super) fn read_json<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Internal("a column is not the JSON that it was".into()))
}

/// Users, in the order of `keys`.
pub(super) async fn users(
    connection: &mut dyn Connection,
    _: &Dialect,
    keys: &[UserKey],
) -> Result<Vec<Option<User>>, StoreError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let rows = ValueRows::new(keys.iter().map(|(tenant, id)| [tenant.as_str().into(), id.as_str().into()]));
    let sql = format!(
        "SELECT tenant_id, user_id, user_name, given_name, family_name, email, created_us, disabled_us FROM users \
         WHERE (tenant_id, user_id) IN (VALUES {})",
        rows.text,
    );
    let found = connection.query(&sql, &rows.params).await?;
    let by_key = |user: User| ((user.tenant_id.clone(), user.user_id.clone()), user);
    let found = found.iter().map(|row| read_user(row).map(by_key)).collect::<Result<HashMap<_, _>, _>>()?;
    Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
}

fn read_user(row: &Row) -> Result<User, StoreError> {
    Ok(User {
        tenant_id: tenant_id(row.text(0)?)?,
        user_id: user_id(row.text(1)?)?,
        profile: Profile {
            user_name: row.text(2)?,
            given_name: row.text(3)?,
            family_name: row.text(4)?,
            email: row.text(5)?,
        },
        created: Micros(row.int(6)?),
        disabled: row.optional_int(7)?.map(Micros),
    })
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
