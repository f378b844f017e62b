//! Refreshes: a refresh token is exchanged for new tokens of its session.

use std::sync::Arc;

use portcullis_contract::id::{SessionId, TenantId};

use super::{App, AppError, Caller, IssuedTokens, SessionView, token_text_problem};
use crate::{
    domain::{
        Actor, Cause, ClientInfo, Details, Entry, Micros, Mutation, PendingEvent, Policy,
        RefreshRules, RefreshVerdict, Session, TokenSubject,
        findings::{Finding, FindingCode},
        judge_refresh,
    },
    keys::RefreshKeys,
    store::{Proof, RefreshOutcome},
};

/// How a refresh token was found to have been copied.
#[derive(Clone, Copy)]
enum Copied {
    /// An old one came again.
    Reused,
    /// Two clients have it.
    Shared,
}

impl Copied {
    /// The reason in the audit trail.
    fn reason(self) -> &'static str {
        match self {
            Self::Reused => "an old refresh token was used again",
            Self::Shared => "two clients presented one refresh token",
        }
    }

    fn finding(self) -> FindingCode {
        match self {
            Self::Reused => FindingCode::RefreshTokenReused,
            Self::Shared => FindingCode::RefreshTokenShared,
        }
    }
}

/// A request for new tokens.
pub(crate) struct RefreshRequest {
    pub(crate) tenant_id: TenantId,
    pub(crate) refresh_token: String,
    /// Empty: the audiences of the sign-in.
    pub(crate) audiences: Vec<String>,
    pub(crate) client: ClientInfo,
}

/// A session and its new tokens.
pub(crate) struct Refreshed {
    pub(crate) session: SessionView,
    pub(crate) tokens: IssuedTokens,
}

/// Exchanges a refresh token. A token that was exchanged a moment ago yields the same successor again, since its answer
/// may have been lost.
pub(crate) async fn refresh(
    app: &Arc<App>,
    caller: &Caller,
    request: RefreshRequest,
) -> Result<Refreshed, AppError> {
    // The subject proves nothing yet: only the rotation compares the token with the salt of the row.
    let keys = app.secrets.refresh_for(&request.refresh_token).await?;
    let subject = keys
        .read(&request.refresh_token)
        .map_err(|_| AppError::RefreshTokenInvalid)?;
    if !request.audiences.is_empty() {
        check_token_text(app, &keys, &request, subject.session_id).await?;
    }

    // From here on the presented token is old. If issuing fails, a repetition within the grace gets the successor.
    let (session, now) = rotate(app, keys, &request, subject).await?;
    let audiences = if request.audiences.is_empty() {
        &session.facts.audiences
    } else {
        &request.audiences
    };
    let tokens = app.issue_tokens(&session, audiences, now).await?;
    let session = app.view_without_profile(caller, session, now).await?;
    Ok(Refreshed { session, tokens })
}

/// Refuses audiences that would make the access token larger than a sign-in allows. This comes before the rotation,
/// which would make the presented token old without giving out its successor.
async fn check_token_text(
    app: &App,
    keys: &RefreshKeys,
    request: &RefreshRequest,
    session: SessionId,
) -> Result<(), AppError> {
    // The rotation reports a missing session, and a forged token.
    let Some((session, _)) = app.store.session(&request.tenant_id, session).await? else {
        return Ok(());
    };
    // The problem depends on the session. Told to the holder of a forged token, it would say that the session exists.
    let is_authentic = keys.is_authentic(&request.refresh_token, &session.salt);
    match token_text_problem(&request.audiences, &session.facts.amr, &session.acr) {
        Some(problem) if is_authentic => Err(AppError::invalid("audiences", problem)),
        _ => Ok(()),
    }
}

/// Makes the presented token old. The session is at its newest generation afterwards.
async fn rotate(
    app: &App,
    keys: Arc<RefreshKeys>,
    request: &RefreshRequest,
    subject: TokenSubject,
) -> Result<(Session, Micros), AppError> {
    let rotated = app
        .store
        .refresh(
            &request.tenant_id,
            subject.session_id,
            subject.generation,
            proof(keys, &request.refresh_token),
            &request.client,
        )
        .await?;
    match rotated {
        RefreshOutcome::Won(session, now) => Ok((*session, now)),
        // The token is genuine and of another generation than the row's, or the session has ended.
        RefreshOutcome::Lost(session, now) => {
            judge_unrotated(app, &session, subject.generation, &request.client, now).await?;
            Ok((*session, now))
        }
        // A forged token gets the same answer as one of an unknown session: nobody can probe for sessions.
        RefreshOutcome::NotFound => Err(AppError::RefreshTokenInvalid),
    }
}

/// The check that a token is authentic. The store calls it inside its statement, because the salt is in the row.
fn proof(keys: Arc<RefreshKeys>, refresh_token: &str) -> Proof {
    let refresh_token = refresh_token.to_owned();
    Arc::new(move |salt| keys.is_authentic(&refresh_token, salt))
}

