//! The audit trail: list its events, verify its rows.

use portcullis_contract::position::{Position, Revision};

use super::{App, AppError, Caller};
use crate::{
    domain::{
        AuditEvent, AuditFault, AuditFilter, AuditPosition, AuditVerdict, CodedRecord, SignedOut,
    },
    keys::MasterKeys,
    store::Codes,
};

/// One page of a list of events.
pub(crate) struct AuditPage {
    /// Without the fields that the caller may not see.
    pub(crate) events: Vec<AuditEvent>,
    /// The position below which the next page begins. None: this is the last page.
    pub(crate) next: Option<AuditPosition>,
}

/// Lists the events that match a filter, newest first, from below a position.
pub(crate) async fn list_audit_events(
    app: &App,
    caller: &Caller,
    filter: &AuditFilter,
    below: Option<AuditPosition>,
    page_size: u32,
) -> Result<AuditPage, AppError> {
    // One more than the page: its presence tells that there is a next page.
    let mut events = app
        .store
        .list_audit_events(filter, below, page_size + 1)
        .await?;
    let has_more = events.len() > page_size as usize;
    events.truncate(page_size as usize);

    let next = match events.last() {
        Some(last) if has_more => Some(last.position),
        _ => None,
    };
    for event in &mut events {
        hide_from(caller, event);
    }
    Ok(AuditPage { events, next })
}

/// Clears the fields of an event that a caller may not see.
fn hide_from(caller: &Caller, event: &mut AuditEvent) {
    // The table admits support, administrators and operators. All of them may see whole events.
    let Some(own) = caller.own_user() else {
        return;
    };
    // Services and reasons are for administrators. The user has a message of their own.
    event.actor.via.clear();
    event.reason.clear();
    // The number is of the call as a whole, which may have ended sessions of others.
    event.details.remove(SignedOut::DETAIL);
    // Who else acted, and from where, is personal data of that person. The details stay: they are about the user.
    if !event.actor.is_user(own) && !event.actor.is_authority() {
        event.actor.name.clear();
        event.actor.ip.clear();
    }
}

/// Recomputes the chain from the rows of at most `revisions_max` revisions after `after`, and compares it.
pub(crate) async fn verify_audit_trail(
    app: &App,
    after: Revision,
    revisions_max: u32,
) -> Result<AuditVerdict, AppError> {
    // Read before the log: the log must contain at least the revisions that this authority has applied by now.
    let applied = app.feed.view().position();
    let verdict = app
        .store
        .verify_audit_trail(after, revisions_max.into())
        .await?;
    let Some(mut verdict) = verdict else {
        return Err(AppError::invalid(
            "after_revision",
            "must be a revision of the log",
        ));
    };
    // The store cannot tell a removal because of age from one by somebody else. The codes can.
    if verdict.fault.is_none() {
        verdict.fault = find_forged(&RecordCodes(app.secrets.master()), &verdict.records);
    }
    // A fault in the rows says where the trail was changed. The comparison could only say that it was.
    if verdict.fault.is_none() {
        verdict.fault = compare_with_applied(app, after, &verdict, applied).await?;
    }
    Ok(verdict)
}

fn find_forged(codes: &dyn Codes, records: &[CodedRecord]) -> Option<AuditFault> {
    let forged = records.iter().find(|record| !codes.is_genuine(record))?;
    Some(AuditFault {
        revision: forged.revision,
        row: None,
        problem: "no authority has made the record of a removal",
    })
}

/// The codes of records of removals, by the master key.
pub(crate) struct RecordCodes<'a>(pub(crate) &'a MasterKeys);

impl Codes for RecordCodes<'_> {
    fn make(&self, bytes: &[u8]) -> Vec<u8> {
        self.0.authenticate(bytes)
    }

    fn is_authentic(&self, bytes: &[u8], code: &[u8]) -> bool {
        self.0.verify(bytes, code).is_ok()
    }
}

/// Compares the chain of the log with the chain that this authority has applied.
async fn compare_with_applied(
    app: &App,
    after: Revision,
    verdict: &AuditVerdict,
    applied: Position,
) -> Result<Option<AuditFault>, AppError> {
    // Somebody who rewrites the whole trail can make it consistent in itself. Its chain then differs from the one that the
    // authorities saw while it was written.
    let reaches_head = verdict.through >= verdict.head;
    let is_covered =
        applied.revision > after && (reaches_head || applied.revision <= verdict.through);
    if !is_covered {
        return Ok(None);
    }
    if app.store.chain(applied.revision).await? == Some(applied.chain) {
        return Ok(None);
    }
    Ok(Some(AuditFault {
        revision: applied.revision,
        row: None,
        problem: "the log up to here is not the one that this authority has applied",
    }))
}
