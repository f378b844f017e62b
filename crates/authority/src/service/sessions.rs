//! `SessionService`.

use std::{sync::Arc, time::Duration};

use portcullis_contract::{
    id::{SessionId, TenantId, UserId},
    position::sha256,
    token::{Expected, Identity, verify},
    v1::{self, session_service_server::SessionService},
    verdict::verdict,
};
use prost::Message;
use tonic::{Request, Response, Status};

use super::{
    caller::Caller,
    convert,
    core::{Call, Core, Tokens},
    lists::{Pages, is_for_users},
    parse::{Fields, check_wait},
    status::ServiceError,
};
use crate::{
    config::Role,
    crypto::random,
    domain::{
        Actor, Cause, Entry, Micros, Mutation, NewSession, PendingEvent, Rotation, Selection, Session, SessionFilter,
        SessionOrder, SessionState, Sight, decide_rotation,
        device::Device,
        findings::{Finding, FindingCode},
        policy::{AtLimit, Limits},
    },
    store::{Proof, Rotated},
    user_agents,
};
use portcullis_contract::id::EventId;

/// What a token says besides ids: its audiences, amr and acr together, in bytes. Keeps tokens well under their bound.
pub(super) const TOKEN_TEXT_BYTES_MAX: usize = 2048;

/// The most sessions beyond the policy's number that are ended together.
const LIMIT_EXCESS_MAX: u32 = 100;

pub(crate) struct Sessions(pub(crate) Arc<Core>);

#[tonic::async_trait]
impl SessionService for Sessions {
    async fn create_session(
        &self,
        request: Request<v1::CreateSessionRequest>,
    ) -> Result<Response<v1::CreateSessionResponse>, Status> {
        Ok(Response::new(self.create(Call::new(request)?).await?))
    }

    async fn refresh_session(
        &self,
        request: Request<v1::RefreshSessionRequest>,
    ) -> Result<Response<v1::RefreshSessionResponse>, Status> {
        Ok(Response::new(self.refresh(Call::new(request)?).await?))
    }

    async fn get_session(
        &self,
        request: Request<v1::GetSessionRequest>,
    ) -> Result<Response<v1::GetSessionResponse>, Status> {
        let Call { caller, message, .. } = Call::new(request)?;
        let tenant = caller.tenant(&message.tenant_id)?;
        let id = Fields::one("session_id", |fields| fields.session("session_id", &message.session_id))?;
        let (session, now) = self.find(&tenant, id, caller.own_user()).await?;
        let session = self.0.shown(&caller, &tenant, std::slice::from_ref(&session)).await?.session(&session, now);
        Ok(Response::new(v1::GetSessionResponse { session: Some(session) }))
    }

    async fn list_sessions(
        &self,
        request: Request<v1::ListSessionsRequest>,
    ) -> Result<Response<v1::ListSessionsResponse>, Status> {
        Ok(Response::new(self.list(Call::new(request)?).await?))
    }

    async fn revoke_session(
        &self,
        request: Request<v1::RevokeSessionRequest>,
    ) -> Result<Response<v1::RevokeSessionResponse>, Status> {
        Ok(Response::new(self.revoke(Call::new(request)?).await?))
    }

    async fn batch_revoke_sessions(
        &self,
        request: Request<v1::BatchRevokeSessionsRequest>,
    ) -> Result<Response<v1::BatchRevokeSessionsResponse>, Status> {
        Ok(Response::new(self.batch_revoke(Call::new(request)?).await?))
    }

    async fn revoke_other_sessions(
        &self,
        request: Request<v1::RevokeOtherSessionsRequest>,
    ) -> Result<Response<v1::RevokeOtherSessionsResponse>, Status> {
        Ok(Response::new(self.revoke_others(Call::new(request)?).await?))
    }

    async fn introspect_token(
        &self,
        request: Request<v1::IntrospectTokenRequest>,
    ) -> Result<Response<v1::IntrospectTokenResponse>, Status> {
        Ok(Response::new(self.introspect(Call::new(request)?).await?))
    }
}