/// Judges a genuine token that did not rotate: another tab was first, its answer was lost, the session has ended, or it
/// was copied. Where this succeeds the successor may be returned again.
async fn judge_unrotated(
    app: &App,
    session: &Session,
    generation: u64,
    client: &ClientInfo,
    now: Micros,
) -> Result<(), AppError> {
    let policy = app.policies.of(&session.tenant_id).await?;
    let rules = refresh_rules(app, session, &policy);
    match judge_refresh(session, generation, client, &rules, now) {
        RefreshVerdict::Repeat => Ok(()),
        RefreshVerdict::Shared { finding, end } => {
            // Recorded before the session ends, so that the trail has the finding even if ending the session fails.
            record_shared(app, session, &finding, &policy, now).await;
            if end {
                return end_copied(app, session, Copied::Shared, &policy, now).await;
            }
            Ok(())
        }
        RefreshVerdict::Ended => Err(ended_error(app, session).await?),
        // A generation that the row has not reached. The store was restored, and the user has to sign in again.
        RefreshVerdict::Ahead => Err(AppError::RefreshTokenInvalid),
        RefreshVerdict::Theft => end_copied(app, session, Copied::Reused, &policy, now).await,
    }
}

fn refresh_rules(app: &App, session: &Session, policy: &Policy) -> RefreshRules {
    let tokens = &app.config.tokens;
    RefreshRules {
        grace: tokens.refresh_grace,
        access_token_lifetime: policy
            .effective(&session.user_id)
            .access_token_lifetime(tokens.access_token_lifetime),
        end_on_shared_token: policy.end_on_shared_refresh_token,
    }
}

/// The error about a session that has ended. It names the remedy, and not the way in which the session ended.
async fn ended_error(app: &App, session: &Session) -> Result<AppError, AppError> {
    // The user may have been enabled since, or disabled after the session had ended for another cause. Only the user's own
    // row says whether signing in again helps.
    let user = app.store.user(&session.tenant_id, &session.user_id).await?;
    let is_disabled = user.is_some_and(|user| user.disabled.is_some());
    Ok(if is_disabled {
        AppError::UserDisabled
    } else {
        AppError::SessionEnded
    })
}

/// Ends a session whose refresh token was copied. The legitimate client and the thief cannot be told apart.
async fn end_copied(
    app: &App,
    session: &Session,
    copy: Copied,
    policy: &Policy,
    now: Micros,
) -> Result<(), AppError> {
    let outcome = app.log.submit(end_of_copied(session, copy)).await?;
    // Both clients may come again. Only the call that ended the session records the finding.
    if outcome.changed > 0 {
        record_theft(app, session, policy, now).await;
    }
    Err(AppError::RefreshTokenReused)
}

fn end_of_copied(session: &Session, copy: Copied) -> Entry {
    let mutation = Mutation::RevokeSessions {
        tenant: session.tenant_id.clone(),
        sessions: vec![session.id],
        // The authority ends the session by itself, so there is no owner to compare with.
        owner: None,
        cause: Cause::RefreshTokenReused,
    };
    Entry {
        reason: copy.reason().into(),
        // The cause is the same for both. Programs tell them apart by the finding.
        details: Details::from([("finding".to_owned(), copy.finding().name().to_owned())]),
        ..Entry::internal(mutation)
    }
}

/// Records the finding, unless the tenant has switched it off. The revocation is in the audit trail in any case.
async fn record_theft(app: &App, session: &Session, policy: &Policy, now: Micros) {
    let finding = Finding::without_facts(FindingCode::RefreshTokenReused);
    if policy.findings_disabled.contains(&finding.code) {
        return;
    }
    // A lost finding must not fail the call: the session has ended, and that is in the trail.
    let event = finding_event(session, &finding, now);
    if let Err(error) = app.store.add_pending_events(&[event]).await {
        error.log("a finding is not in the audit trail");
    }
}

/// Records that two clients presented one token, once for each token, unless the tenant has switched it off.
async fn record_shared(
    app: &App,
    session: &Session,
    finding: &Finding,
    policy: &Policy,
    now: Micros,
) {
    // Two clients may repeat one token for a long time. Only the first repetition costs a write.
    let is_recorded = session.shared_generation == Some(session.generation);
    if is_recorded || policy.findings_disabled.contains(&finding.code) {
        return;
    }
    // The store compares the generation again, so that two calls at the same time record it once.
    let event = finding_event(session, finding, now);
    let recorded = app
        .store
        .record_shared_token(&session.tenant_id, session.id, session.generation, &event)
        .await;
    if let Err(error) = recorded {
        error.log("a finding is not in the audit trail");
    }
}

fn finding_event(session: &Session, finding: &Finding, now: Micros) -> PendingEvent {
    let session = (&session.tenant_id, session.id, &session.user_id);
    PendingEvent::finding(finding, now, session, Actor::authority())
}
