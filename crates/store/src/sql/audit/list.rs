//! Lists of audit events.

use portcullis_contract::{
    id::{EventId, TenantId},
    position::Revision,
};

use super::{
    super::{connection::Statement, db::Db, row::Row, value::Value},
    row::{AuditRow, read_details, revision, select_columns},
};
use crate::StoreError;
use portcullis_domain::{
    Actor, AuditEvent, AuditFilter, AuditPosition, Cause, Micros, TrailPosition,
};

/// Lists events, newest first.
pub(in crate::sql) async fn list(
    db: &mut Db,
    filter: &AuditFilter,
    below: Option<AuditPosition>,
    limit: u32,
) -> Result<Vec<AuditEvent>, StoreError> {
    let statement = list_statement(filter, below, limit);
    let rows = db.run(&statement).await?;
    rows.iter().map(read).collect()
}

/// Lists the events of all tenants in the order of the log, from behind a place up to a revision.
pub(in crate::sql) async fn list_behind(
    db: &mut Db,
    place: TrailPosition,
    through: Revision,
    limit: u32,
) -> Result<Vec<AuditEvent>, StoreError> {
    let sql = format!(
        "SELECT {columns} FROM audit_events WHERE (revision, event_id, ordinal) > ($1, $2, $3) AND revision <= $4 \
         ORDER BY revision, event_id, ordinal LIMIT $5",
        columns = select_columns(),
    );
    let values: [Value; 5] = [
        place.revision.into(),
        place.event.into(),
        i64::from(place.ordinal).into(),
        through.into(),
        i64::from(limit).into(),
    ];
    let rows = db.query(&sql, &values).await?;
    rows.iter().map(read).collect()
}

fn list_statement(filter: &AuditFilter, below: Option<AuditPosition>, limit: u32) -> Statement {
    // Each filter has an index in the order of the list.
    let below = below.unwrap_or_else(|| beginning(filter));
    // Events of the installation have no tenant; they stand under the empty id.
    let tenant = filter.tenant_id.as_ref().map_or("", TenantId::as_str);
    let mut values: Vec<Value> = vec![
        tenant.into(),
        below.at.into(),
        below.event.into(),
        i64::from(below.ordinal).into(),
        i64::from(limit).into(),
    ];
    let conditions = conditions(filter, &mut values);
    // A row comparison, because it is the only form of "after this position" that both engines look
    // up in an index.
    let sql = format!(
        "SELECT {columns} FROM audit_events WHERE tenant_id = $1 AND (at_us, event_id, ordinal) < ($2, $3, $4){conditions} \
         ORDER BY at_us DESC, event_id DESC, ordinal DESC LIMIT $5",
        columns = select_columns(),
    );
    Statement::new(sql, values)
}

/// The position above the first event of the list.
fn beginning(filter: &AuditFilter) -> AuditPosition {
    // No event is below the first position of an instant but those of earlier instants.
    AuditPosition {
        at: filter.before.unwrap_or(Micros(i64::MAX)),
        event: EventId::from_bytes([0; 16]),
        ordinal: 0,
    }
}

/// The conditions of a filter, each after an AND. Adds their values.
fn conditions(filter: &AuditFilter, values: &mut Vec<Value>) -> String {
    let set = [
        ("actor =", filter.actor.as_deref().map(Value::from)),
        ("user_id =", filter.user_id.as_ref().map(Value::from)),
        ("action =", filter.action.as_deref().map(Value::from)),
        ("at_us >=", filter.after.map(Value::from)),
    ];
    let mut conditions = String::new();
    for (condition, value) in set {
        if let Some(value) = value {
            values.push(value);
            conditions.push_str(&format!(" AND {condition} ${}", values.len()));
        }
    }
    conditions
}

pub(super) fn read(row: &Row) -> Result<AuditEvent, StoreError> {
    let revision = revision(row)?;
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
        // The trail must stay readable for an authority of an earlier version, which does not know every cause.
        cause: row.cause.and_then(Cause::from_code),
        revision,
        details: read_details(&row.details)?,
        is_actor_erased: row.actor_proof.is_erased(),
        is_subject_erased: row.subject_proof.is_erased(),
    })
}
