//! Authentication of users by their own access tokens.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use portcullis_contract::{id::TenantId, key::CredentialKind, token::Identity};

use super::{App, AppError, Caller, InRole, People, StaffCaller, TokenRefusal, UserCaller};
use crate::domain::{Micros, Session, SessionState};

/// The requirement that a user's own token must meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenRequirement {
    /// A genuine token, also for a while after its `exp`. Its session may have ended.
    Genuine,
    /// A genuine token of a known session, to end that session. Its `exp` may have passed, and the session may have ended.
    /// [`App::admit_beyond_own_session`] holds the rest of the call to [`RecentSignIn`](Self::RecentSignIn).
    SignOut,
    /// A token of a live session, of a tenant whose policy lets users see their sessions.
    LiveSession,
    /// A token of a live session whose user authenticated as recently as the policy demands for ending sessions.
    RecentSignIn,
}

impl App {
    /// Authenticates a user whose token is genuine, where the requirement of a call is met. Without a requirement the
    /// call is only for people in a role.
    pub(crate) async fn authenticate_user(
        &self,
        identity: Identity,
        requirement: Option<TokenRequirement>,
        people: Option<People>,
    ) -> Result<Caller, TokenRefusal> {
        let user = match requirement {
            None => return self.authenticate_staff(&identity, people).await,
            // The session of such a token may have ended, and the user calls to learn why. So its state must not refuse
            // the call.
            Some(TokenRequirement::Genuine) => {
                self.authenticate_without_session(identity, people).await?
            }
            Some(TokenRequirement::SignOut) => {
                self.authenticate_to_sign_out(identity, people).await?
            }
            Some(requirement) => {
                self.authenticate_with_session(identity, requirement, people)
                    .await?
            }
        };
        Ok(Caller::User(Arc::new(user)))
    }

    /// Authenticates a person for a call that users make only in a role.
    async fn authenticate_staff(
        &self,
        identity: &Identity,
        people: Option<People>,
    ) -> Result<Caller, TokenRefusal> {
        // The token is judged before the rpc: whoever has an ended token learns no more than that it has ended.
        let (session, now) = self.live_session(identity).await?;
        let in_role = self.find_role(&session, people, now).await?;
        let in_role = in_role.ok_or(AppError::Denied)?;
        in_role.admitted?;
        Ok(Caller::Staff(in_role.staff))
    }

    async fn authenticate_with_session(
        &self,
        identity: Identity,
        requirement: TokenRequirement,
        people: Option<People>,
    ) -> Result<UserCaller, TokenRefusal> {
        let (session, now) = self.live_session(&identity).await?;
        let in_role = self.find_role(&session, people, now).await?;
        // Kept as a result: where the policy refuses the user, the same person may still make the
        // call in a role.
        let as_user = self.check_policy(&session, requirement, now).await;
        Ok(UserCaller {
            identity,
            ip: session.last_ip().to_owned(),
            beyond_own_session: Ok(()),
            has_ended: false,
            as_user,
            in_role,
        })
    }

    /// Authenticates a user who may end the session of the token, whatever else the token is good for.
    async fn authenticate_to_sign_out(
        &self,
        identity: Identity,
        people: Option<People>,
    ) -> Result<UserCaller, TokenRefusal> {
        let (session, now) = self.known_session(&identity).await?;
        let has_ended = session.state(now) != SessionState::Active;
        // A sign-out whose answer was lost may be repeated, but not for ever: an old token says how its session ended.
        if has_ended && has_ended_long_ago(&identity, self.config.tokens.ended_token_window) {
            return Err(TokenRefusal::Invalid("ended_long_ago"));
        }

        let mut in_role = None;
        let beyond_own_session = if self.is_revoked(&identity) {
            Err(TokenRefusal::Invalid("revoked"))
        } else if is_valid(&identity, &session, now) {
            in_role = self.find_role(&session, people, now).await?;
            let admitted = self.check_policy(&session, TokenRequirement::RecentSignIn, now);
            admitted.await.map_err(TokenRefusal::Error)
        } else {
            Err(TokenRefusal::Invalid("ended"))
        };
        Ok(UserCaller {
            ip: session.last_ip().to_owned(),
            identity,
            beyond_own_session,
            has_ended,
            as_user: Ok(()),
            in_role,
        })
    }

    async fn authenticate_without_session(
        &self,
        identity: Identity,
        people: Option<People>,
    ) -> Result<UserCaller, TokenRefusal> {
        if has_ended_long_ago(&identity, self.config.tokens.ended_token_window) {
            return Err(TokenRefusal::Invalid("ended_long_ago"));
        }
        // A token that is good for nothing else gives no role.
        let in_role = match self.live_session(&identity).await {
            Ok((session, now)) => self.find_role(&session, people, now).await?,
            Err(TokenRefusal::Invalid(_)) => None,
            Err(error) => return Err(error),
        };
        // Without the row there is no address. Such a call changes nothing, so that the audit trail needs none.
        Ok(UserCaller {
            identity,
            ip: String::new(),
            beyond_own_session: Err(TokenRefusal::Invalid("ended")),
            has_ended: false,
            as_user: Ok(()),
            in_role,
        })
    }

