//! The audit trail as messages of the wire.

use portcullis_contract::v1;

use super::{cause, timestamp};
use crate::domain::{AuditEvent, AuditFault, DeadLetter, ErasedRows, TrailBegin};

pub(crate) fn audit_event(event: AuditEvent) -> v1::AuditEvent {
    v1::AuditEvent {
        id: event.position.event.to_string(),
        ordinal: event.position.ordinal,
        time: Some(timestamp(event.position.at)),
        tenant_id: event.tenant_id,
        action: event.action,
        target: event.target,
        user_id: event.user_id,
        actor: event.actor.name,
        via: event.actor.via,
        actor_ip: event.actor.ip,
        reason: event.reason,
        user_message: event.user_message,
        revision: event.revision.0,
        details: event.details.into_iter().collect(),
        cause: event.cause.map_or(0, |known| cause(known).into()),
        actor_erased: event.is_actor_erased,
        subject_erased: event.is_subject_erased,
    }
}

pub(crate) fn dead_letter(letter: DeadLetter) -> v1::DeadLetter {
    v1::DeadLetter {
        export: letter.export,
        event_id: letter.id.event.to_string(),
        ordinal: letter.id.ordinal,
        tenant_id: letter.tenant_id,
        time: Some(timestamp(letter.died)),
        problem: letter.problem,
        retrying: letter.is_due,
        event_gone: letter.is_event_gone,
    }
}

pub(crate) fn erased_rows(rows: &ErasedRows) -> v1::ErasedAuditRows {
    v1::ErasedAuditRows {
        erasure_id: rows.erasure.to_string(),
        rows: rows.rows,
        first_revision: rows.first.0,
        last_revision: rows.last.0,
    }
}

pub(crate) fn audit_fault(fault: &AuditFault) -> v1::AuditFault {
    let (event_id, ordinal) = match fault.row {
        Some((event, ordinal)) => (event.to_string(), ordinal),
        None => Default::default(),
    };
    v1::AuditFault {
        revision: fault.revision.0,
        event_id,
        ordinal,
        problem: fault.problem.to_owned(),
    }
}

/// None while nothing is gone.
pub(crate) fn trail_begin(begin: &TrailBegin) -> Option<v1::AuditTrailBegin> {
    if begin.revision.0 == 0 {
        return None;
    }
    Some(v1::AuditTrailBegin {
        revision: begin.revision.0,
        chain: begin.chain.0.to_vec().into(),
        revisions: begin.batches,
        events: begin.rows,
    })
}
