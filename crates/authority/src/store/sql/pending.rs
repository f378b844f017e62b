//! The outbox: events of sign-ins and refreshes, until a batch of the log takes them into the trail.

use super::{Connection, DbError, Row, audit, audit::AuditRow, connection::ValueRows};
use crate::{
    domain::{Actor, Micros, PendingEvent},
    store::{StoreError, event_bytes},
};
use portcullis_contract::id::EventId;

const NAMES: &str = "event_id, at_us, tenant_id, action, target, user_id, actor, via, actor_ip, details";

/// Lets events wait, in the transaction of what they tell of.
pub(super) async fn defer(connection: &mut dyn Connection, events: &[PendingEvent]) -> Result<(), DbError> {
    if events.is_empty() {
        return Ok(());
    }
    let rows = ValueRows::new(events.iter().map(|event| {
        let Actor { name, via, ip } = &event.actor;
        [
            event_bytes(event.id).into(),
            event.at.0.into(),
            event.tenant_id.as_str().into(),
            event.action.as_str().into(),
            event.target.as_str().into(),
            event.user_id.as_str().into(),
            name.as_str().into(),
            via.as_str().into(),
            ip.as_str().into(),
            audit::details_text(&event.details).into(),
        ]
    }));
    let sql = format!("INSERT INTO audit_pending ({NAMES}) VALUES {} ON CONFLICT DO NOTHING", rows.text);
    connection.query(&sql, &rows.params).await?;
    Ok(())
}

/// Whether an event waits.
pub(super) async fn any(connection: &mut dyn Connection) -> Result<bool, StoreError> {
    Ok(!connection.query("SELECT 1 FROM audit_pending LIMIT 1", &[]).await?.is_empty())
}

/// Takes the oldest events out, as rows of the trail. What the trail has already is dropped: it must not keep the others
/// from getting there.
pub(super) async fn take(connection: &mut dyn Connection, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
    let sql = format!(
        "DELETE FROM audit_pending WHERE event_id IN (SELECT event_id FROM audit_pending ORDER BY event_id LIMIT $1) \
         RETURNING {NAMES}, (SELECT 1 FROM audit_events e \
             WHERE e.event_id = audit_pending.event_id AND e.ordinal = 0) AS known"
    );
    let rows = connection.query(&sql, &[i64::from(limit).into()]).await?;
    let fresh = rows.iter().filter(|row| row.optional_int(10).is_ok_and(|known| known.is_none()));
    fresh.map(read).collect()
}

fn read(row: &Row) -> Result<AuditRow, StoreError> {
    Ok(AuditRow {
        event: EventId::from_bytes(row.array(0)?),
        ordinal: 0,
        at: Micros(row.int(1)?),
        tenant: row.text(2)?,
        action: row.text(3)?,
        target: row.text(4)?,
        cause: None,
        actor: [row.text(6)?, row.text(7)?, row.text(8)?],
        reason: String::new(),
        user_message: String::new(),
        changed: 1,
        user: row.text(5)?,
        details: row.text(9)?,
        digest: [0; 32],
    })
}

#[cfg(test)]
mod tests {
    use portcullis_contract::id::{TenantId, UserId};

    use super::*;
    use crate::{
        domain::{AuditFilter, Entry, Mutation},
        store::{
            Store,
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
            details: details.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        }
    }

    #[tokio::test]
    async fn what_is_deferred_comes_back_from_the_trail_as_it_was() {
        let directory = tempfile::tempdir().expect("a directory");
        let backend = std::sync::Arc::new(Sqlite::connect(directory.path()).await.expect("opens"));
        let store = SqlStore::open(std::sync::Arc::clone(&backend) as _).await.expect("opens");
        let user = UserId::parse("u").expect("a user id");
        let events =
            [event(1, &user, &[]), event(3, &user, &[("city", "Zürich \"\n"), ("", "")]), event(2, &user, &[])];
        let mut connection = backend.connection(Lane::Write).await.expect("a connection");
        defer(&mut *connection, &[]).await.expect("nothing to do");
        defer(&mut *connection, &events).await.expect("deferred");
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
        let tenant_id = TenantId::parse("t").expect("a tenant id");
        let filter = AuditFilter { tenant_id, actor: None, user_id: None, action: None, after: None, before: None };
        let listed = store.list_audit_events(&filter, None, 10).await.expect("a list");
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
        assert_eq!(back.collect::<Vec<_>>(), [third, second, first], "newest first");
    }
}
