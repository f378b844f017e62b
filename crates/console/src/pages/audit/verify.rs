//! "Verify the trail": the verdict about the chain of all events, in words.

use std::time::{Duration, Instant};

use portcullis_contract::v1;
use tonic::Status;

use super::view::{GoOn, Verdict};
use crate::{page::Room, pages::answer::is_reason, person::Person, problem::Problem, words::Value};

/// After this time a page answers with the result so far, and a button to go on.
const TIME_MAX: Duration = Duration::from_secs(5);
/// The revisions of one call.
const REVISIONS: u32 = 20_000;

/// The place where a verification begins, and the result up to there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Start {
    pub(super) after: u64,
    pub(super) verified: u64,
}

/// Verifies the trail from a revision on.
pub(super) async fn verify(person: &Person, start: Start) -> Result<Verdict, Problem> {
    let begin = Instant::now();
    let mut verified = start.verified;
    let mut after = start.after;
    loop {
        let step = match read_step(person, after).await {
            Ok(step) => step,
            Err(status) if is_reason(&status, v1::ErrorReason::PermissionDenied) => {
                return Ok(denied(person));
            }
            Err(status) => return Err(status.into()),
        };
        // The number may come from a form, so it must not overflow.
        verified = verified.saturating_add(step.verified);
        if let Some(fault) = &step.fault {
            return Ok(changed(person, fault));
        }
        if step.through_revision >= step.head_revision {
            return Ok(unchanged(person, verified, step.head_revision));
        }
        after = step.through_revision;
        // A step that verified nothing would be repeated for ever.
        if begin.elapsed() >= TIME_MAX || step.verified == 0 {
            return Ok(unfinished(
                person,
                Start { after, verified },
                step.head_revision,
            ));
        }
    }
}

async fn read_step(person: &Person, after: u64) -> Result<v1::VerifyAuditTrailResponse, Status> {
    let request = v1::VerifyAuditTrailRequest {
        after_revision: after,
        revisions_max: REVISIONS,
    };
    let answer = person.authority.audit().verify_audit_trail(request).await?;
    Ok(answer.into_inner())
}

fn verdict(person: &Person, tone: &'static str, headline: &str, lines: Vec<String>) -> Verdict {
    Verdict {
        page: person.frame(Room::Audit),
        tone,
        headline: person.words.text(headline),
        lines,
        problem: None,
        go_on: None,
        is_denied: false,
    }
}

fn denied(person: &Person) -> Verdict {
    let why = person.words.text("audit-verify-denied-why");
    Verdict {
        is_denied: true,
        ..verdict(person, "notice", "audit-verify-denied", vec![why])
    }
}

fn unchanged(person: &Person, verified: u64, head: u64) -> Verdict {
    let values = [("verified", verified), ("head", head)];
    let line = person.words.with("audit-verify-good-detail", values);
    verdict(person, "done", "audit-verify-good", vec![line])
}

fn unfinished(person: &Person, start: Start, head: u64) -> Verdict {
    let values = [("through", start.after), ("head", head)];
    let line = person.words.with("audit-verify-part-detail", values);
    Verdict {
        go_on: Some(GoOn {
            after: start.after,
            verified: start.verified,
        }),
        ..verdict(person, "notice", "audit-verify-part", vec![line])
    }
}

fn changed(person: &Person, fault: &v1::AuditFault) -> Verdict {
    let words = person.words;
    let mut lines = vec![words.with("audit-verify-bad-detail", [("revision", fault.revision)])];
    if !fault.event_id.is_empty() {
        let values = [
            ("event", Value::from(&fault.event_id)),
            ("ordinal", Value::from(fault.ordinal)),
        ];
        lines.push(words.with("audit-verify-bad-event", values));
    }
    Verdict {
        problem: Some(fault.problem.clone()),
        ..verdict(person, "danger-box", "audit-verify-bad", lines)
    }
}
