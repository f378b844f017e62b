//! `SessionService`.

mod introspect;
mod refresh;
mod revoke;
mod sign_in;

use std::sync::Arc;

use portcullis_contract::{
    id::{SessionId, TenantId, UserId},
    v1::{self, session_service_server::SessionService},
};
use tonic::{Request, Response, Status};

use super::{
    caller::Caller,
    convert,
    core::{Call, Core},
    lists::{Pages, is_for_users},
    parse::Fields,
    status::ServiceError,
};
use crate::domain::{Micros, Session, SessionFilter, SessionState};

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
        let Call {
            caller, message, ..
        } = Call::new(request)?;
        let tenant = caller.tenant(&message.tenant_id)?;
        let id = Fields::one("session_id", |fields| {
            fields.session("session_id", &message.session_id)
        })?;
        let (session, now) = self.find(&tenant, id, caller.own_user()).await?;
        let session = self
            .0
            .shown(&caller, &tenant, std::slice::from_ref(&session))
            .await?
            .session(&session, now);
        Ok(Response::new(v1::GetSessionResponse {
            session: Some(session),
        }))
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
        Ok(Response::new(
            self.revoke_others(Call::new(request)?).await?,
        ))
    }

    async fn introspect_token(
        &self,
        request: Request<v1::IntrospectTokenRequest>,
    ) -> Result<Response<v1::IntrospectTokenResponse>, Status> {
        Ok(Response::new(self.introspect(Call::new(request)?).await?))
    }
}

impl Sessions {
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

    async fn list(
        &self,
        call: Call<v1::ListSessionsRequest>,
    ) -> Result<v1::ListSessionsResponse, ServiceError> {
        let Call {
            caller, message, ..
        } = call;
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
        let pages = Pages::new(
            &self.0.secrets.pages,
            &caller,
            "ListSessions",
            &format!("{filter:?}{order:?}"),
        );
        let after = pages.after(&message.page_token)?;
        let page = self
            .0
            .store
            .list_sessions(&filter, order, after.as_ref(), page_size)
            .await?;
        let shown = self
            .0
            .shown(&caller, &filter.tenant_id, &page.items)
            .await?;
        Ok(v1::ListSessionsResponse {
            next_page_token: pages.next(page.next.as_ref()),
            sessions: page
                .items
                .iter()
                .map(|session| shown.session(session, page.now))
                .collect(),
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
        let mut filter = SessionFilter {
            user_id,
            retention,
            ..SessionFilter::of(tenant_id)
        };
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
}
