//! Sessions that open.

use std::collections::{BTreeMap, HashMap};

use portcullis_contract::{
    id::{Serial, SessionId, TenantSerial, UserSerial},
    position::Revision,
    view::Subject,
};

use super::{
    Connection, DbError, Dialect, Row, Statement, Value,
    connection::ValueRows,
    history, pending,
    sessions::{find, json, make_durable, to_json},
    transaction,
    users::{ensure_tenant, upsert_user},
};
use crate::{
    domain::{
        Activity, ClientInfo, Micros, Session, SignIn, SignInOutcome, device::DeviceKind,
        listing::address_key, time::span,
    },
    store::{SignInError, StoreError},
};

/// Opens sessions. Those of known users take one transaction together, whose first statement has the head and all else
/// in one snapshot; each other one a transaction that reads the head before anything else.
pub(super) async fn open(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    group: &[SignIn],
) -> Result<Vec<Result<SignInOutcome, SignInError>>, StoreError> {
    let mut known = open_for_known_users(connection, dialect, group).await?;
    let rest: Vec<_> = group
        .iter()
        .filter(|new| !known.contains_key(&new.id.to_bytes()))
        .collect();
    known.extend(open_together(connection, dialect, &rest).await?);
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
    group: &[SignIn],
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
fn record(dialect: &Dialect, opened: &[(&SignIn, Micros)]) -> Vec<Statement> {
    if opened.is_empty() {
        return Vec::new();
    }
    // In key order, as all who lock several users.
    let last: BTreeMap<_, _> = opened
        .iter()
        .map(|(new, _)| {
            (
                (new.tenant_id.as_str(), new.user_id.as_str()),
                &new.sight.place,
            )
        })
        .collect();
    let rows = ValueRows::new(
        last.into_iter()
            .map(|((tenant, user), place)| [tenant.into(), user.into(), json(place).into()]),
    );
    let sql = format!(
        "UPDATE users AS u SET signed_in_us = {now}, signed_in_at = v.column3 FROM (VALUES {rows}) AS v \
         WHERE u.tenant_id = v.column1 AND u.user_id = v.column2",
        now = dialect.now,
        rows = rows.text,
    );
    let signed_in = Statement {
        sql,
        params: rows.params,
    };
    let kept = history::keep(dialect, opened.iter().map(|(new, _)| *new));
    let events: Vec<_> = opened
        .iter()
        .flat_map(|(new, at)| new.events(*at))
        .collect();
    std::iter::once(signed_in)
        .chain(kept)
        .chain(pending::defer(&events))
        .collect()
}

/// Inserts the sessions whose users are known as the sign-ins say, and that are not there; the rows by session id.
async fn insert_for_known_users(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    group: &[SignIn],
) -> Result<HashMap<[u8; 16], Row>, StoreError> {
    let mut group: Vec<_> = group.iter().collect();
    // One order for all who may wait for each other's request ids.
    group.sort_by_key(|new| (&new.tenant_id, &new.request));
    let rest = "AND (v.column27 = '' OR u.user_name = v.column27) AND (v.column28 = '' OR u.given_name = v.column28) \
         AND (v.column29 = '' OR u.family_name = v.column29) AND (v.column30 = '' OR u.email = v.column30) \
         ON CONFLICT DO NOTHING";
    let mut inserted = HashMap::with_capacity(group.len());
    for group in group.chunks(dialect.group_max) {
        let rows = ValueRows::new(group.iter().map(|new| insert_values(new)));
        let sql = insert_statement(dialect, &rows.text, "(SELECT revision FROM log_head)", rest);
        for row in connection.query(&sql, &rows.params).await? {
            inserted.insert(row.array(0)?, row);
        }
    }
    Ok(inserted)
}

/// Opens sessions of users who are new, or not known as the sign-ins say, in one transaction; none when one of them needs
/// a transaction of its own. Only for an engine whose writer is alone: others would lock users in any order.
async fn open_together(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    group: &[&SignIn],
) -> Result<HashMap<[u8; 16], Row>, StoreError> {
    let writer_is_alone = dialect.lock_rows.is_empty();
    if group.len() < 2 || !writer_is_alone {
        return Ok(HashMap::new());
    }
    match insert_together(connection, dialect, group).await {
        // Someone repeats a sign-in: the others are opened one by one.
        Err(DbError::Unique(_)) => Ok(HashMap::new()),
        inserted => Ok(inserted?),
    }
}

async fn insert_together(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    group: &[&SignIn],
) -> Result<HashMap<[u8; 16], Row>, DbError> {
    transaction!(connection, async {
        let mut inserted = HashMap::with_capacity(group.len());
        let mut last = Vec::new();
        for new in group {
            let (row, statements) = insert_for_any_user(connection, dialect, new).await?;
            inserted.extend(row.map(|row| (new.id.to_bytes(), row)));
            last.extend(statements);
        }
        Ok::<_, DbError>((inserted, last))
    }, then last)
}

async fn open_for_any_user(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    new: &SignIn,
) -> Result<SignInOutcome, SignInError> {
    match in_transaction(connection, dialect, new).await {
        Ok(Some(row)) => Ok(read_inserted(new, &row)?),
        Ok(None) => Err(SignInError::UserDisabled),
        Err(DbError::Unique(text)) => repeated(connection, dialect, new, text).await,
        Err(error) => Err(StoreError::from(error).into()),
    }
}

async fn in_transaction(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    new: &SignIn,
) -> Result<Option<Row>, DbError> {
    transaction!(connection, insert_for_any_user(connection, dialect, new), then last)
}

async fn insert_for_any_user(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    new: &SignIn,
) -> Result<(Option<Row>, Vec<Statement>), DbError> {
    // First of all: whatever commits from here on covers this session.
    let head = connection
        .query("SELECT revision FROM log_head", &[])
        .await?;
    let head = head
        .first()
        .and_then(|row| row.int(0).ok())
        .ok_or_else(|| DbError::Other("no head".into()))?;
    ensure_tenant(connection, dialect, &new.tenant_id).await?;
    upsert_user(connection, dialect, new).await?;
    let mut rows = ValueRows::new([insert_values(new)]);
    let head = rows.push(head);
    let sql = insert_statement(dialect, &rows.text, &head, "");
    let inserted = connection.query(&sql, &rows.params).await?.pop();
    let last = match &inserted {
        Some(row) => {
            let created = row
                .int(CREATED)
                .map_err(|error| DbError::Other(error.to_string()))?;
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

fn insert_values(new: &SignIn) -> [Value; 30] {
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
        Value::Int(
            new.idle_timeout
                .filter(|timeout| *timeout < new.lifetime)
                .map(span),
        ),
        json(&new.sight.device).into(),
        device_code(new.sight.device.kind).into(),
        u64::from(new.sight.device_sign_ins).into(),
        json(&new.sight.place).into(),
        new.sight.place.country.as_str().into(),
        Value::Blob(
            new.client
                .ip
                .parse()
                .ok()
                .map(|ip| address_key(ip).to_vec()),
        ),
        Value::Blob(new.replaces.map(|id| id.to_bytes().to_vec())),
        json(&new.sight.findings).into(),
        new.profile.user_name.as_str().into(),
        new.profile.given_name.as_str().into(),
        new.profile.family_name.as_str().into(),
        new.profile.email.as_str().into(),
    ]
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

/// Where the time of opening stands in the row that an insert returns.
const CREATED: usize = 5;

/// A new session as its row came back. Its time is that of the row.
fn read_inserted(new: &SignIn, row: &Row) -> Result<SignInOutcome, StoreError> {
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
        rotated_before: None,
        rotated_by: ClientInfo::default(),
        shared_generation: None,
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
        activity: Activity {
            last: created,
            ..Activity::default()
        },
        replaces: new.replaces,
    };
    Ok(SignInOutcome {
        session,
        now: created,
    })
}

/// The session of an earlier call with the same request id or session id.
async fn repeated(
    connection: &mut dyn Connection,
    dialect: &Dialect,
    new: &SignIn,
    text: String,
) -> Result<SignInOutcome, SignInError> {
    let (id, digest) = match &new.request {
        Some((id, digest)) => (Some(id.clone()), Some(digest.to_vec())),
        None => (None, None),
    };
    let sql = "SELECT session_id, request_digest FROM sessions WHERE tenant_id = $1 AND (session_id = $2 OR request_id = $3)";
    let values = [
        new.tenant_id.as_str().into(),
        new.id.to_bytes()[..].into(),
        Value::Text(id),
    ];
    let rows = connection
        .query(sql, &values)
        .await
        .map_err(StoreError::from)?;
    let row = rows.first().ok_or(StoreError::Conflict(text))?;
    if row.optional_blob(1)?.map(<[u8]>::to_vec) != digest {
        return Err(SignInError::RequestReused);
    }
    let key = (new.tenant_id.clone(), SessionId::from_bytes(row.array(0)?));
    let found = find(connection, dialect, std::slice::from_ref(&key))
        .await?
        .pop()
        .flatten();
    make_durable(connection, dialect, &key)
        .await
        .map_err(StoreError::from)?;
    let (session, now) =
        found.ok_or_else(|| StoreError::Conflict("the session went away".into()))?;
    Ok(SignInOutcome { session, now })
}
