//! `SessionService`.

mod introspect;
mod list;
mod refresh;
mod revoke;
mod revoke_matching;
mod sign_in;

use std::sync::Arc;

use portcullis_contract::v1::{self, session_service_server::SessionService};
use tonic::{Request, Response, Status};

use self::revoke_matching::Matching;
use super::{
    change::{PreviewRequest, Previewable, TenantChange},
    incoming::Incoming,
    parse::Fields,
    render,
};
use crate::{
    app::{
        App, AppError,
        introspect::introspect,
        preview::preview,
        refresh::refresh,
        revoke::{OtherSessions, revoke_other_sessions, revoke_session, revoke_sessions},
        revoke_matching::{preview_matching, revoke_matching},
        revoke_token::revoke_token,
        sessions::{get_session, list_sessions},
        sign_in::sign_in,
    },
    domain::Selection,
};

pub(crate) struct Sessions {
    pub(crate) app: Arc<App>,
}

#[tonic::async_trait]
impl SessionService for Sessions {
    async fn create_session(
        &self,
        request: Request<v1::CreateSessionRequest>,
    ) -> Result<Response<v1::CreateSessionResponse>, Status> {
        let incoming = Incoming::new(request)?;
        let (request, warnings) = sign_in::parse(&self.app, &incoming)?;
        let signed_in = sign_in(&self.app, &incoming.caller, request).await?;
        Ok(Response::new(sign_in::render(signed_in, warnings)))
    }

    async fn refresh_session(
        &self,
        request: Request<v1::RefreshSessionRequest>,
    ) -> Result<Response<v1::RefreshSessionResponse>, Status> {
        let incoming = Incoming::new(request)?;
        let (request, warnings) = refresh::parse(&incoming)?;
        let refreshed = refresh(&self.app, &incoming.caller, request).await?;
        Ok(Response::new(refresh::render(refreshed, warnings)))
    }

    async fn get_session(
        &self,
        request: Request<v1::GetSessionRequest>,
    ) -> Result<Response<v1::GetSessionResponse>, Status> {
        let incoming = Incoming::new_in_role(request, |message, _| !message.tenant_id.is_empty())?;
        let tenant = incoming.tenant(&incoming.message.tenant_id)?;
        let id = Fields::one("session_id", |fields| {
            fields.session("session_id", &incoming.message.session_id)
        })?;
        let session = get_session(&self.app, &incoming.caller, &tenant, id).await?;
        Ok(Response::new(v1::GetSessionResponse {
            session: Some(render::session::session(&session)),
        }))
    }

    async fn list_sessions(
        &self,
        request: Request<v1::ListSessionsRequest>,
    ) -> Result<Response<v1::ListSessionsResponse>, Status> {
        let incoming = Incoming::new_in_role(request, |message, _| !message.tenant_id.is_empty())?;
        let asked = list::parse(&self.app, &incoming)?;
        let pages = list::pages(&self.app, &incoming.caller, &asked);
        let after = pages.after(&incoming.message.page_token)?;
        let page = list_sessions(
            &self.app,
            &incoming.caller,
            &asked.filter,
            asked.order,
            after.as_ref(),
            asked.page_size,
        )
        .await?;
        Ok(Response::new(v1::ListSessionsResponse {
            next_page_token: pages.next(page.next.as_ref()),
            sessions: page.sessions.iter().map(render::session::session).collect(),
        }))
    }

    async fn revoke_session(
        &self,
        request: Request<v1::RevokeSessionRequest>,
    ) -> Result<Response<v1::RevokeSessionResponse>, Status> {
        let TenantChange {
            origin,
            tenant,
            subject: id,
        } = Incoming::new_in_role(request, revoke::is_about_tenant)?.tenant_change(|source| {
            let id = &source.message.session_id;
            // Empty means the session of the call, which a service has not.
            Ok(match source.caller.own_session() {
                Some(own) if id.is_empty() => Some(own),
                _ => source.fields.session("session_id", id),
            })
        })?;
        let revoked = revoke_session(&self.app, &origin, &tenant, id).await?;
        Ok(Response::new(v1::RevokeSessionResponse {
            session: Some(render::session::detail(&revoked.session)),
            enforcement: Some(render::enforcement(&revoked.enforcement)),
        }))
    }

