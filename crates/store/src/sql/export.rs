//! Everything that is held about a user, a page of rows at a time.
//!
//! Keys of refresh tokens and digests are not among it: they say nothing about the person, and the first are secrets.

use portcullis_contract::id::{ApiKeyId, EventId, SessionId, TenantId, UserId};

use super::{columns::Column, cursor, db::Db, row::Row, value::Value};
use crate::StoreError;
use portcullis_domain::{ExportKind, ExportedRecord, ExportedValue, Micros, PageCursor};

/// The meaning of a column.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Number,
    Time,
    Session,
    ApiKey,
    Event,
}

/// The rows of one kind: those that match `of`, which names the tenant `$1` and the user `$2`, in the order of `key`.
struct Rows<const N: usize> {
    kind: ExportKind,
    from: &'static str,
    of: &'static str,
    /// The columns of the order, each with a value before the first one.
    key: [(&'static str, Value); N],
    columns: &'static [(&'static str, Form)],
}

const BEFORE_TEXTS: Value = Value::Text(Some(String::new()));
const BEFORE_BYTES: Value = Value::Blob(Some(Vec::new()));
const BEFORE_NUMBERS: Value = Value::Int(Some(i64::MIN));

const USER: Rows<1> = Rows {
    kind: ExportKind::User,
    from: "users r",
    of: "r.tenant_id = $1 AND r.user_id = $2",
    key: [("r.user_id", BEFORE_TEXTS)],
    columns: &[
        ("tenant_id", Form::Text),
        ("user_id", Form::Text),
        ("user_serial", Form::Number),
        ("user_name", Form::Text),
        ("given_name", Form::Text),
        ("family_name", Form::Text),
        ("email", Form::Text),
        ("created_us", Form::Time),
        ("disabled_us", Form::Time),
        ("roles", Form::Number),
        ("signed_in_us", Form::Time),
        ("placed_us", Form::Time),
        ("placed_at", Form::Text),
    ],
};

const SESSIONS: Rows<1> = Rows {
    kind: ExportKind::Session,
    from: "sessions r",
    of: "r.tenant_id = $1 AND r.user_id = $2 AND r.serial > 0",
    key: [("r.session_id", BEFORE_BYTES)],
    columns: &[
        ("session_id", Form::Session),
        ("serial", Form::Number),
        ("opened_revision", Form::Number),
        ("created_us", Form::Time),
        ("expires_us", Form::Time),
        ("remember_me", Form::Number),
        ("auth_time_us", Form::Time),
        ("facts", Form::Text),
        ("acr", Form::Text),
        ("ip", Form::Text),
        ("user_agent", Form::Text),
        ("device_id", Form::Text),
        ("app_name", Form::Text),
        ("request_id", Form::Text),
        ("generation", Form::Number),
        ("rotated_us", Form::Time),
        ("rotated_before_us", Form::Time),
        ("rotated_by", Form::Text),
        ("end_event", Form::Event),
        ("device", Form::Text),
        ("device_type", Form::Number),
        ("device_sign_ins", Form::Number),
        ("place", Form::Text),
        ("network_beside", Form::Text),
        ("country", Form::Text),
        ("replaces", Form::Session),
        ("findings", Form::Text),
        ("active_us", Form::Time),
        ("actions", Form::Number),
        ("active_ip", Form::Text),
        ("active_page", Form::Text),
    ],
};

const KNOWN_SIGN_INS: Rows<2> = Rows {
    kind: ExportKind::KnownSignIn,
    from: "user_history r",
    of: "r.tenant_id = $1 AND r.user_id = $2",
    key: [("r.kind", BEFORE_NUMBERS), ("r.value", BEFORE_TEXTS)],
    columns: &[
        ("kind", Form::Number),
        ("value", Form::Text),
        ("sign_ins", Form::Number),
        ("seen_us", Form::Time),
        ("networks", Form::Text),
    ],
};

const API_KEYS: Rows<1> = Rows {
    kind: ExportKind::ApiKey,
    from: "api_keys r",
    of: "r.tenant_id = $1 AND r.owner_id = $2 AND r.serial > 0",
    key: [("r.key_id", BEFORE_BYTES)],
    columns: &[
        ("key_id", Form::ApiKey),
        ("serial", Form::Number),
        ("name", Form::Text),
        ("scopes", Form::Text),
        ("audiences", Form::Text),
        ("created_us", Form::Time),
        ("expires_us", Form::Time),
        ("active_us", Form::Time),
        ("end_event", Form::Event),
    ],
};

const API_KEY_USES: Rows<2> = Rows {
    kind: ExportKind::ApiKeyUse,
    from: "api_keys k JOIN api_key_hours r ON r.tenant_id = k.tenant_id AND r.key_id = k.key_id",
    of: "k.tenant_id = $1 AND k.owner_id = $2 AND k.serial > 0",
    key: [("r.key_id", BEFORE_BYTES), ("r.hour", BEFORE_NUMBERS)],
    columns: &[
        ("key_id", Form::ApiKey),
        ("hour", Form::Number),
        ("requests", Form::Number),
    ],
};

const EVENT_COLUMNS: &[(&str, Form)] = &[
    ("event_id", Form::Event),
    ("ordinal", Form::Number),
    ("revision", Form::Number),
    ("at_us", Form::Time),
    ("action", Form::Text),
    ("target", Form::Text),
    ("cause", Form::Number),
    ("actor", Form::Text),
    ("via", Form::Text),
    ("actor_ip", Form::Text),
    ("reason", Form::Text),
    ("user_message", Form::Text),
    ("user_id", Form::Text),
    ("details", Form::Text),
];