    /// Finds the role in which the user of a live session may make a call.
    ///
    /// The row decides, so that new roles are in force when they are acknowledged, whatever the token was issued for.
    async fn find_role(
        &self,
        session: &Session,
        people: Option<People>,
        now: Micros,
    ) -> Result<Option<InRole>, AppError> {
        let Some(people) = people else {
            return Ok(None);
        };
        if !self.has_role(session, people).await? {
            return Ok(None);
        }
        let admitted = match people {
            People::Reading | People::Operating => Ok(()),
            People::Administering => self.check_recent_sign_in(session, now).await,
        };
        let staff = Arc::new(staff_of(session));
        Ok(Some(InRole { staff, admitted }))
    }

    /// Whether the user of a session has a role in which `people` may call.
    async fn has_role(&self, session: &Session, people: People) -> Result<bool, AppError> {
        if people == People::Operating && !self.is_operators_tenant(&session.tenant_id) {
            return Ok(false);
        }
        let user = self.store.user(&session.tenant_id, &session.user_id);
        let has_role = match user.await? {
            Some(user) => user.disabled.is_none() && people.admit(user.roles),
            None => false,
        };
        Ok(has_role)
    }

    /// Whether the administrators of a tenant may see the whole installation. Without the setting nobody may.
    fn is_operators_tenant(&self, tenant: &TenantId) -> bool {
        let operators = self.config.server.operators_tenant.as_deref();
        operators.is_some_and(|operators| operators == tenant.as_str())
    }

    /// Admits a call that concerns more than the session of the call.
    pub(crate) fn admit_beyond_own_session(&self, caller: &Caller) -> Result<(), AppError> {
        let Caller::User(user) = caller else {
            return Ok(());
        };
        match &user.beyond_own_session {
            Ok(()) => Ok(()),
            Err(TokenRefusal::Error(error)) => Err(error.clone()),
            Err(TokenRefusal::Invalid(reason)) => {
                // Counted like a refusal of the layer, which had to admit the token for the sake of its own session.
                self.instruments.refusals.count_credential(reason);
                Err(AppError::CredentialsInvalid)
            }
        }
    }

    fn is_revoked(&self, identity: &Identity) -> bool {
        let view = self.feed.view();
        view.is_revoked(CredentialKind::Session, &identity.subject)
    }

    /// Rows decide, and not the view: it forgets revocations once every token that they cover has expired.
    async fn live_session(&self, identity: &Identity) -> Result<(Session, Micros), TokenRefusal> {
        // The view is asked first because it costs no read of the store.
        if self.is_revoked(identity) {
            return Err(TokenRefusal::Invalid("revoked"));
        }
        let (session, now) = self.known_session(identity).await?;
        if !is_valid(identity, &session, now) {
            return Err(TokenRefusal::Invalid("ended"));
        }
        Ok((session, now))
    }

    /// The session of a token, alive or not.
    async fn known_session(&self, identity: &Identity) -> Result<(Session, Micros), TokenRefusal> {
        let found = self
            .store
            .session(&identity.tenant_id, identity.session_id)
            .await
            .map_err(AppError::from)?;
        match found {
            // The serials must match too, because revocations cover serials and not the ids of sessions.
            Some((session, now)) if session.subject == identity.subject => Ok((session, now)),
            _ => Err(TokenRefusal::Invalid("unknown_session")),
        }
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
        if requirement == TokenRequirement::RecentSignIn {
            return self.check_recent_sign_in(session, now).await;
        }
        Ok(())
    }

    /// Checks that the user authenticated as recently as the policy demands for ending sessions.
    async fn check_recent_sign_in(&self, session: &Session, now: Micros) -> Result<(), AppError> {
        let policy = self.policies.of(&session.tenant_id).await?;
        let limits = policy.effective(&session.user_id);
        if limits.needs_reauthentication(session.auth_time, now) {
            return Err(AppError::ReauthenticationRequired);
        }
        Ok(())
    }
}

fn staff_of(session: &Session) -> StaffCaller {
    StaffCaller {
        tenant: session.tenant_id.clone(),
        user: session.user_id.clone(),
        ip: session.last_ip().to_owned(),
    }
}

/// Whether a token of this session is valid now.
fn is_valid(identity: &Identity, session: &Session, now: Micros) -> bool {
    // The database's time, because the token's expiry was set by the same clock.
    session.state(now) == SessionState::Active && now.seconds() < identity.expires_at
}

/// Whether a token has been expired for longer than `window`. A window of days needs no exact clock.
fn has_ended_long_ago(identity: &Identity, window: Duration) -> bool {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    now.as_secs() > identity.expires_at.saturating_add(window.as_secs())
}
