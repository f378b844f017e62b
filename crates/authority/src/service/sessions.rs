//! `SessionService`.

use std::sync::Arc;

use portcullis_contract::{
    id::{SessionId, TenantId, UserId},
    position::sha256,
    token::{Expected, verify},
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
    crypto::random,
    domain::{
        Actor, Cause, Entry, Micros, Mutation, NewSession, Rotation, Selection, Session, SessionFilter, SessionState,
        decide_rotation,
    },
    store::Rotated,
};
use portcullis_contract::id::EventId;

/// What a token says besides ids: its audiences, amr and acr together, in bytes. Keeps tokens well under their bound.
const TOKEN_TEXT_BYTES_MAX: usize = 2048;

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
        Ok(Response::new(v1::GetSessionResponse { session: Some(convert::session(&session, now, &caller)) }))
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
        let (new, replaced) = self.parse_new(tenant, &call.message)?;
        if let Some(replaced) = replaced {
            self.replace(&call, &new, replaced).await?;
        }
        let opened = self.0.store.open_session(&new).await?;
        // A repetition may find that its session has ended meanwhile.
        if opened.session.state(opened.now) != SessionState::Active {
            return Err(ServiceError::SessionEnded);
        }
        let tokens = self.0.issue(&opened.session, &opened.session.audiences, opened.now)?;
        Ok(v1::CreateSessionResponse {
            session: Some(convert::session(&opened.session, opened.now, &call.caller)),
            access_token: tokens.access,
            refresh_token: tokens.refresh,
            access_token_expire_time: Some(tokens.access_expire_time),
        })
    }

    fn parse_new(
        &self,
        tenant_id: TenantId,
        message: &v1::CreateSessionRequest,
    ) -> Result<(NewSession, Option<SessionId>), ServiceError> {
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
        let sessions = &self.0.config.sessions;
        let lifetime = if message.remember_me { sessions.remember_me_lifetime } else { sessions.lifetime };
        // Read whatever the user id is: every problem is reported.
        let (profile, client) = (fields.profile(&person), fields.client(message.client.as_ref()));
        let auth_time = fields.past("auth_time", message.auth_time.as_ref());
        let new = user_id.map(|user_id| NewSession {
            id: SessionId::generate(),
            tenant_id,
            user_id,
            profile,
            client,
            remember_me: message.remember_me,
            lifetime,
            amr,
            acr,
            auth_time,
            audiences,
            salt: random(),
            request: (!request_id.is_empty()).then(|| (request_id, sha256(&message.encode_to_vec()))),
        });
        let new = fields.finish(new)?.ok_or_else(|| ServiceError::invalid("user.id", "is required"))?;
        Ok((new, replaced))
    }

    /// Ends the session that a new one replaces: before, so that a failure leaves one session too few, not too many.
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
        // The row's salt takes part in the proof, so the row is read before anything is changed by its word.
        let salt = self.0.store.salt(&tenant, subject.session_id).await?.ok_or(ServiceError::RefreshTokenInvalid)?;
        if !refresh.is_authentic(&message.refresh_token, &salt) {
            return Err(ServiceError::RefreshTokenInvalid);
        }
        let rotated = self.0.store.rotate(&tenant, subject.session_id, subject.generation).await?;
        let (session, now) = match rotated {
            Rotated::Won(session, now) => (session, now),
            Rotated::Lost(session, now) => self.lost(&tenant, session, subject.generation, now).await?,
            Rotated::NotFound => return Err(ServiceError::RefreshTokenInvalid),
        };
        let audiences = if audiences.is_empty() { session.audiences.clone() } else { audiences };
        let Tokens { access, refresh, access_expire_time } = self.0.issue(&session, &audiences, now)?;
        Ok(v1::RefreshSessionResponse {
            session: Some(convert::session(&session, now, &caller)),
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
                self.0.log.submit(theft(tenant, session.id)).await?;
                Err(ServiceError::RefreshTokenReused)
            }
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
        Ok(v1::ListSessionsResponse {
            next_page_token: pages.next(page.next.as_ref()),
            sessions: page.items.iter().map(|session| convert::session(session, page.now, &caller)).collect(),
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

    /// What ending a selection would end.
    async fn preview(
        &self,
        tenant: &TenantId,
        selection: &Selection,
        caller: &Caller,
    ) -> Result<v1::Preview, ServiceError> {
        let preview = self.0.store.preview(tenant, selection).await?.ok_or(ServiceError::SessionNotFound)?;
        Ok(convert::preview(&preview, caller))
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
        let cause = self.cause(&tenant, id, owner.as_ref(), behalf.as_ref()).await?;
        let mutation = Mutation::RevokeSessions { tenant: tenant.clone(), sessions: vec![id], owner, cause };
        let entry = call.entry(Fields::default(), behalf, reason, user_message, Some(mutation))?;
        let (_, enforcement) = self.0.append(entry, call.begun).await?;
        let (session, now) = self.find(&tenant, id, None).await?;
        let session = Some(convert::session(&session, now, &call.caller));
        Ok(v1::RevokeSessionResponse { session, enforcement: Some(enforcement) })
    }

    /// A user who ends their own session signs out, also when a service calls for them.
    async fn cause(
        &self,
        tenant: &TenantId,
        id: SessionId,
        owner: Option<&UserId>,
        behalf: Option<&(UserId, String)>,
    ) -> Result<Cause, ServiceError> {
        match (owner, behalf) {
            (Some(_), _) => Ok(Cause::User),
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
            let preview = Some(self.preview(&tenant, &selection, &call.caller).await?);
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
            let preview = Some(self.preview_others(&call.caller, &tenant, fields.finish(user)?, keep).await?);
            return Ok(v1::RevokeOtherSessionsResponse { preview, ..Default::default() });
        }
        let reason = fields.reason(&message.reason);
        let user_message = fields.user_message(&message.user_message);
        let behalf = fields.behalf(message.acting_user.as_ref());
        let own = call.caller.own_user().is_some() || behalf.as_ref().map(|(user, _)| user) == user.as_ref();
        let cause = if own { Cause::User } else { Cause::Administrator };
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
        self.preview(tenant, &Selection::Users(user.into_iter().collect(), keep), caller).await
    }

    async fn introspect(
        &self,
        call: Call<v1::IntrospectTokenRequest>,
    ) -> Result<v1::IntrospectTokenResponse, ServiceError> {
        let Call { caller, message, .. } = call;
        let tenant = caller.tenant(&message.tenant_id)?;
        let inactive =
            |reason: &str| v1::IntrospectTokenResponse { inactive_reason: reason.into(), ..Default::default() };
        let view = self.0.feed.view();
        // Whom the token is for is the asker's business: any audience it has will do.
        let issuer = self.0.config.tokens.issuer.clone();
        let identity = match verify(&message.token, &view, &Expected { issuer, audience: None }) {
            Ok(identity) => identity,
            Err(rejection) => return Ok(inactive(rejection.reason())),
        };
        if identity.tenant_id != tenant {
            return Ok(inactive("unknown"));
        }
        let Some((session, now)) = self.0.store.session(&tenant, identity.session_id).await? else {
            return Ok(inactive("unknown"));
        };
        let reason = match (session.state(now), verdict(&identity, &view, now.seconds())) {
            (SessionState::Active, Ok(())) => "",
            (SessionState::Active, Err(rejection)) => rejection.reason(),
            (SessionState::Expired, _) => "expired",
            (SessionState::SignedOut, _) => "signed_out",
            (SessionState::Revoked, _) => "revoked",
        };
        let expires = i64::try_from(identity.expires_at).unwrap_or(i64::MAX);
        Ok(v1::IntrospectTokenResponse {
            active: reason.is_empty(),
            inactive_reason: reason.into(),
            session: Some(convert::session(&session, now, &caller)),
            access_token_expire_time: Some(prost_types::Timestamp { seconds: expires, nanos: 0 }),
        })
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
