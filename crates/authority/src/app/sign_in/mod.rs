//! Sign-ins: a session is opened for an authenticated user.

mod assessment;
mod refusal;
mod session_limit;

use std::time::Instant;

use portcullis_contract::id::{SessionId, TenantId, UserId};

use super::{App, AppError, Caller, ChangeOrigin, IssuedTokens, SessionView};
use crate::{
    domain::{
        Cause, ClientInfo, Micros, Mutation, Profile, SessionState, Sight, SignIn, SignInFacts,
        SignInOutcome, UserRoles,
        device::{AppWords, ClientHints, Device},
        findings::DeviceNetworks,
        policy::Limits,
    },
    keys::random,
    policies::KnownPolicy,
    store::SignInError,
};

/// A request to open a session.
pub(crate) struct SignInRequest {
    pub(crate) tenant_id: TenantId,
    pub(crate) user_id: UserId,
    pub(crate) profile: Profile,
    /// The user's roles from now on. None: they stay as they are.
    pub(crate) roles: Option<UserRoles>,
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
    /// The user's other active sessions, counted up to one more than [`OTHER_SESSIONS_MAX`](crate::domain::OTHER_SESSIONS_MAX).
    pub(crate) other_sessions: u32,
}

/// How often a sign-in is repeated because the policy that it follows was replaced meanwhile.
const POLICIES_MAX: usize = 3;

/// A sign-in as it was stored, and its outcome.
struct Opened {
    new: SignIn,
    outcome: SignInOutcome,
}

/// Opens a session, within the tenant's policy.
pub(crate) async fn sign_in(
    app: &App,
    caller: &Caller,
    request: SignInRequest,
) -> Result<SignedIn, AppError> {
    let signed_in = try_sign_in(app, caller, &request).await;
    if let Err(error) = &signed_in {
        app.record_refusal(caller, &request, error).await;
    }
    signed_in
}

async fn try_sign_in(
    app: &App,
    caller: &Caller,
    request: &SignInRequest,
) -> Result<SignedIn, AppError> {
    // Quotas come first: a tenant at its limit must not cost the reads of an assessment for each attempt.
    let place = app
        .limits
        .admit_sign_in(&request.tenant_id, &request.user_id)
        .await??;
    let Opened { new, outcome } = open(app, caller, request).await?;
    // A repetition has opened nothing, so its place is given back.
    if outcome.is_new {
        place.keep();
    }
    // The session that a repeated request returns may have ended meanwhile.
    if outcome.session.state(outcome.now) != SessionState::Active {
        return Err(AppError::SessionEnded);
    }
    let other_sessions = count_others(&new, outcome.other_sessions);
    app.end_excess(&new, outcome.excess).await?;
    end_replaced(app, caller, request, &new).await?;

    // Tokens are issued last. If anything above fails, the session is open but nobody can use it.
    let audiences = &outcome.session.facts.audiences;
    let tokens = app
        .issue_tokens(&outcome.session, audiences, outcome.now)
        .await?;
    let session = app
        .view_without_profile(caller, outcome.session, outcome.now)
        .await?;
    Ok(SignedIn {
        session,
        tokens,
        other_sessions,
    })
}

/// The user's other sessions, once those that this one left no room for have ended.
fn count_others(new: &SignIn, found: u32) -> u32 {
    match new.ends_beyond() {
        Some(sessions_max) => found.min(sessions_max.saturating_sub(1)),
        None => found,
    }
}

/// Opens the session under the policy that is in force when it is stored.
async fn open(app: &App, caller: &Caller, request: &SignInRequest) -> Result<Opened, AppError> {
    let device = assessment::device(request);
    let mut known = app.policies.known(&request.tenant_id).await?;
    for _ in 0..POLICIES_MAX {
        let mut new = prepare(app, caller, request, &known, device.clone()).await?;
        match app.store.sign_in(&new).await {
            Ok(outcome) => {
                // An earlier call has drawn another id.
                new.id = outcome.session.id;
                return Ok(Opened { new, outcome });
            }
            // Another policy may allow less, or more: everything is decided again.
            Err(SignInError::PolicyChanged) => {
                known = app.policies.reload(&request.tenant_id).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    // A policy that changes so often is being edited. The caller may repeat the call.
    Err(AppError::Unavailable)
}

/// The sign-in under a policy, checked and assessed.
async fn prepare(
    app: &App,
    caller: &Caller,
    request: &SignInRequest,
    known: &KnownPolicy,
    device: Device,
) -> Result<SignIn, AppError> {
    let limits = known.policy.effective(&request.user_id);
    if !limits.accepts_acr(&request.acr) {
        return Err(AppError::PolicyForbids("required_acr"));
    }
    let mut new = new_sign_in(caller, request, &limits, known.version);
    app.assess_sign_in(&mut new, device, &known.policy).await?;
    check_replaced(app, &new).await?;
    Ok(new)
}

fn new_sign_in(
    caller: &Caller,
    request: &SignInRequest,
    limits: &Limits,
    policy_version: u64,
) -> SignIn {
    // A wish that the policy forbids is dropped and not refused: the user gets a session of the usual lifetime.
    let remember_me = request.remember_me && limits.remember_me_allowed;
    let mut facts = request.facts.clone();
    if facts.client_id.is_empty() {
        caller.service_name().clone_into(&mut facts.client_id);
    }
    SignIn {
        // Chosen before the statement, so that a repeated statement opens nothing twice.
        id: SessionId::generate(),
        tenant_id: request.tenant_id.clone(),
        user_id: request.user_id.clone(),
        profile: request.profile.clone(),
        roles: request.roles,
        client: request.client.clone(),
        remember_me,
        lifetime: limits.lifetime(remember_me),
        facts,
        acr: request.acr.clone(),
        auth_time: request.auth_time,
        // The refresh tokens of a session derive from its salt, so no two sessions may share one.
        salt: random(),
        request: request.request.clone(),
        // The assessment fills these in.
        sight: Sight::default(),
        footprints: Vec::new(),
        device_networks: DeviceNetworks::default(),
        replaces: request.replaces,
        // The store computes from it when the sweep first looks at the session.
        idle_timeout: limits.idle_timeout,
        policy_version,
        session_limit: limits.session_limit(),
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
async fn end_replaced(
    app: &App,
    caller: &Caller,
    request: &SignInRequest,
    new: &SignIn,
) -> Result<(), AppError> {
    let Some(replaced) = new.replaces else {
        return Ok(());
    };
    let origin = ChangeOrigin::wordless(
        caller.clone(),
        request.trace_parent.clone(),
        request.received,
    );
    let mutation = Mutation::RevokeSessions {
        tenant: new.tenant_id.clone(),
        sessions: vec![replaced],
        // The appender checks the owner again, inside its transaction.
        owner: Some(new.user_id.clone()),
        cause: Cause::Replaced,
    };
    app.apply_change(&origin, mutation).await?;
    Ok(())
}
