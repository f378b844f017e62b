//! The outbox: events of sign-ins and refreshes that wait until a batch of the log takes them into the trail.

use std::collections::HashSet;

use portcullis_contract::id::EventId;
use serde::{Deserialize, Serialize};

use super::{
    super::{
        columns::{ONLY, columns},
        connection::Statement,
        db::Db,
        json::json,
        row::only_row,
        value::Value,
        values::{ROWS_MAX, ValueRows},
    },
    row::{AuditRow, FIRST_ROWS, Proof, details_text, event_rows},
};
use crate::StoreError;
use portcullis_domain::{Actor, Details, Micros, PendingEvent};

columns! {
    /// One row of the outbox.
    OutboxColumns { first_event, size, events }
}

/// An event as it waits: an array in JSON, because field names in each event would double the size of the outbox.
#[derive(Deserialize, Serialize)]
struct Waiting(
    String,
    i64,
    String,
    String,
    String,
    String,
    String,
    String,
    String,
    Details,
);

impl Waiting {
    fn of(event: &PendingEvent) -> Self {
        let Actor { name, via, ip } = event.actor.clone();
        Self(
            hex(event.id),
            event.at.0,
            event.tenant_id.to_string(),
            event.action.clone(),
            event.target.clone(),
            event
                .user_id
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            name,
            via,
            ip,
            event.details.clone(),
        )
    }

    fn into_row(self) -> Option<AuditRow> {
        let Self(id, at, tenant, action, target, user, name, via, ip, details) = self;
        Some(AuditRow {
            event: parse_hex(&id)?,
            ordinal: 0,
            at: Micros(at),
            tenant,
            action,
            target,
            cause: None,
            actor: [name, via, ip],
            reason: String::new(),
            user_message: String::new(),
            changed: 1,
            user,
            details: details_text(&details),
            digest: [0; 32],
            actor_proof: Proof::None,
            subject_proof: Proof::None,
            actor_erased_by: None,
            subject_erased_by: None,
        })
    }
}

/// The audit rows of an entry from one ordinal on, as they wait. Values that the rows have in common are there once.
#[derive(Deserialize, Serialize)]
struct Rest {
    event: String,
    ordinal: i64,
    at: i64,
    tenant: String,
    action: String,
    cause: Option<i64>,
    actor: [String; 3],
    reason: String,
    user_message: String,
    changed: i64,
    /// The target of each row, and the user concerned.
    targets: Vec<(String, String)>,
}

impl Rest {
    fn of(first: &AuditRow, rows: &[AuditRow]) -> Self {
        let mut targets = Vec::with_capacity(rows.len());
        for row in rows {
            targets.push((row.target.clone(), row.user.clone()));
        }
        Self {
            event: hex(first.event),
            ordinal: first.ordinal,
            at: first.at.0,
            tenant: first.tenant.clone(),
            action: first.action.clone(),
            cause: first.cause,
            actor: first.actor.clone(),
            reason: first.reason.clone(),
            user_message: first.user_message.clone(),
            changed: first.changed,
            targets,
        }
    }

    fn into_rows(self) -> Option<Vec<AuditRow>> {
        let event = parse_hex(&self.event)?;
        let mut rows = Vec::with_capacity(self.targets.len());
        for (ordinal, (target, user)) in (self.ordinal..).zip(self.targets) {
            rows.push(AuditRow {
                event,
                ordinal,
                at: Micros(self.at),
                tenant: self.tenant.clone(),
                action: self.action.clone(),
                target,
                cause: self.cause,
                actor: self.actor.clone(),
                reason: self.reason.clone(),
                user_message: self.user_message.clone(),
                changed: self.changed,
                user,
                details: String::new(),
                digest: [0; 32],
                actor_proof: Proof::None,
                subject_proof: Proof::None,
                actor_erased_by: None,
                subject_erased_by: None,
            });
        }
        Some(rows)
    }
}

/// The content of one row of the outbox.
#[derive(Deserialize)]
#[serde(untagged)]
enum Outboxed {
    Events(Vec<Waiting>),
    Rest(Box<Rest>),
}

