//! Revocations of the sessions that match a filter.

use super::{App, AppError, Caller, ChangeOrigin, preview::ChangePreview};
use crate::{
    domain::{
        Cause, Mutation, SessionFilter, SessionOrder,
        listing::{PREVIEW_SAMPLE_MAX, PREVIEW_SESSIONS_MAX},
    },
    feed::Enforcement,
};

/// The most sessions that one call ends: as many as an entry of the log may name.
pub(crate) const REVOKED_MAX: u32 = 1_000;

/// The sessions that were ended.
pub(crate) struct RevokedMatching {
    pub(crate) revoked: u32,
    /// Whether more sessions match.
    pub(crate) has_more: bool,
    /// None: no session matched, so there was nothing to enforce.
    pub(crate) enforcement: Option<Enforcement>,
}

/// Revokes the newest active sessions that match a filter, at most `sessions_max`.
pub(crate) async fn revoke_matching(
    app: &App,
    origin: &ChangeOrigin,
    filter: &SessionFilter,
    sessions_max: u32,
) -> Result<RevokedMatching, AppError> {
    let page = app
        .store
        .list_sessions(filter, SessionOrder::Start, None, sessions_max)
        .await?;
    let sessions: Vec<_> = page.items.iter().map(|session| session.id).collect();
    let has_more = page.next.is_some();
    if sessions.is_empty() {
        return Ok(RevokedMatching {
            revoked: 0,
            has_more,
            enforcement: None,
        });
    }

    // The sessions by their ids, and no cutoff: only what the administrator's filter found ends.
    let mutation = Mutation::RevokeSessions {
        tenant: filter.tenant_id.clone(),
        sessions,
        owner: None,
        cause: Cause::Administrator,
    };
    let (outcome, enforcement) = app.apply_change(origin, mutation).await?;
    Ok(RevokedMatching {
        revoked: outcome.changed,
        has_more,
        enforcement: Some(enforcement),
    })
}

/// Returns the active sessions that match a filter.
pub(crate) async fn preview_matching(
    app: &App,
    caller: &Caller,
    filter: &SessionFilter,
) -> Result<ChangePreview, AppError> {
    let page = app
        .store
        .list_sessions(filter, SessionOrder::Start, None, PREVIEW_SESSIONS_MAX)
        .await?;
    let sessions = u32::try_from(page.items.len()).unwrap_or(u32::MAX);
    let mut sample = page.items;
    sample.truncate(PREVIEW_SAMPLE_MAX as usize);
    let viewer = app
        .session_viewer(caller, &filter.tenant_id, &sample)
        .await?;
    Ok(ChangePreview {
        sessions,
        is_capped: page.next.is_some(),
        sample: sample
            .into_iter()
            .map(|session| viewer.view(session, page.now))
            .collect(),
    })
}
