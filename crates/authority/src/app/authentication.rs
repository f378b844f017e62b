//! Authentication of users by their own access tokens.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_contract::{key::CredentialKind, token::Identity};

use super::{App, AppError, UserCaller};
use crate::domain::{Micros, Session, SessionState};

/// The requirement that a user's own token must meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenRequirement {
    /// A genuine token, also for a while after its `exp`. Its session may have ended.
    Genuine,
    /// A token of a live session, of a tenant whose policy lets users see their sessions.
    LiveSession,
    /// A token of a live session whose user authenticated as recently as the policy demands for ending sessions.
    RecentSignIn,
}

/// The refusal of a genuine token.
pub(crate) enum TokenRefusal {
    /// The token is not valid any more. The reason is for operators; the caller learns only that it is invalid.
    Invalid(&'static str),
    /// The user may not make this call, or nothing could be read.
    Error(AppError),
}

impl From<AppError> for TokenRefusal {
    fn from(error: AppError) -> Self {
        Self::Error(error)
    }
}

impl App {
    /// Authenticates a user whose token is genuine, where the requirement of a call is met. Without a requirement no user
    /// may make the call.
    pub(crate) async fn authenticate_user(
        &self,
        identity: Identity,
        requirement: Option<TokenRequirement>,
    ) -> Result<UserCaller, TokenRefusal> {
        // The session of such a token may have ended, and the user calls to learn why. So its state must not refuse the
        // call.
        if requirement == Some(TokenRequirement::Genuine) {
            let window = self.config.tokens.ended_token_window;
            return authenticate_without_session(identity, window);
        }

        // The token is judged before the rpc: whoever has an ended token learns no more than that it has ended.
        let (session, now) = self.live_session(&identity).await?;
        let requirement = requirement.ok_or(AppError::Denied)?;
        self.check_policy(&session, requirement, now).await?;
        Ok(UserCaller {
            identity,
            ip: session.last_ip().to_owned(),
        })
    }

    /// Rows decide, and not the view: it forgets revocations once every token that they cover has expired.
    async fn live_session(&self, identity: &Identity) -> Result<(Session, Micros), TokenRefusal> {
        // The view is asked first because it costs no read of the store.
        let view = self.feed.view();
        if view.is_revoked(CredentialKind::Session, &identity.subject) {
            return Err(TokenRefusal::Invalid("revoked"));
        }

        let found = self
            .store
            .session(&identity.tenant_id, identity.session_id)
            .await
            .map_err(AppError::from)?;
        let Some((session, now)) = found else {
            return Err(TokenRefusal::Invalid("unknown_session"));
        };
        // The serials must match too, because revocations cover serials and not the ids of sessions.
        let is_alive = session.state(now) == SessionState::Active
            && session.subject == identity.subject
            // The database's time, because the token's expiry was set by the same clock.
            && now.seconds() < identity.expires_at;
        if !is_alive {
            return Err(TokenRefusal::Invalid("ended"));
        }
        Ok((session, now))
    }

    async fn check_policy(
        &self,
        session: &Session,
        requirement: TokenRequirement,
        now: Micros,
    ) -> Result<(), AppError> {
        let policy = self.policies.of(&session.tenant_id).await?;
        // Tenants that hide sessions from their users hide all calls about them.
        if !policy.users_see_sessions {
            return Err(AppError::PolicyForbids("users_see_sessions"));
        }
        let limits = policy.effective(&session.user_id);
        if requirement == TokenRequirement::RecentSignIn
            && limits.needs_reauthentication(session.auth_time, now)
        {
            return Err(AppError::ReauthenticationRequired);
        }
        Ok(())
    }
}

fn authenticate_without_session(
    identity: Identity,
    window: Duration,
) -> Result<UserCaller, TokenRefusal> {
    if has_ended_long_ago(&identity, window) {
        return Err(TokenRefusal::Invalid("ended_long_ago"));
    }
    // Without the row there is no address. Such a call changes nothing, so that the audit trail needs none.
    Ok(UserCaller {
        identity,
        ip: String::new(),
    })
}

/// Whether a token has been expired for longer than `window`. A window of days needs no exact clock.
fn has_ended_long_ago(identity: &Identity, window: Duration) -> bool {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    now.as_secs() > identity.expires_at.saturating_add(window.as_secs())
}