fn hex(event: EventId) -> String {
    format!("{:032x}", u128::from_be_bytes(event.to_bytes()))
}

fn parse_hex(hex: &str) -> Option<EventId> {
    let id = u128::from_str_radix(hex, 16).ok()?;
    Some(EventId::from_bytes(id.to_be_bytes()))
}

/// The most audit rows in one row of the outbox. A batch takes whole rows, so larger ones would delay other entries.
const REST_ROWS_MAX: usize = 128;

/// The statement that lets audit rows of one entry wait, in the transaction of the entry. They must be all rows of the
/// entry after some ordinal, in order.
pub(in crate::sql) fn defer_rest(rows: &[AuditRow]) -> Option<Statement> {
    if rows.is_empty() {
        return None;
    }
    let values = ValueRows::new(rows.chunks(REST_ROWS_MAX).map(|rows| {
        let first = &rows[0];
        // Sorts right after the event itself, with a key of its own.
        let mut key = first.event.to_bytes().to_vec();
        key.extend_from_slice(&first.ordinal.to_be_bytes());
        OutboxColumns {
            first_event: Value::from(key),
            size: (rows.len() as u64).into(),
            events: json(&Rest::of(first, rows)).into(),
        }
    }));
    let sql = format!(
        "{with_v} INSERT INTO audit_outbox ({columns}) SELECT {values} FROM v WHERE TRUE ON CONFLICT DO NOTHING",
        with_v = values.with_v(),
        columns = OutboxColumns::names(),
        values = OutboxColumns::of("v"),
    );
    Some(Statement::new(sql, values.into_params()))
}

/// The statement that lets events wait, in the transaction that they report: one row, whatever their number.
pub(in crate::sql) fn defer(events: &[PendingEvent]) -> Option<Statement> {
    // The least id is the key of the row: the oldest events are taken first.
    let first = events.iter().map(|event| event.id.to_bytes()).min()?;
    let waiting: Vec<_> = events.iter().map(Waiting::of).collect();
    let sql = format!(
        "INSERT INTO audit_outbox ({}) VALUES ($1, $2, $3)",
        OutboxColumns::names()
    );
    let values: [Value; 3] = [
        first[..].into(),
        (events.len() as u64).into(),
        json(&waiting).into(),
    ];
    Some(Statement::new(sql, values))
}

/// Lets events wait, at the time of the database.
pub(in crate::sql) async fn defer_now(
    db: &mut Db,
    mut events: Vec<PendingEvent>,
) -> Result<(), StoreError> {
    let sql = format!("SELECT {}", db.dialect.now);
    let rows = db.query(&sql, &[]).await?;
    let now = only_row(&rows, "the clock")?.time(ONLY)?;
    for event in &mut events {
        event.at = now;
    }
    if let Some(statement) = defer(&events) {
        db.run(&statement).await?;
    }
    Ok(())
}

/// Returns true if an event waits.
pub(in crate::sql) async fn any(db: &mut Db) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM audit_outbox LIMIT 1";
    let rows = db.query(sql, &[]).await?;
    Ok(!rows.is_empty())
}

/// Takes the oldest events out as rows of the trail, until there are `limit` or more.
pub(in crate::sql) async fn take(db: &mut Db, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
    // An event that the trail has already is dropped: a batch that tried to insert it again would
    // fail, and with it all other events.
    let mut taken = Vec::new();
    let mut rests = Vec::new();
    for row in db.query(TAKE, &[i64::from(limit).into()]).await? {
        match parse(&row.text(ONLY)?)? {
            Outboxed::Events(waiting) => {
                for event in waiting {
                    taken.push(event.into_row().ok_or_else(unreadable)?);
                }
            }
            // Written once, with the entry, and taken once: the trail cannot have them.
            Outboxed::Rest(rest) => rests.extend(rest.into_rows().ok_or_else(unreadable)?),
        }
    }
    let mut known = find_known(db, &taken).await?;
    taken.retain(|row| known.insert(row.event.to_bytes()));
    taken.extend(rests);
    Ok(taken)
}

