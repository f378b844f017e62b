//! The audit trail behind the authority's back: events that wait, rows as they are stored.

use std::sync::Arc;

use portcullis_authority::{
    domain::{AuditEvent, AuditFilter},
    store::{
        Store,
        sql::{Backend, Column, Lane, Value},
    },
};
use portcullis_contract::id::EventId;

use crate::given::tenant;

/// Lets an event of a user of `tenant_id` wait, as a sign-in does.
///
/// # Panics
/// When it cannot be written.
pub async fn defer(engine: &Arc<dyn Backend>, tenant_id: &str, user_id: &str) -> EventId {
    let event = EventId::generate();
    let (target, actor) = (format!("the target of {event}"), format!("user:{user_id}"));
    let via = ["service:login", "192.0.2.1"];
    defer_as(
        engine,
        event,
        &[
            tenant_id,
            "session.create",
            &target,
            user_id,
            &actor,
            via[0],
            via[1],
        ],
    )
    .await;
    event
}

/// Lets an event wait whose tenant, action, target, user, actor, service and address are `texts`.
///
/// # Panics
/// When it cannot be written.
pub async fn defer_as(engine: &Arc<dyn Backend>, event: EventId, texts: &[&str; 7]) {
    let id = format!("{:032x}", u128::from_be_bytes(event.to_bytes()));
    let texts = texts.map(|text| format!("{text:?}")).join(", ");
    let json = format!("[[\"{id}\", 1000000, {texts}, {{\"country\": \"CH\"}}]]");
    let values: [Value; 2] = [event.to_bytes()[..].into(), json.into()];
    let mut connection = engine.connection(Lane::Write).await.expect("a connection");
    connection
        .query("INSERT INTO audit_outbox VALUES ($1, 1, $2)", &values)
        .await
        .expect("the event waits");
}

/// The event and number of each row of a batch, in order.
///
/// # Panics
/// When they cannot be read.
pub async fn rows(engine: &Arc<dyn Backend>, revision: u64) -> Vec<(EventId, u32)> {
    let sql =
        "SELECT event_id, ordinal FROM audit_events WHERE revision = $1 ORDER BY event_id, ordinal";
    let mut connection = engine.connection(Lane::Read).await.expect("a connection");
    let rows = connection
        .query(sql, &[revision.into()])
        .await
        .expect("rows");
    let read = |row: &portcullis_authority::store::sql::Row| {
        (
            EventId::from_bytes(row.array(Column::nth(0)).expect("an id")),
            u32::try_from(row.int(Column::nth(1)).expect("a number")).expect("small"),
        )
    };
    rows.iter().map(read).collect()
}

/// Everything of a tenant.
#[must_use]
pub fn everything(tenant_id: &str) -> AuditFilter {
    AuditFilter {
        tenant_id: Some(tenant(tenant_id)),
        actor: None,
        user_id: None,
        action: None,
        after: None,
        before: None,
    }
}

/// The newest events of a list.
///
/// # Panics
/// When there is no list.
pub async fn list(store: &dyn Store, filter: &AuditFilter) -> Vec<AuditEvent> {
    store
        .list_audit_events(filter, None, 10_000)
        .await
        .expect("a list")
}
