//! The address of the page that ends all sessions which a search finds.

use super::{desk::Desk, search::SessionSearch};
use crate::seal::SealFailed;

/// The path of the page.
pub(super) const PATH: &str = "/team/sessions/end-matching";
/// The name to which its searches are sealed. A search that was made for looking cannot be sent here.
pub(super) const PAGE: &str = "end-matching";

/// The address of the preview.
pub(super) fn address(desk: &Desk<'_>, search: &SessionSearch) -> Result<String, SealFailed> {
    let sealed = desk.close(PAGE, search)?;
    Ok(format!("{PATH}?q={sealed}"))
}