    async fn revoke_token(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Result<Response<v1::RevokeTokenResponse>, Status> {
        let (origin, revocation) = revoke::parse_token(Incoming::new(request)?)?;
        revoke_token(&self.app, origin, revocation).await?;
        Ok(Response::new(v1::RevokeTokenResponse {}))
    }

    async fn batch_revoke_sessions(
        &self,
        request: Request<v1::BatchRevokeSessionsRequest>,
    ) -> Result<Response<v1::BatchRevokeSessionsResponse>, Status> {
        let change = Incoming::new(request)?.previewable_change(|source| {
            let ids = &source.message.session_ids;
            Ok(Some(source.fields.ids("session_ids", ids, Fields::session)))
        })?;
        let answer = match change {
            Previewable::Preview(asked) => {
                let selection = Selection::Sessions(asked.subject);
                let found = preview(&self.app, &asked.caller, &asked.tenant, &selection).await?;
                v1::BatchRevokeSessionsResponse {
                    preview: Some(render::preview(&found)),
                    ..Default::default()
                }
            }
            Previewable::Apply(change) => {
                let (revoked, enforcement) =
                    revoke_sessions(&self.app, &change.origin, change.tenant, change.subject)
                        .await?;
                v1::BatchRevokeSessionsResponse {
                    revoked,
                    enforcement: Some(render::enforcement(&enforcement)),
                    preview: None,
                }
            }
        };
        Ok(Response::new(answer))
    }

    async fn revoke_matching_sessions(
        &self,
        request: Request<v1::RevokeMatchingSessionsRequest>,
    ) -> Result<Response<v1::RevokeMatchingSessionsResponse>, Status> {
        let change = Incoming::new(request)?.previewable_change(revoke_matching::parse)?;
        let answer = match change {
            Previewable::Preview(asked) => {
                let filter = &asked.subject.filter;
                let found = preview_matching(&self.app, &asked.caller, filter).await?;
                v1::RevokeMatchingSessionsResponse {
                    preview: Some(render::preview(&found)),
                    ..Default::default()
                }
            }
            Previewable::Apply(change) => {
                let Matching {
                    filter,
                    sessions_max,
                } = &change.subject;
                let revoked =
                    revoke_matching(&self.app, &change.origin, filter, *sessions_max).await?;
                revoke_matching::render(&revoked)
            }
        };
        Ok(Response::new(answer))
    }

    async fn revoke_other_sessions(
        &self,
        request: Request<v1::RevokeOtherSessionsRequest>,
    ) -> Result<Response<v1::RevokeOtherSessionsResponse>, Status> {
        let change = Incoming::new_in_role(request, revoke::others_are_about_tenant)?
            .previewable_change(revoke::parse_others)?;
        let answer = match change {
            Previewable::Preview(asked) => self.preview_others(asked).await?,
            Previewable::Apply(change) => {
                let enforcement =
                    revoke_other_sessions(&self.app, &change.origin, change.tenant, change.subject)
                        .await?;
                v1::RevokeOtherSessionsResponse {
                    enforcement: Some(render::enforcement(&enforcement)),
                    preview: None,
                }
            }
        };
        Ok(Response::new(answer))
    }

    async fn introspect_token(
        &self,
        request: Request<v1::IntrospectTokenRequest>,
    ) -> Result<Response<v1::IntrospectTokenResponse>, Status> {
        let incoming = Incoming::new_in_role(request, introspect::is_about_tenant)?;
        let tenant = incoming.tenant(&incoming.message.tenant_id)?;
        let token = Some(incoming.message.token.as_str()).filter(|token| !token.is_empty());
        let served = introspect::parse_served(&incoming.caller, &incoming.message)?;
        let introspection = introspect(&self.app, &incoming.caller, &tenant, token, served).await?;
        Ok(Response::new(introspect::render(&introspection)))
    }
}

impl Sessions {
    async fn preview_others(
        &self,
        asked: PreviewRequest<OtherSessions>,
    ) -> Result<v1::RevokeOtherSessionsResponse, AppError> {
        let OtherSessions { user, keep, .. } = asked.subject;
        // A kept session of another user would be ignored without a word.
        if let Some(keep) = keep {
            self.app
                .find_session(&asked.tenant, keep, Some(&user))
                .await?;
        }
        let selection = Selection::Users(vec![user], keep);
        let found = preview(&self.app, &asked.caller, &asked.tenant, &selection).await?;
        Ok(v1::RevokeOtherSessionsResponse {
            preview: Some(render::preview(&found)),
            enforcement: None,
        })
    }
}
