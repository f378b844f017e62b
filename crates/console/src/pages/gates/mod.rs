//! Gates: the doors that enforce, for the operators of the installation.
//!
//! Gates serve every tenant, so the authority shows them only to administrators of the tenant that its configuration
//! names. Everybody else learns here who may see them, and from the receipts how many there are.

mod view;

use axum::{Router, response::Response, routing::get};
use http::StatusCode;
use portcullis_contract::v1;

use self::view::{Denied, List};
use super::answer::{is_reason, respond};
use crate::{person::Person, problem::Problem, state::State};

pub(crate) fn routes() -> Router<State> {
    Router::new().route("/gates", get(list))
}

async fn list(person: Person) -> Result<Response, Problem> {
    let request = v1::ListValidatorsRequest {};
    let answer = person.authority.revocation().list_validators(request).await;
    match answer {
        Ok(answer) => respond(StatusCode::OK, &List::new(&person, &answer.into_inner())),
        Err(status) if is_reason(&status, v1::ErrorReason::PermissionDenied) => {
            let receipt = newest_receipt(&person).await?;
            let denied = Denied::new(&person, receipt.as_ref());
            respond(StatusCode::FORBIDDEN, &denied)
        }
        Err(status) => Err(status.into()),
    }
}

/// The receipt of the newest change that the person may see: how many gates there are, and how many have applied it. The
/// authority tells these counts to everybody.
async fn newest_receipt(person: &Person) -> Result<Option<v1::Enforcement>, Problem> {
    let Some(revision) = newest_revision(person).await? else {
        return Ok(None);
    };
    let request = v1::WaitForEnforcementRequest {
        revision,
        // At once: a page does not wait for gates.
        timeout: Some(prost_types::Duration::default()),
    };
    let mut authority = person.authority.revocation();
    let answer = authority.wait_for_enforcement(request).await?;
    Ok(answer.into_inner().receipt)
}

/// The revision of the newest event that the person may see. None: there is no event.
async fn newest_revision(person: &Person) -> Result<Option<u64>, Problem> {
    // Staff have to name the tenant to see its events. Everybody else sees those about themselves
    // without it.
    let tenant_id = match person.roles.reads() {
        true => person.tenant.clone(),
        false => String::new(),
    };
    let request = v1::ListAuditEventsRequest {
        tenant_id,
        page_size: 1,
        ..v1::ListAuditEventsRequest::default()
    };
    let listed = person.authority.audit().list_audit_events(request).await?;
    let newest = listed.into_inner().events.into_iter().next();
    Ok(newest.map(|event| event.revision))
}
