//! Sign-ins: a session is opened for an authenticated user.

mod assessment;
mod session_limit;

use std::time::Instant;

use portcullis_contract::id::{SessionId, TenantId, UserId};

use super::{App, AppError, Caller, ChangeOrigin, IssuedTokens, SessionView};
use crate::{
    domain::{
        Cause, ClientInfo, Micros, Mutation, Profile, SessionState, Sight, SignIn, SignInFacts,
        device::{AppWords, ClientHints},
        policy::{AtLimit, Limits},
    },
    keys::random,
};

/// A request to open a session.
pub(crate) struct SignInRequest {
    pub(crate) tenant_id: TenantId,
    pub(crate) user_id: UserId,
    pub(crate) profile: Profile,
    pub(crate) client: ClientInfo,
    pub(crate) client_hints: ClientHints,
    pub(crate) app_words: AppWords,
    pub(crate) remember_me: bool,
    pub(crate) facts: SignInFacts,
    pub(crate) acr: String,
    /// None: the user authenticated just now.
    pub(crate) auth_time: Option<Micros>,
    /// The id of the request and the digest of its arguments. A repetition returns the same session.
    pub(crate) request: Option<(String, [u8; 32])>,
    /// The session on the same device that the new one replaces.
    pub(crate) replaces: Option<SessionId>,
    pub(crate) trace_parent: Option<String>,
    pub(crate) received: Instant,
}

/// The session of a sign-in, and its tokens.
pub(crate) struct SignedIn {
    pub(crate) session: SessionView,
    pub(crate) tokens: IssuedTokens,
}

/// Opens a session, within the tenant's policy.
pub(crate) async fn sign_in(
    app: &App,
    caller: &Caller,
    request: SignInRequest,
) -> Result<SignedIn, AppError> {
    let policy = app.policies.of(&request.tenant_id).await?;
    let limits = policy.effective(&request.user_id);
    admit(app, &request, &limits).await?;

    let replacement = ChangeOrigin::wordless(
        caller.clone(),
        request.trace_parent.clone(),
        request.received,
    );
    let device = assessment::device(&request);
    let mut new = new_sign_in(caller, request, &limits);
    app.assess_sign_in(&mut new, device, &policy).await?;
    check_replaced(app, &new).await?;
    // A repeated request may have its session already, and must not be refused for it. It is held to the limit once the
    // store has told whether there is one.
    if limits.at_limit == AtLimit::Refuse && new.request.is_none() {
        app.check_session_limit(&new, &limits).await?;
    }

    let opened = app.store.sign_in(&new).await?;
    // The session that a repeated request returns may have ended meanwhile.
    if opened.session.state(opened.now) != SessionState::Active {
        return Err(AppError::SessionEnded);
    }
    app.enforce_session_limit(&opened.session, new.replaces, &limits)
        .await?;
    end_replaced(app, &replacement, &new).await?;

    // Tokens are issued last. If anything above fails, the session is open but nobody can use it.
    let tokens = app
        .issue_tokens(&opened.session, &opened.session.facts.audiences, opened.now)
        .await?;
    let session = app
        .view_without_profile(caller, opened.session, opened.now)
        .await?;
    Ok(SignedIn { session, tokens })
}

/// Holds a sign-in against the quotas of its tenant and the policy of its user.
async fn admit(app: &App, request: &SignInRequest, limits: &Limits) -> Result<(), AppError> {
    // Quotas come first: a tenant at its limit must not cost the reads of an assessment for each attempt.
    app.limits
        .admit_sign_in(&request.tenant_id, &request.user_id)
        .await??;
    if !limits.accepts_acr(&request.acr) {
        return Err(AppError::PolicyForbids("required_acr"));
    }
    Ok(())
}

fn new_sign_in(caller: &Caller, request: SignInRequest, limits: &Limits) -> SignIn {
    // A wish that the policy forbids is dropped and not refused: the user gets a session of the usual lifetime.
    let remember_me = request.remember_me && limits.remember_me_allowed;
    SignIn {
        // Chosen before the statement, so that a repeated statement opens nothing twice.
        id: SessionId::generate(),
        tenant_id: request.tenant_id,
        user_id: request.user_id,
        profile: request.profile,
        client: request.client,
        remember_me,
        lifetime: limits.lifetime(remember_me),
        facts: request.facts,
        acr: request.acr,
        auth_time: request.auth_time,
        // The refresh tokens of a session derive from its salt, so no two sessions may share one.
        salt: random(),
        request: request.request,
        // The assessment fills these in.
        sight: Sight::default(),
        footprints: Vec::new(),
        replaces: request.replaces,
        // The store computes from it when the sweep first looks at the session.
        idle_timeout: limits.idle_timeout,
        actor: caller.actor(None),
    }
}

/// Refuses to replace a session that the user does not have, before anything is opened.
async fn check_replaced(app: &App, new: &SignIn) -> Result<(), AppError> {
    if let Some(replaced) = new.replaces {
        app.find_session(&new.tenant_id, replaced, Some(&new.user_id))
            .await?;
    }
    Ok(())
}

/// Ends the session that the new one replaces. This comes after the opening, so that a refused sign-in ends nothing. If
/// it fails, nobody gets the tokens of the new session.
async fn end_replaced(app: &App, origin: &ChangeOrigin, new: &SignIn) -> Result<(), AppError> {
    let Some(replaced) = new.replaces else {
        return Ok(());
    };
    let mutation = Mutation::RevokeSessions {
        tenant: new.tenant_id.clone(),
        sessions: vec![replaced],
        // The appender checks the owner again, inside its transaction.
        owner: Some(new.user_id.clone()),
        cause: Cause::Replaced,
    };
    app.apply_change(origin, mutation).await?;
    Ok(())
}
