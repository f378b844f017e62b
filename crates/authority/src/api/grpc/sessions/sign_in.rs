//! Sign-ins.

use std::time::Duration;

use portcullis_contract::{
    id::{EventId, SessionId, TenantId, UserId},
    position::sha256,
    v1,
};
use prost::Message;

use super::Sessions;
use crate::{
    api::grpc::{core::Call, parse::Fields, status::ServiceError},
    client_info::user_agents,
    domain::{
        Actor, Cause, Entry, Mutation, NewSession, Session, SessionState, Sight,
        device::Device,
        policy::{AtLimit, Limits},
    },
    keys::random,
};

/// The most sessions beyond the policy's number that are ended together.
const LIMIT_EXCESS_MAX: u32 = 100;

impl Sessions {
    pub(super) async fn create(
        &self,
        call: Call<v1::CreateSessionRequest>,
    ) -> Result<v1::CreateSessionResponse, ServiceError> {
        let tenant = call.caller.tenant(&call.message.tenant_id)?;
        let policy = self.0.policies.of(&tenant).await?;
        let (mut new, device) = self.parse_new(tenant, call.caller.actor(None), &call.message)?;
        self.0
            .limits
            .admit_sign_in(&new.tenant_id, &new.user_id)
            .await??;
        let limits = policy.effective(&new.user_id);
        if !limits.accepts_acr(&new.acr) {
            return Err(ServiceError::PolicyForbids("required_acr"));
        }
        new.remember_me &= limits.remember_me_allowed;
        new.lifetime = limits.lifetime(new.remember_me);
        new.idle_timeout = limits.idle_timeout;
        self.0.look_at(&mut new, device, &policy).await?;
        if let Some(replaced) = new.replaces {
            // It is ended when the new one is open, so that a sign-in that is refused ends nothing.
            self.find(&new.tenant_id, replaced, Some(&new.user_id))
                .await?;
        }
        // Whoever asks again may have a session already: that shows when it is opened.
        if limits.at_limit == AtLimit::Refuse && new.request.is_none() {
            self.refuse_beyond(&new, &limits).await?;
        }
        let opened = self.0.store.open_session(&new).await?;
        // A repetition may find that its session has ended meanwhile.
        if opened.session.state(opened.now) != SessionState::Active {
            return Err(ServiceError::SessionEnded);
        }
        self.keep_limit(&opened.session, new.replaces, &limits)
            .await?;
        if let Some(replaced) = new.replaces {
            self.replace(&call, &new, replaced).await?;
        }
        let tokens = self
            .0
            .issue(&opened.session, &opened.session.audiences, opened.now)
            .await?;
        let shown = self
            .0
            .shown(&call.caller, &opened.session.tenant_id, &[])
            .await?;
        Ok(v1::CreateSessionResponse {
            session: Some(shown.session(&opened.session, opened.now)),
            access_token: tokens.access,
            refresh_token: tokens.refresh,
            access_token_expire_time: Some(tokens.access_expire_time),
        })
    }

    fn parse_new(
        &self,
        tenant_id: TenantId,
        actor: Actor,
        message: &v1::CreateSessionRequest,
    ) -> Result<(NewSession, Device), ServiceError> {
        let mut fields = Fields::default();
        let person = message.user.clone().unwrap_or_default();
        let user_id = fields.user("user.id", &person.id);
        let mut audiences = fields.audiences(&message.audiences);
        if audiences.is_empty() {
            audiences.clone_from(&self.0.config.tokens.default_audiences);
        }
        let amr = fields.amr(&message.amr);
        let acr = fields.text::<256>("acr", &message.acr);
        fields.token_text(&audiences, &amr, &acr);
        let request_id = fields.text::<128>("request_id", &message.request_id);
        let replaced = match message.replaces_session_id.as_str() {
            "" => None,
            id => fields.session("replaces_session_id", id),
        };
        // Read whatever the user id is: every problem is reported.
        let (profile, client) = (
            fields.profile(&person),
            fields.client(message.client.as_ref()),
        );
        let (hints, app) = fields.device(message.client.as_ref());
        let auth_time = fields.past("auth_time", message.auth_time.as_ref());
        let new = user_id.map(|user_id| NewSession {
            id: SessionId::generate(),
            tenant_id,
            user_id,
            profile,
            client,
            remember_me: message.remember_me,
            lifetime: Duration::ZERO,
            amr,
            acr,
            auth_time,
            audiences,
            salt: random(),
            request: (!request_id.is_empty())
                .then(|| (request_id, sha256(&message.encode_to_vec()))),
            sight: Sight::default(),
            footprints: Vec::new(),
            replaces: replaced,
            idle_timeout: None,
            actor,
        });
        let new = fields
            .finish(new)?
            .ok_or_else(|| ServiceError::invalid("user.id", "is required"))?;
        let device = user_agents::parse(&new.client.user_agent)
            .with_hints(&hints)
            .with_app(&app);
        Ok((new, device))
    }

