//! The outbox: events of sign-ins and refreshes, until a batch of the log takes them into the trail.

use std::collections::HashSet;

use portcullis_contract::id::EventId;
use serde::{Deserialize, Serialize};

use super::{
    Connection, Statement,
    audit::{self, AuditRow},
    connection::ValueRows,
};
use crate::{
    domain::{Actor, Details, Micros, PendingEvent},
    store::{StoreError, event_bytes},
};

/// An event as it waits.
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
            event.user_id.to_string(),
            name,
            via,
            ip,
            event.details.clone(),
        )
    }

    fn into_row(self) -> Option<AuditRow> {
        let Self(id, at, tenant, action, target, user, name, via, ip, details) = self;
        Some(AuditRow {
            event: event(&id)?,
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
            details: audit::details_text(&details),
            digest: [0; 32],
        })
    }
}

/// The audit rows of an entry from one ordinal on, as they wait: what the rows share is there once.
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
    /// The target of each row, and the user whom it concerns.
    targets: Vec<(String, String)>,
}

impl Rest {
    /// None without rows.
    fn of(rows: &[AuditRow]) -> Option<Self> {
        let first = rows.first()?;
        Some(Self {
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
            targets: rows
                .iter()
                .map(|row| (row.target.clone(), row.user.clone()))
                .collect(),
        })
    }

    fn into_rows(self) -> Option<Vec<AuditRow>> {
        let event = event(&self.event)?;
        let row = |(ordinal, (target, user)): (i64, &(String, String))| AuditRow {
            event,
            ordinal,
            at: Micros(self.at),
            tenant: self.tenant.clone(),
            action: self.action.clone(),
            target: target.clone(),
            cause: self.cause,
            actor: self.actor.clone(),
            reason: self.reason.clone(),
            user_message: self.user_message.clone(),
            changed: self.changed,
            user: user.clone(),
            details: String::new(),
            digest: [0; 32],
        };
        Some((self.ordinal..).zip(&self.targets).map(row).collect())
    }
}

/// One row of the outbox.
#[derive(Deserialize)]
#[serde(untagged)]
enum Outboxed {
    Events(Vec<Waiting>),
    Rest(Box<Rest>),
}

fn hex(event: EventId) -> String {
    format!("{:032x}", u128::from_be_bytes(event.to_bytes()))
}

fn event(hex: &str) -> Option<EventId> {
    let id = u128::from_str_radix(hex, 16).ok()?;
    Some(EventId::from_bytes(id.to_be_bytes()))
}

/// The audit rows of one row of the outbox: a batch takes a few of those at a time.
const REST_ROWS: usize = 128;

/// What lets audit rows of one entry wait, in the transaction of the entry. They are all of its rows after some ordinal,
/// in order.
pub(super) fn defer_rest(rows: &[AuditRow]) -> Option<Statement> {
    let chunks = rows.chunks(REST_ROWS).filter_map(Rest::of);
    let values = chunks.map(|rest| {
        let (event, ordinal) = (event(&rest.event), rest.ordinal);
        // Behind the event that they are of, each with a key of its own.
        let mut key = event.map_or_else(Vec::new, event_bytes);
        key.extend_from_slice(&ordinal.to_be_bytes());
        let json = serde_json::to_string(&rest).expect("texts and numbers serialize");
        [key.into(), (rest.targets.len() as u64).into(), json.into()]
    });
    let values = ValueRows::new(values);
    if values.params.is_empty() {
        return None;
    }
    let sql = format!(
        "INSERT INTO audit_outbox (first_event, size, events) \
         SELECT v.column1, v.column2, v.column3 FROM (VALUES {}) AS v WHERE TRUE ON CONFLICT DO NOTHING",
        values.text
    );
    Some(Statement {
        sql,
        params: values.params,
    })
}

