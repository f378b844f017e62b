//! `AuditService`.

use std::sync::Arc;

use portcullis_contract::{
    id::{TenantId, UserId},
    position::{Position, Revision},
    v1::{self, audit_service_server::AuditService},
};
use tonic::{Request, Response, Status};

use super::{incoming::Incoming, lists::Pages, parse::Fields, render};
use crate::{
    app::{App, AppError, Caller},
    config::Role,
    domain::{Actor, AuditFault, AuditFilter, AuditPosition, AuditVerdict, PageCursor},
};

/// The most revisions of one verification.
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
        Ok(Response::new(self.list(Incoming::new(request)?).await?))
    }

    async fn verify_audit_trail(
        &self,
        request: Request<v1::VerifyAuditTrailRequest>,
    ) -> Result<Response<v1::VerifyAuditTrailResponse>, Status> {
        Ok(Response::new(self.verify(Incoming::new(request)?).await?))
    }
}

impl Audit {
    async fn list(
        &self,
        call: Incoming<v1::ListAuditEventsRequest>,
    ) -> Result<v1::ListAuditEventsResponse, AppError> {
        let message = &call.message;
        let caller = &call.caller;
        let mut fields = Fields::default();
        let filter = parse_filter(&mut fields, &call)?;
        let page_size = fields.page_size(message.page_size);
        let filter = fields.finish(filter)?;
        let pages = Pages::new(
            &self.app.secrets.pages,
            caller,
            "ListAuditEvents",
            &format!("{filter:?}"),
        );
        let below = pages
            .after(&message.page_token)?
            .map(|cursor| cursor.0.try_into());
        let below = below
            .transpose()
            .map_err(|_| AppError::PageToken)?
            .map(AuditPosition::from_bytes);
        let mut events = self
            .app
            .store
            .list_audit_events(&filter, below, page_size + 1)
            .await?;
        let more = events.len() > page_size as usize;
        events.truncate(page_size as usize);
        let last = events
            .last()
            .filter(|_| more)
            .map(|event| PageCursor(event.position.to_bytes().to_vec()));
        Ok(v1::ListAuditEventsResponse {
            next_page_token: pages.next(last.as_ref()),
            events: events
                .iter()
                .map(|event| render::audit_event(event, caller))
                .collect(),
        })
    }

    async fn verify(
        &self,
        call: Incoming<v1::VerifyAuditTrailRequest>,
    ) -> Result<v1::VerifyAuditTrailResponse, AppError> {
        let message = &call.message;
        let limit = match message.revisions_max {
            0 => REVISIONS_MAX,
            limit if limit <= REVISIONS_MAX => limit,
            _ => {
                return Err(AppError::invalid(
                    "revisions_max",
                    format!("must be at most {REVISIONS_MAX}"),
                ));
            }
        };
        let after = Revision(message.after_revision);
        // Before the log is read: what this authority has applied, the log must still have.
        let applied = self.app.feed.view().position();
        let verdict = self
            .app
            .store
            .verify_audit_trail(after, limit.into())
            .await?;
        let mut verdict = verdict
            .ok_or_else(|| AppError::invalid("after_revision", "is not a revision of the log"))?;
        if verdict.fault.is_none() {
            verdict.fault = self.compare(after, &verdict, applied).await?;
        }
        Ok(v1::VerifyAuditTrailResponse {
            verified: verdict.verified,
            through_revision: verdict.through.0,
            head_revision: verdict.head.0,
            fault: verdict.fault.as_ref().map(render::audit_fault),
        })
    }

    /// A trail that fits may have been written anew as a whole; then its chain is not the one that was applied.
    async fn compare(
        &self,
        after: Revision,
        verdict: &AuditVerdict,
        applied: Position,
    ) -> Result<Option<AuditFault>, AppError> {
        let complete = verdict.through >= verdict.head;
        let covered = applied.revision > after && (complete || applied.revision <= verdict.through);
        if !covered || self.app.store.chain(applied.revision).await? == Some(applied.chain) {
            return Ok(None);
        }
        let problem = "the log up to here is not the one that this authority has applied";
        Ok(Some(AuditFault {
            revision: applied.revision,
            row: None,
            problem,
        }))
    }
}

/// The tenant of the events that the caller asks for; none: the installation's, which are for operators.
fn parse_tenant(call: &Incoming<v1::ListAuditEventsRequest>) -> Result<Option<TenantId>, AppError> {
    let caller = &call.caller;
    let tenant_id = &call.message.tenant_id;
    match caller {
        Caller::Service(service)
            if tenant_id.is_empty() && service.roles.contains(&Role::Operator) =>
        {
            if service.tenant.is_some() {
                Err(AppError::Denied)
            } else {
                Ok(None)
            }
        }
        Caller::Service(_) if !tenant_id.is_empty() && !caller.is_staff() => Err(AppError::Denied),
        _ => call.tenant(tenant_id).map(Some),
    }
}

/// Which events the caller asks for. A user may ask for those about themselves, by an actor whom they are shown.
fn parse_filter(
    fields: &mut Fields,
    call: &Incoming<v1::ListAuditEventsRequest>,
) -> Result<AuditFilter, AppError> {
    let tenant_id = parse_tenant(call)?;
    let (caller, message) = (&call.caller, &call.message);
    let user_id = match (caller.own_user(), message.user_id.as_str()) {
        (Some(own), id) if id.is_empty() || id == own.as_str() => Some(own.clone()),
        (Some(_), _) => return Err(AppError::Denied),
        (None, "") => None,
        (None, id) => fields.user("user_id", id),
    };
    let given = |text: String| (!text.is_empty()).then_some(text);
    let actor = given(fields.text::<256>("actor", &message.actor));
    if caller
        .own_user()
        .is_some_and(|own| actor.as_ref().is_some_and(|actor| !may_ask_for(own, actor)))
    {
        return Err(AppError::Denied);
    }
    let action = given(fields.text::<64>("action", &message.action));
    let (after, before) = (
        fields.instant("after", message.after.as_ref()),
        fields.instant("before", message.before.as_ref()),
    );
    if after
        .zip(before)
        .is_some_and(|(after, before)| after > before)
    {
        fields.wrong("after", "is later than before");
    }
    Ok(AuditFilter {
        tenant_id,
        actor,
        user_id,
        action,
        after,
        before,
    })
}

fn may_ask_for(own: &UserId, actor: &str) -> bool {
    [Actor::user(own), Actor::authority()]
        .iter()
        .any(|shown| shown.name == actor)
}
