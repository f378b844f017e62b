//! `ListSessions`: the filter, the order and the page of the request.

use portcullis_contract::v1;

use crate::{
    api::grpc::{filters::is_for_users, incoming::Incoming, lists::Pages, parse::Fields, render},
    app::{App, AppError, Caller},
    domain::{SessionFilter, SessionOrder, SessionState},
};

/// The list that a request asks for.
pub(super) struct AskedList {
    pub(super) filter: SessionFilter,
    pub(super) order: SessionOrder,
    pub(super) page_size: u32,
}

pub(super) fn parse(
    app: &App,
    incoming: &Incoming<v1::ListSessionsRequest>,
) -> Result<AskedList, AppError> {
    let caller = &incoming.caller;
    let message = &incoming.message;
    let tenant_id = incoming.tenant(&message.tenant_id)?;
    let mut fields = Fields::default();
    let user_id = fields.own_or_any_user(caller, &message.user_id)?;
    let mut filter = SessionFilter {
        user_id,
        // The removal of old sessions takes hours for many. The list must not show what is only
        // waiting for it.
        retention: app.config.sessions.retention,
        ..SessionFilter::of(tenant_id)
    };
    read_filter(&mut fields, caller, message, &mut filter)?;
    let order = fields.session_order(message.order, &filter, caller);
    let page_size = fields.page_size(message.page_size);
    fields.finish(AskedList {
        filter,
        order,
        page_size,
    })
}

/// The page tokens of this list. They are bound to the filter and the order, because another list would continue at an
/// arbitrary place.
pub(super) fn pages(app: &App, caller: &Caller, asked: &AskedList) -> Pages {
    let arguments = format!("{:?}{:?}", asked.filter, asked.order);
    Pages::new(app, caller, "ListSessions", &arguments)
}

fn read_filter(
    fields: &mut Fields,
    caller: &Caller,
    message: &v1::ListSessionsRequest,
    filter: &mut SessionFilter,
) -> Result<(), AppError> {
    // The other filters would let a user find out about places and networks that the tenant may hide.
    let asked = message.filter.clone().unwrap_or_default();
    if caller.own_user().is_some() && !is_for_users(&asked) {
        return Err(AppError::Denied);
    }
    fields.session_filter(&asked, filter);
    filter.state = match render::state_from_wire(message.state) {
        Ok(state) => state,
        Err(()) => {
            fields.wrong("state", "must be a value of SessionState");
            None
        }
    };
    // Ended sessions are many. They are listed only when a filter or the flag asks for them.
    let asks_for_ended = message.show_ended || filter.end_cause.is_some();
    if filter.state.is_none() && !asks_for_ended {
        filter.state = Some(SessionState::Active);
    }
    Ok(())
}