    /// Refuses a sign-in of a user who has as many sessions as allowed.
    async fn refuse_beyond(&self, new: &NewSession, limits: &Limits) -> Result<(), ServiceError> {
        let Some(most) = limits.sessions_max else {
            return Ok(());
        };
        // The one that is replaced makes room.
        let active = self
            .active(&new.tenant_id, &new.user_id, most.saturating_add(1))
            .await?;
        let staying = active
            .iter()
            .filter(|session| Some(session.id) != new.replaces)
            .count();
        if staying >= most as usize {
            Err(ServiceError::SessionLimit)
        } else {
            Ok(())
        }
    }

    /// Ends what is beyond the limit, now that the session is open: looked at afterwards, no two sign-ins at a time
    /// can both slip under it, nor one that is repeated. The one that is replaced makes room.
    async fn keep_limit(
        &self,
        opened: &Session,
        replaced: Option<SessionId>,
        limits: &Limits,
    ) -> Result<(), ServiceError> {
        let Some(most) = limits.sessions_max else {
            return Ok(());
        };
        loop {
            let some = most.saturating_add(LIMIT_EXCESS_MAX);
            let active = self
                .active(&opened.tenant_id, &opened.user_id, some)
                .await?;
            let others = active
                .iter()
                .map(|session| session.id)
                .filter(|id| *id != opened.id && Some(*id) != replaced);
            let excess: Vec<_> = others.skip(most.saturating_sub(1) as usize).collect();
            if excess.is_empty() {
                return Ok(());
            }
            if limits.at_limit == AtLimit::Refuse {
                self.0
                    .log
                    .submit(beyond_limit(&opened.tenant_id, vec![opened.id]))
                    .await?;
                return Err(ServiceError::SessionLimit);
            }
            self.0
                .log
                .submit(beyond_limit(&opened.tenant_id, excess))
                .await?;
            // All that is beyond the limit ends: to stop here would end newer ones and leave the oldest.
            if active.len() < some as usize {
                return Ok(());
            }
        }
    }

    /// A user's active sessions, newest first.
    async fn active(
        &self,
        tenant: &TenantId,
        user: &UserId,
        limit: u32,
    ) -> Result<Vec<Session>, ServiceError> {
        Ok(self.0.store.active_sessions(tenant, user, limit).await?)
    }

    /// Ends the session that a new one replaces. When that fails nobody gets the new one's tokens.
    async fn replace(
        &self,
        call: &Call<v1::CreateSessionRequest>,
        new: &NewSession,
        replaced: SessionId,
    ) -> Result<(), ServiceError> {
        let mutation = Mutation::RevokeSessions {
            tenant: new.tenant_id.clone(),
            sessions: vec![replaced],
            owner: Some(new.user_id.clone()),
            cause: Cause::Replaced,
        };
        let entry = call.entry(
            Fields::default(),
            None,
            String::new(),
            String::new(),
            Some(mutation),
        )?;
        self.0.append(entry, call.begun).await.map(|_| ())
    }
}

fn beyond_limit(tenant: &TenantId, sessions: Vec<SessionId>) -> Entry {
    Entry {
        event_id: EventId::generate(),
        actor: Actor::authority(),
        reason: "beyond the policy's number of sessions".into(),
        user_message: String::new(),
        trace_parent: None,
        mutation: Mutation::RevokeSessions {
            tenant: tenant.clone(),
            sessions,
            owner: None,
            cause: Cause::SessionLimit,
        },
    }
}
