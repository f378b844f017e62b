//! Previews: the sessions that a change would end.

use portcullis_contract::id::TenantId;

use super::{App, AppError, Caller, SessionView};
use crate::domain::{Selection, listing::PREVIEW_SESSIONS_MAX};

/// The sessions that a change would end.
pub(crate) struct ChangePreview {
    /// Their number, up to [`PREVIEW_SESSIONS_MAX`].
    pub(crate) sessions: u32,
    /// Whether there are more.
    pub(crate) is_capped: bool,
    /// Some of them.
    pub(crate) sample: Vec<SessionView>,
}

/// Returns the sessions that ending a selection would end.
pub(crate) async fn preview(
    app: &App,
    caller: &Caller,
    tenant: &TenantId,
    selection: &Selection,
) -> Result<ChangePreview, AppError> {
    let Some(found) = app.store.preview(tenant, selection).await? else {
        return Err(AppError::SessionNotFound);
    };
    let viewer = app.session_viewer(caller, tenant, &found.sample).await?;
    Ok(ChangePreview {
        // The store counts one more than the maximum, which tells a full count from a capped one.
        sessions: found.sessions.min(PREVIEW_SESSIONS_MAX),
        is_capped: found.sessions > PREVIEW_SESSIONS_MAX,
        sample: found
            .sample
            .into_iter()
            .map(|session| viewer.view(session, found.now))
            .collect(),
    })
}
