//! The tenants of the installation.

use portcullis_contract::id::{TenantId, TenantSerial};

use super::{App, AppError};

/// One page of tenants.
pub(crate) struct TenantPage {
    pub(crate) tenants: Vec<TenantId>,
    /// The tenant after which the next page begins. None: this is the last page.
    pub(crate) next: Option<TenantSerial>,
}

/// Lists tenants in the order in which they were first seen, from after `after`.
pub(crate) async fn list_tenants(
    app: &App,
    after: Option<TenantSerial>,
    page_size: u32,
) -> Result<TenantPage, AppError> {
    let after = after.unwrap_or(TenantSerial(0));
    // One more than the page: its presence tells that there is a next page.
    let mut found = app.store.list_tenants(after, page_size + 1).await?;
    let has_more = found.len() > page_size as usize;
    found.truncate(page_size as usize);

    let next = match found.last() {
        Some((serial, _)) if has_more => Some(*serial),
        _ => None,
    };
    let tenants = found.into_iter().map(|(_, tenant)| tenant).collect();
    Ok(TenantPage { tenants, next })
}
