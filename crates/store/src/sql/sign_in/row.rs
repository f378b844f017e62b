//! The row of a new session: its values, how it is inserted, and how it is read back.

use portcullis_contract::{
    id::{SessionId, TenantSerial, UserSerial},
    seeded::{self, Mistake},
    view::Subject,
};

use super::{
    super::{
        columns::columns, connection::Dialect, erasure::IS_ADMITTED, json::json, policies,
        row::Row, value::Value, values::ValueRows,
    },
    limit,
};
use crate::StoreError;
use portcullis_domain::{
    Activity, ClientInfo, Micros, ProviderKey, ProviderSession, Session, SignIn, SignInOutcome,
    UserRoles, device::DeviceKind, listing::address_key, time::span,
};

columns! {
    /// A sign-in as a statement takes it. Times are spans from the time of the statement, which the database knows.
    SignInColumns {
        session_id,
        tenant_id,
        user_id,
        user_name,
        given_name,
        family_name,
        email,
        roles,
        lifetime_us,
        idle_timeout_us,
        remember_me,
        auth_time_us,
        facts,
        acr,
        ip,
        user_agent,
        device_id,
        app_name,
        salt,
        request_id,
        request_digest,
        device,
        device_type,
        device_sign_ins,
        place,
        network_beside,
        country,
        network,
        replaces,
        findings,
        provider_session,
        provider_subject,
        policy_version,
        refused_at,
        ahead,
    }
}

columns! {
    /// The columns of a new session. The others have defaults.
    NewSessionColumns {
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
        request_id,
        request_digest,
        generation,
        active_us,
        due_us,
        device,
        device_type,
        device_sign_ins,
        place,
        network_beside,
        country,
        network,
        replaces,
        findings,
        provider_session,
        provider_subject,
    }
}

columns! {
    /// The columns of a new session that only the database knows.
    InsertedColumns {
        session_id,
        serial,
        user_serial,
        tenant_serial,
        opened_revision,
        created_us,
        expires_us,
        auth_time_us,
        other_sessions,
    }
}

/// The statement that inserts the sessions of `rows` whose users are known and not disabled, whose policy is the one in
/// force, and for which there is room. `opened` is the revision of the log that they opened at. `rest` continues the
/// condition.
pub(super) fn insert(dialect: &Dialect, rows: &ValueRows, opened: &str, rest: &str) -> String {
    // The outer join is a fence. Without statistics PostgreSQL expects few users: it would go
    // through all of them and look each up among the rows. An outer join has to begin at the rows.
    // COALESCE keeps the join an outer one. PostgreSQL turns it into an inner join as soon as a
    // condition refuses null.
    let active_sessions = match seeded::has(Mistake::LimitAfterInsert) {
        true => "0".to_owned(),
        false => limit::count(dialect),
    };
    format!(
        "{with_v} INSERT INTO sessions ({names}) SELECT {session} \
         FROM v LEFT JOIN users u ON u.tenant_id = v.tenant_id AND u.user_id = v.user_id \
         WHERE COALESCE(u.user_serial, 0) > 0 AND u.disabled_us IS NULL AND {IS_ADMITTED} AND v.policy_version = {policy_version} \
             AND (v.refused_at IS NULL OR {active_sessions} + v.ahead < v.refused_at) {rest} \
         RETURNING {returned}",
        with_v = rows.with_v(),
        names = NewSessionColumns::names(),
        session = select_session(dialect, opened),
        policy_version = policies::version_of("v.tenant_id"),
        returned = select_inserted(dialect),
    )
}

/// The columns that only the database knows. The number of other sessions is that of the statement's snapshot.
fn select_inserted(dialect: &Dialect) -> String {
    let inserted = InsertedColumns {
        session_id: "session_id",
        serial: "serial",
        user_serial: "user_serial",
        tenant_serial: "tenant_serial",
        opened_revision: "opened_revision",
        created_us: "created_us",
        expires_us: "expires_us",
        auth_time_us: "auth_time_us",
        other_sessions: &limit::others(dialect),
    };
    inserted.select()
}

/// The values of a new session, in the order of its columns.
fn select_session(dialect: &Dialect, opened: &str) -> String {
    // The time of the statement is the time of all its columns, so that a session is never older
    // than its sign-in.
    let now = dialect.now;
    let expires = format!("{now} + v.lifetime_us");
    let auth_time = format!("COALESCE(v.auth_time_us, {now})");
    let due = format!("{now} + v.idle_timeout_us");
    let session = NewSessionColumns {
        tenant_id: "u.tenant_id",
        session_id: "v.session_id",
        serial: dialect.next_credential,
        user_id: "u.user_id",
        user_serial: "u.user_serial",
        tenant_serial: "u.tenant_serial",
        opened_revision: opened,
        created_us: now,
        expires_us: &expires,
        remember_me: "v.remember_me",
        auth_time_us: &auth_time,
        facts: "v.facts",
        acr: "v.acr",
        ip: "v.ip",
        user_agent: "v.user_agent",
        device_id: "v.device_id",
        app_name: "v.app_name",
        salt: "v.salt",
        request_id: "v.request_id",
        request_digest: "v.request_digest",
        generation: "0",
        active_us: now,
        due_us: &due,
        device: "v.device",
        device_type: "v.device_type",
        device_sign_ins: "v.device_sign_ins",
        place: "v.place",
        network_beside: "v.network_beside",
        country: "v.country",
        network: "v.network",
        replaces: "v.replaces",
        findings: "v.findings",
        provider_session: "v.provider_session",
        provider_subject: "v.provider_subject",
    };
    session.select()
}