/// What lets events wait, in the transaction of what they tell of: one row, however many there are.
pub(super) fn defer(events: &[PendingEvent]) -> Option<Statement> {
    let first = events.iter().map(|event| event.id.to_bytes()).min()?;
    let waiting: Vec<_> = events.iter().map(Waiting::of).collect();
    let json = serde_json::to_string(&waiting).expect("texts and numbers serialize");
    Some(Statement {
        sql: "INSERT INTO audit_outbox (first_event, size, events) VALUES ($1, $2, $3)".into(),
        params: vec![first[..].into(), (events.len() as u64).into(), json.into()],
    })
}

/// Whether an event waits.
pub(super) async fn any(connection: &mut dyn Connection) -> Result<bool, StoreError> {
    Ok(!connection
        .query("SELECT 1 FROM audit_outbox LIMIT 1", &[])
        .await?
        .is_empty())
}

/// Takes the oldest events out, as rows of the trail: `limit` or more if so many wait. What the trail has already is
/// dropped: it must not keep the others from getting there.
pub(super) async fn take(
    connection: &mut dyn Connection,
    limit: u32,
) -> Result<Vec<AuditRow>, StoreError> {
    let sql = "DELETE FROM audit_outbox WHERE first_event IN (SELECT w.first_event FROM \
             (SELECT o.first_event, sum(o.size) OVER (ORDER BY o.first_event) - o.size AS earlier FROM \
                 (SELECT first_event, size FROM audit_outbox ORDER BY first_event LIMIT $1) o) w WHERE w.earlier < $1) \
         RETURNING events";
    let mut taken = Vec::new();
    let mut rests = Vec::new();
    for row in connection.query(sql, &[i64::from(limit).into()]).await? {
        let unreadable = || StoreError::Internal("events that wait are not what they were".into());
        match serde_json::from_str(&row.text(0)?).map_err(|_| unreadable())? {
            Outboxed::Events(waiting) => {
                let rows = waiting
                    .into_iter()
                    .map(Waiting::into_row)
                    .collect::<Option<Vec<_>>>();
                taken.extend(rows.ok_or_else(unreadable)?);
            }
            // Written once, with the entry, and taken once: the trail cannot have them.
            Outboxed::Rest(rest) => rests.extend(rest.into_rows().ok_or_else(unreadable)?),
        }
    }
    let mut known = known(connection, &taken).await?;
    taken.retain(|row| known.insert(row.event.to_bytes()));
    taken.extend(rests);
    Ok(taken)
}

/// Those of these events that the trail has.
async fn known(
    connection: &mut dyn Connection,
    rows: &[AuditRow],
) -> Result<HashSet<[u8; 16]>, StoreError> {
    let mut known = HashSet::new();
    for rows in rows.chunks(1_024) {
        let ids = ValueRows::new(rows.iter().map(|row| [event_bytes(row.event).into()]));
        let sql = format!("SELECT e.event_id FROM {}", audit::firsts(&ids));
        for row in connection.query(&sql, &ids.params).await? {
            if row.optional_blob(0)?.is_some() {
                known.insert(row.array(0)?);
            }
        }
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use portcullis_contract::id::{TenantId, UserId};

    use super::*;
    use crate::{
        domain::{AuditFilter, Entry, Mutation},
        store::{
            AuditStore, LogStore,
            sql::{Backend, Lane, SqlStore},
            sqlite::Sqlite,
        },
    };

    fn event(at: i64, user: &UserId, details: &[(&str, &str)]) -> PendingEvent {
        let id = EventId::generate();
        PendingEvent {
            id,
            at: Micros(at),
            tenant_id: TenantId::parse("t").expect("a tenant id"),
            action: "session.create".into(),
            target: "a session".into(),
            user_id: user.clone(),
            actor: Actor::on_behalf("login", user, "192.0.2.1".into()),
            details: details
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    #[tokio::test]
    async fn what_is_deferred_comes_back_from_the_trail_as_it_was() {
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
        let entry = Entry {
            event_id: EventId::generate(),
            actor: Actor::authority(),
            reason: String::new(),
            user_message: String::new(),
            trace_parent: None,
            mutation: Mutation::Record,
        };
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
            user_id: UserId::parse(event.user_id).expect("a user id"),
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
