//! Introspection: whether a token is valid, and the session that it belongs to.

use portcullis_contract::{id::TenantId, rejection::Rejection, token::Identity, verdict::verdict};

use super::{
    App, AppError, Caller, SessionDetail, token_use::ServedRequest, tokens::verify_access_token,
};
use crate::domain::{Micros, Session, SessionState};

/// The result of an introspection.
pub(crate) struct Introspection {
    /// The reason why the token is not valid. None: it is valid.
    pub(crate) inactive_reason: Option<&'static str>,
    /// None: the token is not genuine, or its session is unknown.
    pub(crate) found: Option<IntrospectedSession>,
}

/// The session of a genuine token.
pub(crate) struct IntrospectedSession {
    pub(crate) detail: SessionDetail,
    /// The claims of the token.
    pub(crate) identity: Identity,
}

impl Introspection {
    fn unknown(reason: &'static str) -> Self {
        Self {
            inactive_reason: Some(reason),
            found: None,
        }
    }
}

/// Judges a token. Without one it judges the token that a user calls with.
///
/// With `served`, a valid token counts as use of its session: the caller serves that request because of the answer.
pub(crate) async fn introspect(
    app: &App,
    caller: &Caller,
    tenant: &TenantId,
    token: Option<&str>,
    served: Option<ServedRequest>,
) -> Result<Introspection, AppError> {
    // The layer has verified the token of a user who calls.
    if let (Caller::User(user), None) = (caller, token) {
        return judge(app, caller, &user.identity).await;
    }
    let read = read_token(app, token.unwrap_or_default());
    introspect_read(app, caller, tenant, read, served).await
}

/// Reads a token, for an edge whose requests need not name its tenant.
pub(crate) fn read_token(app: &App, token: &str) -> Result<Identity, Rejection> {
    // Any audience will do: the caller decides whether the token is for it.
    verify_access_token(app, token)
}

/// Judges a token that was read.
pub(crate) async fn introspect_read(
    app: &App,
    caller: &Caller,
    tenant: &TenantId,
    read: Result<Identity, Rejection>,
    served: Option<ServedRequest>,
) -> Result<Introspection, AppError> {
    let identity = match read {
        Ok(identity) => identity,
        Err(rejection) => return Ok(Introspection::unknown(rejection.reason())),
    };

    // A user with one token may not use this call to examine others, which may be stolen.
    if caller
        .own_session()
        .is_some_and(|own| own != identity.session_id)
    {
        let problem = "must be empty or of the session of the call";
        return Err(AppError::invalid("token", problem));
    }
    // A tenant does not learn whether a token of another one is genuine.
    if identity.tenant_id != *tenant {
        return Ok(Introspection::unknown("unknown"));
    }
    let introspection = judge(app, caller, &identity).await?;
    if let Some(request) = served
        && introspection.inactive_reason.is_none()
    {
        let session = identity.session_id;
        app.record_use(&identity.tenant_id, session, request).await;
    }
    Ok(introspection)
}

async fn judge(app: &App, caller: &Caller, identity: &Identity) -> Result<Introspection, AppError> {
    let found = app
        .store
        .session(&identity.tenant_id, identity.session_id)
        .await?;
    let Some((session, now)) = found else {
        return Ok(Introspection::unknown("unknown"));
    };
    let inactive_reason = inactive_reason(app, &session, identity, now);
    let detail = detail(app, caller, session, inactive_reason, now).await?;
    Ok(Introspection {
        inactive_reason,
        found: Some(IntrospectedSession {
            detail,
            identity: identity.clone(),
        }),
    })
}

/// The row decides about the session, and the view about the rest of the token.
fn inactive_reason(
    app: &App,
    session: &Session,
    identity: &Identity,
    now: Micros,
) -> Option<&'static str> {
    match session.state(now) {
        SessionState::Active => {
            let verdict = verdict(identity, &app.feed.view(), now.seconds());
            verdict.err().map(|rejection| rejection.reason())
        }
        SessionState::Expired => Some("expired"),
        SessionState::SignedOut => Some("signed_out"),
        SessionState::Revoked => Some("revoked"),
    }
}

async fn detail(
    app: &App,
    caller: &Caller,
    session: Session,
    inactive_reason: Option<&'static str>,
    now: Micros,
) -> Result<SessionDetail, AppError> {
    if sees_whole_session(app, caller, &session, inactive_reason).await? {
        let view = app.view_with_profile(caller, session, now).await?;
        return Ok(SessionDetail::Whole(Box::new(view)));
    }
    Ok(SessionDetail::outline(session, caller, now))
}

/// The token of a user that is not valid proves only that somebody has it: it may be old, and in other hands.
async fn sees_whole_session(
    app: &App,
    caller: &Caller,
    session: &Session,
    inactive_reason: Option<&'static str>,
) -> Result<bool, AppError> {
    match caller {
        Caller::Service(_) | Caller::Staff(_) => Ok(true),
        Caller::User(_) if inactive_reason.is_some() => Ok(false),
        Caller::User(_) => {
            let policy = app.policies.of(&session.tenant_id).await?;
            Ok(policy.users_see_sessions)
        }
    }
}
