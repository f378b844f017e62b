//! `ListApiKeys`: the filter and the page of the request.

use portcullis_contract::{id::ApiKeyId, v1};

use crate::{
    api::grpc::{incoming::Incoming, lists::Pages, parse::Fields},
    app::{App, AppError, Caller},
    domain::{ApiKeyFilter, PageCursor},
};

/// The list that a request asks for.
pub(super) struct AskedList {
    pub(super) filter: ApiKeyFilter,
    pub(super) page_size: u32,
}

pub(super) fn parse(incoming: &Incoming<v1::ListApiKeysRequest>) -> Result<AskedList, AppError> {
    let message = &incoming.message;
    let tenant_id = incoming.tenant(&message.tenant_id)?;
    let mut fields = Fields::default();
    let owner_id = match message.owner_user_id.as_str() {
        "" => None,
        id => fields.user("owner_user_id", id),
    };
    let page_size = fields.page_size(message.page_size);
    let filter = ApiKeyFilter {
        tenant_id,
        owner_id,
        show_ended: message.show_ended,
    };
    fields.finish(AskedList { filter, page_size })
}

/// The page tokens of this list, bound to its filter.
pub(super) fn pages(app: &App, caller: &Caller, asked: &AskedList) -> Pages {
    let arguments = format!("{:?}", asked.filter);
    Pages::new(app, caller, "ListApiKeys", &arguments)
}

/// The key below which the page of a token begins.
pub(super) fn position(pages: &Pages, token: &str) -> Result<Option<ApiKeyId>, AppError> {
    let Some(PageCursor(bytes)) = pages.after(token)? else {
        return Ok(None);
    };
    // Impossible for a token of this list, which is authenticated, but for one of another version.
    let bytes = bytes.try_into().map_err(|_| AppError::PageToken)?;
    Ok(Some(ApiKeyId::from_bytes(bytes)))
}

pub(super) fn cursor(id: ApiKeyId) -> PageCursor {
    PageCursor(id.to_bytes().to_vec())
}
