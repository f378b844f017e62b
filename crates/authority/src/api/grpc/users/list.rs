//! `ListUsers`: the filter, the order and the page of the request.

use portcullis_contract::v1;

use crate::{
    api::grpc::{incoming::Incoming, lists::Pages, parse::Fields},
    app::{App, AppError, Caller},
    domain::{UserFilter, UserOrder},
};

/// The list that a request asks for.
pub(super) struct AskedList {
    pub(super) filter: UserFilter,
    pub(super) order: UserOrder,
    pub(super) page_size: u32,
}

pub(super) fn parse(incoming: &Incoming<v1::ListUsersRequest>) -> Result<AskedList, AppError> {
    let message = &incoming.message;
    let tenant_id = incoming.tenant(&message.tenant_id)?;
    let asked = message.filter.clone().unwrap_or_default();
    let mut fields = Fields::default();
    let (names, signed_in) = fields.user_filter(&asked);
    let active_addresses_min = fields.active_addresses_min(asked.active_addresses_min);
    let order = fields.user_order(message.order);
    let page_size = fields.page_size(message.page_size);
    let filter = UserFilter {
        tenant_id,
        names,
        signed_in,
        signed_out: message.show_signed_out,
        active_addresses_min,
    };
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
    Pages::new(app, caller, "ListUsers", &arguments)
}
