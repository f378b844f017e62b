//! `AuditService`.

mod list;

use std::sync::Arc;

use portcullis_contract::{
    position::Revision,
    v1::{self, audit_service_server::AuditService},
};
use tonic::{Request, Response, Status};

use super::{incoming::Incoming, render};
use crate::app::{
    App, AppError,
    audit::{list_audit_events, verify_audit_trail},
};

/// Revisions of one verification. A longer one would hold a connection of the store for too long.
const REVISIONS_MAX: u32 = 100_000;

pub(crate) struct Audit {
    pub(crate) app: Arc<App>,
}

#[tonic::async_trait]
impl AuditService for Audit {
    async fn list_audit_events(
        &self,
        request: Request<v1::ListAuditEventsRequest>,
    ) -> Result<Response<v1::ListAuditEventsResponse>, Status> {
        let incoming = Incoming::new_in_role(request, |message, _| !message.tenant_id.is_empty())?;
        let asked = list::parse(&incoming)?;
        let pages = list::pages(&self.app, &incoming.caller, &asked);
        let below = list::position(&pages, &incoming.message.page_token)?;
        let page = list_audit_events(
            &self.app,
            &incoming.caller,
            &asked.filter,
            below,
            asked.page_size,
        )
        .await?;
        Ok(Response::new(v1::ListAuditEventsResponse {
            next_page_token: pages.next(page.next.map(list::cursor).as_ref()),
            events: page
                .events
                .into_iter()
                .map(render::audit::audit_event)
                .collect(),
        }))
    }

    async fn verify_audit_trail(
        &self,
        request: Request<v1::VerifyAuditTrailRequest>,
    ) -> Result<Response<v1::VerifyAuditTrailResponse>, Status> {
        let incoming = Incoming::new(request)?;
        let after = Revision(incoming.message.after_revision);
        let revisions_max = parse_revisions_max(incoming.message.revisions_max)?;
        let verdict = verify_audit_trail(&self.app, after, revisions_max).await?;
        Ok(Response::new(v1::VerifyAuditTrailResponse {
            verified: verdict.verified,
            through_revision: verdict.through.0,
            head_revision: verdict.head.0,
            fault: verdict.fault.as_ref().map(render::audit::audit_fault),
        }))
    }
}

fn parse_revisions_max(asked: u32) -> Result<u32, AppError> {
    match asked {
        // Unset on the wire: as many as one call may ask for.
        0 => Ok(REVISIONS_MAX),
        1..=REVISIONS_MAX => Ok(asked),
        _ => Err(AppError::invalid(
            "revisions_max",
            format!("must be at most {REVISIONS_MAX}"),
        )),
    }
}
