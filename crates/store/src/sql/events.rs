//! Lists of audit events.

use portcullis_contract::{
    id::{EventId, TenantId},
    position::Revision,
};

use super::{
    Connection, Row, Value,
    audit::{self, AuditRow},
};
use crate::{
    domain::{Actor, AuditEvent, AuditFilter, AuditPosition, Micros},
    store::StoreError,
};

/// Events, newest first. Each filter has an index that goes on in the order of the list.
pub(super) async fn list(
    connection: &mut dyn Connection,
    filter: &AuditFilter,
    below: Option<AuditPosition>,
    limit: u32,
) -> Result<Vec<AuditEvent>, StoreError> {
    // No event is below the first one of an instant but those before it.
    let end = filter.before.unwrap_or(Micros(i64::MAX));
    let below = below.unwrap_or(AuditPosition {
        at: end,
        event: EventId::from_bytes([0; 16]),
        ordinal: 0,
    });
    let mut values: Vec<Value> = vec![
        // What is of no tenant stands under the empty id.
        filter
            .tenant_id
            .as_ref()
            .map_or("", TenantId::as_str)
            .into(),
        below.at.0.into(),
        below.event.to_bytes()[..].into(),
        i64::from(below.ordinal).into(),
        i64::from(limit).into(),
    ];
    let mut conditions = String::new();
    let equals = [
        ("actor =", filter.actor.as_deref().map(Value::from)),
        (
            "user_id =",
            filter.user_id.as_ref().map(|id| id.as_str().into()),
        ),
        ("action =", filter.action.as_deref().map(Value::from)),
        ("at_us >=", filter.after.map(|after| after.0.into())),
    ];
    for (condition, value) in equals
        .into_iter()
        .filter_map(|(condition, value)| Some((condition, value?)))
    {
        values.push(value);
        conditions.push_str(&format!(" AND {condition} ${}", values.len()));
    }
    let sql = format!(
        "SELECT {names} FROM audit_events WHERE tenant_id = $1 AND (at_us, event_id, ordinal) < ($2, $3, $4){conditions} \
         ORDER BY at_us DESC, event_id DESC, ordinal DESC LIMIT $5",
        names = audit::NAMES,
    );
    connection
        .query(&sql, &values)
        .await?
        .iter()
        .map(read)
        .collect()
}

fn read(row: &Row) -> Result<AuditEvent, StoreError> {
    let revision = Revision(row.unsigned(2)?);
    let row = AuditRow::read(row)?;
    let [name, via, ip] = row.actor;
    let ordinal = u32::try_from(row.ordinal)
        .map_err(|_| StoreError::Internal("an ordinal is out of range".into()))?;
    Ok(AuditEvent {
        position: AuditPosition {
            at: row.at,
            event: row.event,
            ordinal,
        },
        tenant_id: row.tenant,
        action: row.action,
        target: row.target,
        user_id: row.user,
        actor: Actor { name, via, ip },
        reason: row.reason,
        user_message: row.user_message,
        revision,
        details: audit::details(&row.details)?,
    })
}
