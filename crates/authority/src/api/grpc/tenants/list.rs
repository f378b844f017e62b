//! `ListTenants`: the page of the request.

use portcullis_contract::{id::TenantSerial, v1};

use crate::{
    api::grpc::{incoming::Incoming, lists::Pages, parse::Fields},
    app::{App, AppError, Caller},
    domain::PageCursor,
};

pub(super) fn page_size(incoming: &Incoming<v1::ListTenantsRequest>) -> Result<u32, AppError> {
    let mut fields = Fields::default();
    let size = fields.page_size(incoming.message.page_size);
    fields.finish(size)
}

pub(super) fn pages(app: &App, caller: &Caller) -> Pages {
    Pages::new(app, caller, "ListTenants", "")
}

/// The tenant after which the page of a token begins.
pub(super) fn position(pages: &Pages, token: &str) -> Result<Option<TenantSerial>, AppError> {
    let Some(PageCursor(bytes)) = pages.after(token)? else {
        return Ok(None);
    };
    // Impossible for a token of this list, which is authenticated, but for one of another version.
    let bytes = bytes.try_into().map_err(|_| AppError::PageToken)?;
    Ok(Some(TenantSerial(u64::from_be_bytes(bytes))))
}

pub(super) fn cursor(serial: TenantSerial) -> PageCursor {
    PageCursor(serial.0.to_be_bytes().to_vec())
}