const EVENT_KEY: [(&str, Value); 3] = [
    ("r.at_us", BEFORE_NUMBERS),
    ("r.event_id", BEFORE_BYTES),
    ("r.ordinal", BEFORE_NUMBERS),
];

const EVENTS_ABOUT: Rows<3> = Rows {
    kind: ExportKind::EventAbout,
    from: "audit_events r",
    of: "r.tenant_id = $1 AND r.user_id = $2",
    key: EVENT_KEY,
    columns: EVENT_COLUMNS,
};

const EVENTS_BY: Rows<3> = Rows {
    kind: ExportKind::EventBy,
    from: "audit_events r",
    of: "r.tenant_id = $1 AND r.actor = 'user:' || $2",
    key: EVENT_KEY,
    columns: EVENT_COLUMNS,
};

/// Reads at most `limit` records of one kind, from after a position.
pub(super) async fn page(
    db: &mut Db,
    user: (&TenantId, &UserId),
    kind: ExportKind,
    after: Option<&PageCursor>,
    limit: u32,
) -> Result<(Vec<ExportedRecord>, Option<PageCursor>), StoreError> {
    match kind {
        ExportKind::User => read(db, user, &USER, after, limit).await,
        // It is a part of the tenant's policy, and no row of its own.
        ExportKind::Policy => Ok((Vec::new(), None)),
        ExportKind::Session => read(db, user, &SESSIONS, after, limit).await,
        ExportKind::KnownSignIn => read(db, user, &KNOWN_SIGN_INS, after, limit).await,
        ExportKind::ApiKey => read(db, user, &API_KEYS, after, limit).await,
        ExportKind::ApiKeyUse => read(db, user, &API_KEY_USES, after, limit).await,
        ExportKind::EventAbout => read(db, user, &EVENTS_ABOUT, after, limit).await,
        ExportKind::EventBy => read(db, user, &EVENTS_BY, after, limit).await,
    }
}

async fn read<const N: usize>(
    db: &mut Db,
    (tenant, user): (&TenantId, &UserId),
    rows: &Rows<N>,
    after: Option<&PageCursor>,
    limit: u32,
) -> Result<(Vec<ExportedRecord>, Option<PageCursor>), StoreError> {
    let first = rows.key.clone().map(|(_, value)| value);
    let mut values: Vec<Value> = vec![tenant.into(), user.into(), i64::from(limit).into()];
    values.extend(cursor::read(after, first)?);
    let found = db.query(&statement(rows), &values).await?;

    let mut records = Vec::with_capacity(found.len());
    for row in &found {
        records.push(read_record(rows, row)?);
    }
    // A full page may not be the last one.
    let next = match found.last() {
        Some(last) if found.len() == limit as usize => Some(position(rows, last)?),
        _ => None,
    };
    Ok((records, next))
}

/// The key comes first in each row, and then the columns.
fn statement<const N: usize>(rows: &Rows<N>) -> String {
    let keys = rows.key.clone().map(|(name, _)| name).join(", ");
    let columns: Vec<_> = rows
        .columns
        .iter()
        .map(|(name, _)| format!("r.{name}"))
        .collect();
    // The first three parameters are the tenant, the user and the limit.
    let places: Vec<_> = (4..4 + N).map(|place| format!("${place}")).collect();
    format!(
        "SELECT {keys}, {columns} FROM {from} WHERE {of} AND ({keys}) > ({places}) ORDER BY {keys} LIMIT $3",
        columns = columns.join(", "),
        from = rows.from,
        of = rows.of,
        places = places.join(", "),
    )
}

fn position<const N: usize>(rows: &Rows<N>, row: &Row) -> Result<PageCursor, StoreError> {
    let mut values = Vec::with_capacity(N);
    for place in 0..rows.key.len() {
        values.push(row.value(Column::nth(place))?.clone());
    }
    Ok(cursor::write(&values))
}

fn read_record<const N: usize>(rows: &Rows<N>, row: &Row) -> Result<ExportedRecord, StoreError> {
    let mut fields = Vec::with_capacity(rows.columns.len());
    for (place, (name, form)) in (N..).zip(rows.columns) {
        let value = read_value(row, Column::nth(place), *form)?;
        if let Some(value) = value {
            fields.push((field_name(name).to_owned(), value));
        }
    }
    Ok(ExportedRecord {
        kind: rows.kind,
        fields,
    })
}

/// The name of a column without its unit, which the value has.
fn field_name(column: &str) -> &str {
    column.strip_suffix("_us").unwrap_or(column)
}

fn read_value(row: &Row, column: Column, form: Form) -> Result<Option<ExportedValue>, StoreError> {
    if row.value(column)?.is_null() {
        return Ok(None);
    }
    let value = match form {
        Form::Text => {
            let text = row.text(column)?;
            if text.is_empty() {
                return Ok(None);
            }
            ExportedValue::Text(text)
        }
        Form::Number => ExportedValue::Number(row.int(column)?),
        Form::Time => match row.time(column)? {
            // 0 stands for never.
            Micros(0) => return Ok(None),
            time => ExportedValue::Time(time),
        },
        Form::Session => ExportedValue::Session(SessionId::from_bytes(row.array(column)?)),
        Form::ApiKey => ExportedValue::ApiKey(ApiKeyId::from_bytes(row.array(column)?)),
        Form::Event => ExportedValue::Event(EventId::from_bytes(row.array(column)?)),
    };
    Ok(Some(value))
}