/// The values of a sign-in. `ahead` is the number of sign-ins of its user that come before it in the same statement.
pub(super) fn values(new: &SignIn, ahead: u32) -> SignInColumns<Value> {
    let (request_id, request_digest) = request(new);
    let profile = &new.profile;
    let client = &new.client;
    let sight = &new.sight;
    SignInColumns {
        session_id: new.id.into(),
        tenant_id: (&new.tenant_id).into(),
        user_id: (&new.user_id).into(),
        user_name: text(&profile.user_name),
        given_name: text(&profile.given_name),
        family_name: text(&profile.family_name),
        email: text(&profile.email),
        roles: Value::Int(new.roles.map(UserRoles::code)),
        lifetime_us: span(new.lifetime).into(),
        idle_timeout_us: idle_timeout(new),
        remember_me: new.remember_me.into(),
        auth_time_us: new.auth_time.into(),
        facts: json(&new.facts).into(),
        acr: text(&new.acr),
        ip: text(&client.ip),
        user_agent: text(&client.user_agent),
        device_id: text(&client.device_id),
        app_name: text(&client.app_name),
        salt: new.salt[..].into(),
        request_id: Value::Text(request_id),
        request_digest: Value::Blob(request_digest),
        device: json(&sight.device).into(),
        device_type: device_code(sight.device.kind).into(),
        device_sign_ins: u64::from(sight.device_sign_ins).into(),
        place: json(&sight.place).into(),
        network_beside: text(&sight.network_beside),
        country: text(&sight.place.country),
        network: Value::Blob(network(client)),
        replaces: new.replaces.into(),
        findings: json(&sight.findings).into(),
        provider_session: provider_key(new, ProviderSession::session_key),
        provider_subject: provider_key(new, ProviderSession::subject_key),
        policy_version: new.policy_version.into(),
        refused_at: Value::Int(new.refused_at().map(i64::from)),
        ahead: i64::from(ahead).into(),
    }
}

fn text(value: &str) -> Value {
    value.into()
}

/// The id and the digest of the request, which make a repetition find the same session.
pub(super) fn request(new: &SignIn) -> (Option<String>, Option<Vec<u8>>) {
    match &new.request {
        Some((id, digest)) => (Some(id.clone()), Some(digest.to_vec())),
        None => (None, None),
    }
}

/// A key by which a logout token finds the session. Null: unknown.
fn provider_key(new: &SignIn, key: fn(&ProviderSession) -> Option<ProviderKey>) -> Value {
    let named = new.facts.identity_provider.as_ref();
    Value::Blob(named.and_then(key).map(|key| key.to_vec()))
}

/// When the sweep first looks at the session.
fn idle_timeout(new: &SignIn) -> Value {
    // Null where it would expire before: then there is nothing to look at.
    let timeout = new
        .idle_timeout
        .filter(|timeout| *timeout < new.lifetime)
        .map(span);
    Value::Int(timeout)
}

/// The address as lists of a network compare it.
fn network(client: &ClientInfo) -> Option<Vec<u8>> {
    // Null for a text that is not an address.
    let address = client.ip.parse().ok()?;
    Some(address_key(address).to_vec())
}

/// The number of a kind of device in the rows. It is the number of the wire format.
fn device_code(kind: DeviceKind) -> i64 {
    match kind {
        DeviceKind::Unknown => 0,
        DeviceKind::Phone => 1,
        DeviceKind::Tablet => 2,
        DeviceKind::Desktop => 3,
        DeviceKind::Program => 4,
        DeviceKind::Tv => 5,
    }
}

pub(super) fn id(row: &Row) -> Result<[u8; 16], StoreError> {
    row.array(InsertedColumns::AT.session_id)
}

pub(super) fn created(row: &Row) -> Result<Micros, StoreError> {
    row.time(InsertedColumns::AT.created_us)
}

/// Reads a new session, with the sessions that it leaves no room for. The current time is that of the row.
pub(super) fn read(
    new: &SignIn,
    row: &Row,
    excess: Vec<SessionId>,
) -> Result<SignInOutcome, StoreError> {
    let columns = InsertedColumns::AT;
    let created = created(row)?;
    let subject = Subject {
        serial: row.serial(columns.serial)?,
        user: UserSerial(row.unsigned(columns.user_serial)?),
        tenant: TenantSerial(row.unsigned(columns.tenant_serial)?),
        opened: row.revision(columns.opened_revision)?,
    };
    let session = Session {
        id: new.id,
        tenant_id: new.tenant_id.clone(),
        user_id: new.user_id.clone(),
        subject,
        created,
        expires: row.time(columns.expires_us)?,
        rotated: None,
        rotated_before: None,
        rotated_by: ClientInfo::default(),
        shared_generation: None,
        remember_me: new.remember_me,
        facts: new.facts.clone(),
        acr: new.acr.clone(),
        auth_time: row.time(columns.auth_time_us)?,
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
        is_new: true,
        other_sessions: row.count(columns.other_sessions)?,
        excess,
    })
}
