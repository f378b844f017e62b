//! `ListAuditEvents`: the filter and the page of the request.

use portcullis_contract::{id::TenantId, v1};

use crate::{
    api::grpc::{incoming::Incoming, lists::Pages, parse::Fields},
    app::{App, AppError, Caller},
    config::Role,
    domain::{Actor, AuditFilter, AuditPosition, PageCursor},
};

/// The list that a request asks for.
pub(super) struct AskedList {
    pub(super) filter: AuditFilter,
    pub(super) page_size: u32,
}

pub(super) fn parse(
    incoming: &Incoming<v1::ListAuditEventsRequest>,
) -> Result<AskedList, AppError> {
    let message = &incoming.message;
    let mut fields = Fields::default();
    let tenant_id = choose_tenant(incoming, &message.tenant_id)?;
    let user_id = fields.own_or_any_user(&incoming.caller, &message.user_id)?;
    let actor = non_empty(fields.text::<520>("actor", &message.actor));
    check_actor(&incoming.caller, actor.as_deref())?;
    let action = non_empty(fields.text::<64>("action", &message.action));
    let after = fields.instant("after", message.after.as_ref());
    let before = fields.instant("before", message.before.as_ref());
    if let (Some(after), Some(before)) = (after, before)
        && after > before
    {
        fields.wrong("after", "must not be later than before");
    }
    let page_size = fields.page_size(message.page_size);
    let filter = AuditFilter {
        tenant_id,
        actor,
        user_id,
        action,
        after,
        before,
    };
    fields.finish(AskedList { filter, page_size })
}

/// The page tokens of this list, bound to its filter.
pub(super) fn pages(app: &App, caller: &Caller, asked: &AskedList) -> Pages {
    let arguments = format!("{:?}", asked.filter);
    Pages::new(app, caller, "ListAuditEvents", &arguments)
}

/// The position below which the page of a token begins.
pub(super) fn position(pages: &Pages, token: &str) -> Result<Option<AuditPosition>, AppError> {
    let Some(PageCursor(bytes)) = pages.after(token)? else {
        return Ok(None);
    };
    let bytes = bytes.try_into().map_err(|_| AppError::PageToken)?;
    Ok(Some(AuditPosition::from_bytes(bytes)))
}

pub(super) fn cursor(position: AuditPosition) -> PageCursor {
    PageCursor(position.to_bytes().to_vec())
}

/// The tenant whose events the caller asks for. None: those of the installation.
pub(super) fn choose_tenant<T>(
    incoming: &Incoming<T>,
    tenant_id: &str,
) -> Result<Option<TenantId>, AppError> {
    if let Caller::Service(service) = &incoming.caller {
        // Events of the installation are about all tenants, and so not for an operator of one.
        if tenant_id.is_empty() && service.has_role(Role::Operator) {
            return match service.tenant {
                Some(_) => Err(AppError::Denied),
                None => Ok(None),
            };
        }
        // An operator who is not staff of the tenant has no business with its users.
        if !tenant_id.is_empty() && !incoming.caller.is_staff() {
            return Err(AppError::Denied);
        }
    }
    incoming.tenant(tenant_id).map(Some)
}

/// Refuses a user's filter by any actor but the user and the authority.
fn check_actor(caller: &Caller, actor: Option<&str>) -> Result<(), AppError> {
    let (Some(own), Some(actor)) = (caller.own_user(), actor) else {
        return Ok(());
    };
    // Events show other actors to users without a name. A filter that matches would reveal the name.
    if actor == Actor::user(own).name || actor == Actor::authority().name {
        return Ok(());
    }
    Err(AppError::Denied)
}

fn non_empty(text: String) -> Option<String> {
    if text.is_empty() { None } else { Some(text) }
}