impl Sessions {
    async fn create(&self, call: Call<v1::CreateSessionRequest>) -> Result<v1::CreateSessionResponse, ServiceError> {
        let tenant = call.caller.tenant(&call.message.tenant_id)?;
        let policy = self.0.policies.of(&tenant).await?;
        let (mut new, device) = self.parse_new(tenant, call.caller.actor(None), &call.message)?;
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
            self.find(&new.tenant_id, replaced, Some(&new.user_id)).await?;
        }
        // Whoever asks again may have a session already: that shows when it is opened.
        if limits.at_limit == AtLimit::Refuse && new.request.is_none() {
            self.refuse_beyond(&new, &limits).await?;
        }
        let opened = self.0.store.open_session(&new).await?;
        if let Some(replaced) = new.replaces {
            self.replace(&call, &new, replaced).await?;
        }
        if opened.session.id == new.id {
            self.keep_limit(&opened.session, &limits).await?;
        }
        // A repetition may find that its session has ended meanwhile.
        if opened.session.state(opened.now) != SessionState::Active {
            return Err(ServiceError::SessionEnded);
        }
        let tokens = self.0.issue(&opened.session, &opened.session.audiences, opened.now).await?;
        let shown = self.0.shown(&call.caller, &opened.session.tenant_id, &[]).await?;
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
        if audiences.iter().chain(&amr).map(String::len).sum::<usize>() + acr.len() > TOKEN_TEXT_BYTES_MAX {
            fields.wrong("audiences", format!("with amr and acr must be at most {TOKEN_TEXT_BYTES_MAX} bytes"));
        }
        let request_id = fields.text::<128>("request_id", &message.request_id);
        let replaced = match message.replaces_session_id.as_str() {
            "" => None,
            id => fields.session("replaces_session_id", id),
        };
        // Read whatever the user id is: every problem is reported.
        let (profile, client) = (fields.profile(&person), fields.client(message.client.as_ref()));
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
            request: (!request_id.is_empty()).then(|| (request_id, sha256(&message.encode_to_vec()))),
            sight: Sight::default(),
            footprints: Vec::new(),
            replaces: replaced,
            idle_timeout: None,
            actor,
        });
        let new = fields.finish(new)?.ok_or_else(|| ServiceError::invalid("user.id", "is required"))?;
        let device = user_agents::parse(&new.client.user_agent).with_hints(&hints).with_app(&app);
        Ok((new, device))
    }

    /// Refuses a sign-in of a user who has as many sessions as allowed.
    async fn refuse_beyond(&self, new: &NewSession, limits: &Limits) -> Result<(), ServiceError> {
        let Some(most) = limits.sessions_max else { return Ok(()) };
        // The one that is replaced makes room.
        let active = self.active(&new.tenant_id, &new.user_id, most.saturating_add(1)).await?;
        let staying = active.iter().filter(|session| Some(session.id) != new.replaces).count();
        if staying >= most as usize { Err(ServiceError::SessionLimit) } else { Ok(()) }
    }

    /// Ends what is beyond the limit, now that the session is open: looked at afterwards, no two sign-ins at a time
    /// can both slip under it.
    async fn keep_limit(&self, opened: &Session, limits: &Limits) -> Result<(), ServiceError> {
        let Some(most) = limits.sessions_max else { return Ok(()) };
        loop {
            let some = most.saturating_add(LIMIT_EXCESS_MAX);
            let active = self.active(&opened.tenant_id, &opened.user_id, some).await?;
            let excess: Vec<_> = match limits.at_limit {
                AtLimit::EndOldest => active.iter().skip(most as usize).map(|session| session.id).collect(),
                AtLimit::Refuse if active.len() > most as usize => vec![opened.id],
                AtLimit::Refuse => vec![],
            };
            let is_last = excess.len() < LIMIT_EXCESS_MAX as usize;
            if excess.is_empty() {
                return Ok(());
            }
            self.0.log.submit(beyond_limit(&opened.tenant_id, excess)).await?;
            if limits.at_limit == AtLimit::Refuse {
                return Err(ServiceError::SessionLimit);
            }
            // All that is beyond the limit ends: to stop here would end newer ones and leave the oldest.
            if is_last {
                return Ok(());
            }
        }
    }

    /// A user's active sessions, newest first.
    async fn active(&self, tenant: &TenantId, user: &UserId, limit: u32) -> Result<Vec<Session>, ServiceError> {
        let filter = SessionFilter {
            user_id: Some(user.clone()),
            state: Some(SessionState::Active),
            ..SessionFilter::of(tenant.clone())
        };
        Ok(self.0.store.list_sessions(&filter, SessionOrder::Start, None, limit).await?.items)
    }

    /// What a login service reports. It may end sessions for nothing else.
    fn reported_cause(
        &self,
        fields: &mut Fields,
        call: &Call<v1::RevokeOtherSessionsRequest>,
    ) -> Result<Option<Cause>, ServiceError> {
        let reported = match v1::SessionEndCause::try_from(call.message.cause) {
            Ok(v1::SessionEndCause::Unspecified) => None,
            Ok(v1::SessionEndCause::PasswordChanged) => Some(Cause::PasswordChanged),
            Ok(v1::SessionEndCause::SecondFactorChanged) => Some(Cause::SecondFactorChanged),
            _ => {
                fields.wrong("cause", "must be PASSWORD_CHANGED or SECOND_FACTOR_CHANGED, or unset");
                None
            }
        };
        match &call.caller {
            Caller::User(_) if reported.is_some() => Err(ServiceError::Denied),
            Caller::Service(service) if reported.is_none() && !service.roles.contains(&Role::Admin) => {
                Err(ServiceError::Denied)
            }
            _ => Ok(reported),
        }
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
        let entry = call.entry(Fields::default(), None, String::new(), String::new(), Some(mutation))?;
        self.0.append(entry, call.begun).await.map(|_| ())
    }

    async fn refresh(&self, call: Call<v1::RefreshSessionRequest>) -> Result<v1::RefreshSessionResponse, ServiceError> {
        let Call { caller, message, .. } = call;
        let tenant = caller.tenant(&message.tenant_id)?;
        let audiences = Fields::one("audiences", |fields| Some(fields.audiences(&message.audiences)))?;
        let refresh = &self.0.secrets.refresh;
        let subject = refresh.read(&message.refresh_token).map_err(|_| ServiceError::RefreshTokenInvalid)?;
        // The row's salt takes part in the proof.
        let (core, token) = (Arc::clone(&self.0), message.refresh_token);
        let proof: Proof = Arc::new(move |salt| core.secrets.refresh.is_authentic(&token, salt));
        let rotated = self.0.store.rotate(&tenant, subject.session_id, subject.generation, proof).await?;
        let (session, now) = match rotated {
            Rotated::Won(session, now) => (session, now),
            Rotated::Lost(session, now) => self.lost(&tenant, session, subject.generation, now).await?,
            Rotated::NotFound => return Err(ServiceError::RefreshTokenInvalid),
        };
        let audiences = if audiences.is_empty() { session.audiences.clone() } else { audiences };
        let Tokens { access, refresh, access_expire_time } = self.0.issue(&session, &audiences, now).await?;
        Ok(v1::RefreshSessionResponse {
            session: Some(self.0.shown(&caller, &tenant, &[]).await?.session(&session, now)),
            access_token: access,
            refresh_token: refresh,
            access_token_expire_time: Some(access_expire_time),
        })
    }

    /// A genuine token that did not rotate: another tab was first, the session is over, or it was copied.
    async fn lost(
        &self,
        tenant: &TenantId,
        session: Box<Session>,
        generation: u64,
        now: Micros,
    ) -> Result<(Box<Session>, Micros), ServiceError> {
        match decide_rotation(&session, generation, self.0.config.tokens.refresh_grace, now) {
            Rotation::Repeat => Ok((session, now)),
            Rotation::Ended if session.end.as_ref().is_some_and(|end| end.cause == Cause::UserDisabled) => {
                Err(ServiceError::UserDisabled)
            }
            Rotation::Ended => Err(ServiceError::SessionEnded),
            Rotation::Ahead => Err(ServiceError::RefreshTokenInvalid),
            Rotation::Theft => {
                let outcome = self.0.log.submit(theft(tenant, session.id)).await?;
                if outcome.changed > 0 {
                    self.note_theft(&session, now).await;
                }
                Err(ServiceError::RefreshTokenReused)
            }
        }
    }

    /// The revocation is in the trail anyhow; this is the finding, unless the tenant has switched it off.
    async fn note_theft(&self, session: &Session, now: Micros) {
        let noted = async {
            let policy = self.0.policies.of(&session.tenant_id).await?;
            let finding = Finding { code: FindingCode::RefreshTokenReused, facts: Vec::new() };
            let of = (&session.tenant_id, session.id, &session.user_id);
            let event = PendingEvent::finding(&finding, now, of, Actor::authority());
            let events = if policy.findings_disabled.contains(&finding.code) { vec![] } else { vec![event] };
            self.0.store.defer(&events).await
        };
        if let Err(error) = noted.await {
            tracing::warn!(%error, "a finding is not in the audit trail");
        }
    }

    async fn find(
        &self,
        tenant: &TenantId,
        id: SessionId,
        owner: Option<&UserId>,
    ) -> Result<(Session, Micros), ServiceError> {
        let found = self.0.store.session(tenant, id).await?;
        let own = found.filter(|(session, _)| owner.is_none_or(|owner| session.user_id == *owner));
        own.ok_or(ServiceError::SessionNotFound)
    }

    async fn list(&self, call: Call<v1::ListSessionsRequest>) -> Result<v1::ListSessionsResponse, ServiceError> {
        let Call { caller, message, .. } = call;
        let tenant_id = caller.tenant(&message.tenant_id)?;
        let mut fields = Fields::default();
        let user_id = match (caller.own_user(), message.user_id.as_str()) {
            (Some(own), id) if id.is_empty() || id == own.as_str() => Some(own.clone()),
            (Some(_), _) => return Err(ServiceError::Denied),
            (None, "") => None,
            (None, id) => fields.user("user_id", id),
        };
        let filter = self.filter(&mut fields, tenant_id, user_id, &caller, &message)?;
        let order = fields.session_order(message.order, &filter, &caller);
        let page_size = fields.page_size(message.page_size);
        let filter = fields.finish(filter)?;
        let pages = Pages::new(&self.0.secrets.pages, &caller, "ListSessions", &format!("{filter:?}{order:?}"));
        let after = pages.after(&message.page_token)?;
        let page = self.0.store.list_sessions(&filter, order, after.as_ref(), page_size).await?;
        let shown = self.0.shown(&caller, &filter.tenant_id, &page.items).await?;
        Ok(v1::ListSessionsResponse {
            next_page_token: pages.next(page.next.as_ref()),
            sessions: page.items.iter().map(|session| shown.session(session, page.now)).collect(),
        })
    }

    fn filter(
        &self,
        fields: &mut Fields,
        tenant_id: TenantId,
        user_id: Option<UserId>,
        caller: &Caller,
        message: &v1::ListSessionsRequest,
    ) -> Result<SessionFilter, ServiceError> {
        let retention = self.0.config.sessions.retention;
        let mut filter = SessionFilter { user_id, retention, ..SessionFilter::of(tenant_id) };
        let asked = message.filter.clone().unwrap_or_default();
        if caller.own_user().is_some() && !is_for_users(&asked) {
            return Err(ServiceError::Denied);
        }
        fields.session_filter(&asked, &mut filter);
        filter.state = convert::state_from_wire(message.state).unwrap_or_else(|()| {
            fields.wrong("state", "is not a state");
            None
        });
        if filter.state.is_none() && filter.end_cause.is_none() && !message.show_ended {
            filter.state = Some(SessionState::Active);
        }
        Ok(filter)
    }

    async fn revoke(&self, call: Call<v1::RevokeSessionRequest>) -> Result<v1::RevokeSessionResponse, ServiceError> {
        let message = &call.message;
        check_wait(message.wait())?;
        let tenant = call.caller.tenant(&message.tenant_id)?;
        let mut fields = Fields::default();
        let id = fields.session("session_id", &message.session_id);
        let reason = fields.reason(&message.reason);
        let user_message = fields.user_message(&message.user_message);
        let behalf = fields.behalf(message.acting_user.as_ref());
        let id = fields.finish(id)?.ok_or(ServiceError::SessionNotFound)?;
        let owner = call.caller.own_user().cloned();
        let cause = self.cause(&call.caller, &tenant, id, behalf.as_ref()).await?;
        let mutation = Mutation::RevokeSessions { tenant: tenant.clone(), sessions: vec![id], owner, cause };
        let entry = call.entry(Fields::default(), behalf, reason, user_message, Some(mutation))?;
        let (outcome, ended) = self.0.log.submit_for_one(entry).await?;
        let enforcement = self.0.validators.enforcement(outcome.revision, call.begun.elapsed());
        let (session, now) = match ended {
            Some(ended) => ended,
            None => self.find(&tenant, id, None).await?,
        };
        let session = Some(self.0.shown(&call.caller, &tenant, &[]).await?.session(&session, now));
        Ok(v1::RevokeSessionResponse { session, enforcement: Some(enforcement) })
    }

    /// A user who ends their own session signs out, also when a service calls for them.
    async fn cause(
        &self,
        caller: &Caller,
        tenant: &TenantId,
        id: SessionId,
        behalf: Option<&(UserId, String)>,
    ) -> Result<Cause, ServiceError> {
        match (caller.own_session(), behalf) {
            (Some(own), _) if own == id => Ok(Cause::User),
            (Some(_), _) => Ok(Cause::AnotherDevice),
            (None, None) => Ok(Cause::Administrator),
            (None, Some((user, _))) => {
                let (session, _) = self.find(tenant, id, None).await?;
                Ok(if session.user_id == *user { Cause::User } else { Cause::Administrator })
            }
        }
    }

    async fn batch_revoke(
        &self,
        call: Call<v1::BatchRevokeSessionsRequest>,
    ) -> Result<v1::BatchRevokeSessionsResponse, ServiceError> {
        let message = &call.message;
        check_wait(message.wait())?;
        let tenant = call.caller.tenant(&message.tenant_id)?;
        let mut fields = Fields::default();
        let sessions = fields.ids("session_ids", &message.session_ids, Fields::session);
        if message.validate_only {
            let selection = Selection::Sessions(fields.finish(sessions)?);
            let preview = Some(self.0.preview(&call.caller, &tenant, &selection).await?);
            return Ok(v1::BatchRevokeSessionsResponse { preview, ..Default::default() });
        }
        let reason = fields.required_reason(&message.reason);
        let user_message = fields.user_message(&message.user_message);
        let behalf = fields.behalf(message.acting_user.as_ref());
        let mutation = Mutation::RevokeSessions { tenant, sessions, owner: None, cause: Cause::Administrator };
        let entry = call.entry(fields, behalf, reason, user_message, Some(mutation))?;
        let (outcome, enforcement) = self.0.append(entry, call.begun).await?;
        Ok(v1::BatchRevokeSessionsResponse { revoked: outcome.changed, enforcement: Some(enforcement), preview: None })
    }

    async fn revoke_others(
        &self,
        call: Call<v1::RevokeOtherSessionsRequest>,
    ) -> Result<v1::RevokeOtherSessionsResponse, ServiceError> {
        let message = &call.message;
        check_wait(message.wait())?;
        let tenant = call.caller.tenant(&message.tenant_id)?;
        let mut fields = Fields::default();
        let reported = self.reported_cause(&mut fields, &call)?;
        let user = match (call.caller.own_user(), message.user_id.as_str()) {
            (Some(own), id) if id.is_empty() || id == own.as_str() => Some(own.clone()),
            (Some(_), _) => return Err(ServiceError::Denied),
            (None, id) => fields.user("user_id", id),
        };
        let keep = match (message.keep_session_id.as_str(), message.include_current) {
            ("", true) => None,
            ("", false) => call.caller.own_session().or_else(|| {
                fields.wrong("keep_session_id", "is required unless include_current is set");
                None
            }),
            (id, false) => fields.session("keep_session_id", id),
            (_, true) => {
                fields.wrong("keep_session_id", "must be empty when include_current is set");
                None
            }
        };
        if message.validate_only {
            if let Caller::Service(service) = &call.caller
                && !service.roles.iter().any(|role| matches!(role, Role::Admin | Role::Support))
            {
                // Who may report a change may not look.
                return Err(ServiceError::Denied);
            }
            let preview = Some(self.preview_others(&call.caller, &tenant, fields.finish(user)?, keep).await?);
            return Ok(v1::RevokeOtherSessionsResponse { preview, ..Default::default() });
        }
        let reason = fields.reason(&message.reason);
        let user_message = fields.user_message(&message.user_message);
        let behalf = fields.behalf(message.acting_user.as_ref());
        let own = call.caller.own_user().is_some() || behalf.as_ref().map(|(user, _)| user) == user.as_ref();
        let cause = reported.unwrap_or(match (own, keep) {
            (true, Some(_)) => Cause::AnotherDevice,
            (true, None) => Cause::User,
            (false, _) => Cause::Administrator,
        });
        let mutation =
            user.map(|user| Mutation::SignOutUsers { tenant, users: vec![user], keep, disable: false, cause });
        let entry = call.entry(fields, behalf, reason, user_message, mutation)?;
        let (_, enforcement) = self.0.append(entry, call.begun).await?;
        Ok(v1::RevokeOtherSessionsResponse { enforcement: Some(enforcement), preview: None })
    }

    async fn preview_others(
        &self,
        caller: &Caller,
        tenant: &TenantId,
        user: Option<UserId>,
        keep: Option<SessionId>,
    ) -> Result<v1::Preview, ServiceError> {
        if let Some(keep) = keep {
            self.find(tenant, keep, user.as_ref()).await?;
        }
        self.0.preview(caller, tenant, &Selection::Users(user.into_iter().collect(), keep)).await
    }

    async fn introspect(
        &self,
        call: Call<v1::IntrospectTokenRequest>,
    ) -> Result<v1::IntrospectTokenResponse, ServiceError> {
        let Call { caller, message, .. } = call;
        let tenant = caller.tenant(&message.tenant_id)?;
        if let Caller::User(identity) = &caller
            && message.token.is_empty()
        {
            return self.judge(&caller, identity).await;
        }
        let inactive =
            |reason: &str| v1::IntrospectTokenResponse { inactive_reason: reason.into(), ..Default::default() };
        let view = self.0.feed.view();
        // Whom the token is for is the asker's business: any audience it has will do.
        let issuer = self.0.config.tokens.issuer.clone();
        let identity = match verify(&message.token, &view, &Expected { issuer, audience: None }) {
            Ok(identity) => identity,
            Err(rejection) => return Ok(inactive(rejection.reason())),
        };
        if caller.own_session().is_some_and(|own| own != identity.session_id) {
            return Err(ServiceError::invalid("token", "must be empty or of the session of the call"));
        }
        if identity.tenant_id != tenant {
            return Ok(inactive("unknown"));
        }
        self.judge(&caller, &identity).await
    }

    async fn judge(&self, caller: &Caller, identity: &Identity) -> Result<v1::IntrospectTokenResponse, ServiceError> {
        let Some((session, now)) = self.0.store.session(&identity.tenant_id, identity.session_id).await? else {
            return Ok(v1::IntrospectTokenResponse { inactive_reason: "unknown".into(), ..Default::default() });
        };
        let reason = match (session.state(now), verdict(identity, &self.0.feed.view(), now.seconds())) {
            (SessionState::Active, Ok(())) => "",
            (SessionState::Active, Err(rejection)) => rejection.reason(),
            (SessionState::Expired, _) => "expired",
            (SessionState::SignedOut, _) => "signed_out",
            (SessionState::Revoked, _) => "revoked",
        };
        let whole = match caller {
            // A token that does not admit is worth no more than why: it may be old, and in other hands.
            Caller::User(_) => reason.is_empty() && self.0.policies.of(&session.tenant_id).await?.users_see_sessions,
            Caller::Service(_) => true,
        };
        let shown = if whole {
            let shown = self.0.shown(caller, &session.tenant_id, std::slice::from_ref(&session)).await?;
            shown.session(&session, now)
        } else {
            convert::session_end(&session, now, caller)
        };
        let expires = i64::try_from(identity.expires_at).unwrap_or(i64::MAX);
        Ok(v1::IntrospectTokenResponse {
            active: reason.is_empty(),
            inactive_reason: reason.into(),
            session: Some(shown),
            access_token_expire_time: Some(prost_types::Timestamp { seconds: expires, nanos: 0 }),
        })
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

fn theft(tenant: &TenantId, session: SessionId) -> Entry {
    Entry {
        event_id: EventId::generate(),
        actor: Actor::authority(),
        reason: "an old refresh token was used again".into(),
        user_message: String::new(),
        trace_parent: None,
        mutation: Mutation::RevokeSessions {
            tenant: tenant.clone(),
            sessions: vec![session],
            owner: None,
            cause: Cause::RefreshTokenReused,
        },
    }
}