/// Deletes the oldest rows that hold `$1` events together. The innermost limit bounds the rows of the sum.
const TAKE: &str = "DELETE FROM audit_outbox WHERE first_event IN (SELECT w.first_event FROM \
         (SELECT o.first_event, sum(o.size) OVER (ORDER BY o.first_event) - o.size AS earlier FROM \
             (SELECT first_event, size FROM audit_outbox ORDER BY first_event LIMIT $1) o) w WHERE w.earlier < $1) \
     RETURNING events";

fn parse(events: &str) -> Result<Outboxed, StoreError> {
    serde_json::from_str(events).map_err(|_| unreadable())
}

fn unreadable() -> StoreError {
    StoreError::Internal("a row of audit_outbox cannot be read".into())
}

/// The ids of those events that the trail has.
async fn find_known(db: &mut Db, rows: &[AuditRow]) -> Result<HashSet<[u8; 16]>, StoreError> {
    let mut known = HashSet::new();
    for rows in rows.chunks(ROWS_MAX) {
        let ids = event_rows(rows.iter().map(|row| row.event));
        let sql = format!("{} SELECT e.event_id FROM {FIRST_ROWS}", ids.with_v());
        for row in db.query(&sql, ids.params()).await? {
            known.extend(row.optional_array::<16>(ONLY)?);
        }
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use portcullis_contract::id::{TenantId, UserId};

    use portcullis_domain::{AuditFilter, Entry, Mutation};

    use super::*;
    use crate::{
        AuditStore, LogStore,
        sql::{Backend, Lane, SqlStore},
        sqlite::Sqlite,
    };

    fn event(at: i64, user: &UserId, details: &[(&str, &str)]) -> PendingEvent {
        let id = EventId::generate();
        PendingEvent {
            id,
            at: Micros(at),
            tenant_id: TenantId::parse("t").expect("a tenant id"),
            action: "session.create".into(),
            target: "a session".into(),
            user_id: Some(user.clone()),
            actor: Actor::on_behalf("login", user, "192.0.2.1".into()),
            details: details
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    #[tokio::test]
    async fn deferred_events_come_back_from_the_trail_unchanged() {
        let directory = tempfile::tempdir().expect("a directory");
        let backend = std::sync::Arc::new(Sqlite::connect(directory.path()).await.expect("opens"));
        let store = SqlStore::open(std::sync::Arc::clone(&backend) as _)
            .await
            .expect("opens");
        let user = UserId::parse("u").expect("a user id");
        let events = [
            event(1, &user, &[]),
            event(3, &user, &[("city", "Zürich \"\n"), ("", "")]),
            event(2, &user, &[]),
        ];
        let mut connection = backend.connection(Lane::Write).await.expect("a connection");
        assert!(defer(&[]).is_none(), "nothing to do");
        let Statement { sql, params } = defer(&events).expect("something to do");
        connection.query(&sql, &params).await.expect("deferred");
        drop(connection);
        let entry = Entry::internal(Mutation::Record);
        store.append(&[entry]).await.expect("recorded");
        let tenant_id = TenantId::parse("t").ok();
        let filter = AuditFilter {
            tenant_id,
            actor: None,
            user_id: None,
            action: None,
            after: None,
            before: None,
        };
        let listed = store
            .list_audit_events(&filter, None, 10)
            .await
            .expect("a list");
        let back = listed.into_iter().map(|event| PendingEvent {
            id: event.position.event,
            at: event.position.at,
            tenant_id: TenantId::parse(event.tenant_id).expect("a tenant id"),
            action: event.action,
            target: event.target,
            user_id: UserId::parse(event.user_id).ok(),
            actor: event.actor,
            details: event.details,
        });
        let [first, third, second] = events;
        assert_eq!(
            back.collect::<Vec<_>>(),
            [third, second, first],
            "newest first"
        );
    }
}
