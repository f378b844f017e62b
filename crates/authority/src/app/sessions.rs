//! Sessions: read one, or list many.

use portcullis_contract::id::{SessionId, TenantId, UserId};

use super::{App, AppError, Caller, SessionView};
use crate::domain::{Micros, PageCursor, Session, SessionFilter, SessionOrder};

/// One page of a list of sessions.
pub(crate) struct SessionPage {
    pub(crate) sessions: Vec<SessionView>,
    /// The position of the next page. None: this is the last one.
    pub(crate) next: Option<PageCursor>,
}

/// Returns one session.
pub(crate) async fn get_session(
    app: &App,
    caller: &Caller,
    tenant: &TenantId,
    id: SessionId,
) -> Result<SessionView, AppError> {
    let (session, now) = app.find_session(tenant, id, caller.own_user()).await?;
    app.view_with_profile(caller, session, now).await
}

/// Lists the sessions that match a filter, from a position on.
pub(crate) async fn list_sessions(
    app: &App,
    caller: &Caller,
    filter: &SessionFilter,
    order: SessionOrder,
    after: Option<&PageCursor>,
    page_size: u32,
) -> Result<SessionPage, AppError> {
    let page = app
        .store
        .list_sessions(filter, order, after, page_size)
        .await?;
    // All sessions of a page are judged at the time of its read, so that a page is consistent.
    let viewer = app
        .session_viewer(caller, &filter.tenant_id, &page.items)
        .await?;
    Ok(SessionPage {
        next: page.next,
        sessions: page
            .items
            .into_iter()
            .map(|session| viewer.view(session, page.now))
            .collect(),
    })
}

impl App {
    /// Finds a session. One of another user than `owner` is not found, so that nobody can probe for sessions.
    pub(crate) async fn find_session(
        &self,
        tenant: &TenantId,
        id: SessionId,
        owner: Option<&UserId>,
    ) -> Result<(Session, Micros), AppError> {
        let Some((session, now)) = self.store.session(tenant, id).await? else {
            return Err(AppError::SessionNotFound);
        };
        match owner {
            Some(owner) if session.user_id != *owner => Err(AppError::SessionNotFound),
            _ => Ok((session, now)),
        }
    }
}
