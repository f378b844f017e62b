//! The audit trail: list its events, verify its rows.

use portcullis_contract::position::{Position, Revision};

use super::{App, AppError, Caller};
use crate::{
    domain::{
        AuditEvent, AuditFault, AuditFilter, AuditPosition, AuditVerdict, CodedRecord, SignedOut,
    },
    keys::{MasterKeys, Unsealable},
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
        verdict.fault = find_unproven(app.secrets.master(), &verdict.records);
    }
    // A fault in the rows says where the trail was changed. The comparison could only say that it was.
    if verdict.fault.is_none() {
        verdict.fault = compare_with_applied(app, after, &verdict, applied).await?;
    }
    Ok(verdict)
}

/// Finds the first record of a removal that this authority cannot prove to be of an authority.
fn find_unproven(master: &MasterKeys, records: &[CodedRecord]) -> Option<AuditFault> {
    for record in records {
        let problem = match master.verify(&record.bytes, &record.code) {
            Ok(()) => continue,
            Err(Unsealable::Damaged) => "no authority has made the record of a removal",
            // The id in front of the code is public, so a forger can name a key that nobody has.
            Err(Unsealable::OtherKey { .. }) => {
                "the record of a removal names a master key that this authority does not have: add that key to \
                 keys.other_master_keys, or it is forged"
            }
        };
        return Some(AuditFault {
            revision: record.revision,
            row: None,
            problem,
        });
    }
    None
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::MasterKey;

    #[test]
    fn a_record_of_a_key_that_is_missing_is_told_from_a_forged_one() {
        let master = MasterKeys::from(MasterKey::generate());
        let record = |revision: u64, code: Vec<u8>| CodedRecord {
            revision: Revision(revision),
            bytes: b"record".to_vec(),
            code,
        };
        let genuine = record(1, master.authenticate(b"record"));
        assert_eq!(find_unproven(&master, &[]), None);
        assert_eq!(find_unproven(&master, std::slice::from_ref(&genuine)), None);

        let forged = record(2, master.authenticate(b"another"));
        let cut = record(3, Vec::new());
        let foreign = MasterKeys::from(MasterKey::generate());
        let of_other_key = record(4, foreign.authenticate(b"record"));
        for (unproven, word) in [
            (forged, "no authority has made"),
            (cut, "no authority has made"),
            (of_other_key, "keys.other_master_keys"),
        ] {
            let revision = unproven.revision;
            let fault = find_unproven(&master, &[genuine.clone(), unproven]);
            let fault = fault.expect("a fault");
            assert_eq!(fault.revision, revision);
            assert!(fault.problem.contains(word), "{fault:?}");
        }
    }
}
