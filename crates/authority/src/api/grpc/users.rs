//! `UserService`.

mod export;
mod list;

use std::sync::Arc;

use portcullis_contract::{
    id::UserId,
    v1::{self, user_service_server::UserService},
};
use tonic::{Request, Response, Status};

use super::{
    change::{ChangeMessage, PreviewRequest, Previewable, SubjectSource},
    incoming::Incoming,
    parse::Fields,
    render,
};
use crate::{
    app::{
        App, AppError,
        erasure::erase_user,
        export::export_user,
        preview::preview,
        sign_out::sign_out_users,
        users::{disable_user, enable_user, get_user, list_users, set_user_roles},
    },
    domain::Selection,
};

pub(crate) struct Users {
    pub(crate) app: Arc<App>,
}

#[tonic::async_trait]
impl UserService for Users {
    async fn get_user(
        &self,
        request: Request<v1::GetUserRequest>,
    ) -> Result<Response<v1::GetUserResponse>, Status> {
        let incoming = Incoming::new(request)?;
        let tenant = incoming.tenant(&incoming.message.tenant_id)?;
        let id = Fields::one("user_id", |fields| {
            fields.user("user_id", &incoming.message.user_id)
        })?;
        let user = get_user(&self.app, &tenant, &id).await?;
        Ok(Response::new(v1::GetUserResponse {
            user: Some(render::user::user(&user)),
        }))
    }

    async fn list_users(
        &self,
        request: Request<v1::ListUsersRequest>,
    ) -> Result<Response<v1::ListUsersResponse>, Status> {
        let incoming = Incoming::new(request)?;
        let asked = list::parse(&incoming)?;
        let pages = list::pages(&self.app, &incoming.caller, &asked);
        let after = pages.after(&incoming.message.page_token)?;
        let page = list_users(
            &self.app,
            &asked.filter,
            asked.order,
            after.as_ref(),
            asked.page_size,
        )
        .await?;
        Ok(Response::new(v1::ListUsersResponse {
            next_page_token: pages.next(page.next.as_ref()),
            users: page
                .users
                .iter()
                .map(|summary| render::user::user_summary(summary, page.now))
                .collect(),
            sessions: page.sessions,
            sessions_capped: page.is_capped,
        }))
    }

    async fn force_sign_out(
        &self,
        request: Request<v1::ForceSignOutRequest>,
    ) -> Result<Response<v1::ForceSignOutResponse>, Status> {
        let incoming = Incoming::new(request)?;
        // Not part of the subject: a preview does not need it.
        let disable = incoming.message.disable;
        let change = incoming.previewable_change(|source| {
            let ids = &source.message.user_ids;
            Ok(Some(source.fields.ids("user_ids", ids, Fields::user)))
        })?;
        let answer = match change {
            Previewable::Preview(asked) => v1::ForceSignOutResponse {
                preview: Some(self.preview_users(asked).await?),
                ..Default::default()
            },
            Previewable::Apply(change) => {
                let (signed_out, enforcement) = sign_out_users(
                    &self.app,
                    &change.origin,
                    change.tenant,
                    change.subject,
                    disable,
                )
                .await?;
                v1::ForceSignOutResponse {
                    enforcement: Some(render::enforcement(&enforcement)),
                    preview: None,
                    sessions_ended: signed_out.sessions,
                    sessions_ended_capped: signed_out.is_capped,
                    unknown_user_ids: texts(&signed_out.unknown),
                }
            }
        };
        Ok(Response::new(answer))
    }

    async fn disable_user(
        &self,
        request: Request<v1::DisableUserRequest>,
    ) -> Result<Response<v1::DisableUserResponse>, Status> {
        let incoming = Incoming::new(request)?;
        let change =
            incoming.previewable_change(|source| parse_user(source, |message| &message.user_id))?;
        let answer = match change {
            Previewable::Preview(asked) => self.preview_disable(asked).await?,
            Previewable::Apply(change) => {
                let (user, enforcement) =
                    disable_user(&self.app, &change.origin, &change.tenant, &change.subject)
                        .await?;
                v1::DisableUserResponse {
                    user: Some(render::user::user(&user)),
                    enforcement: Some(render::enforcement(&enforcement)),
                    preview: None,
                }
            }
        };
        Ok(Response::new(answer))
    }

    async fn enable_user(
        &self,
        request: Request<v1::EnableUserRequest>,
    ) -> Result<Response<v1::EnableUserResponse>, Status> {
        let incoming = Incoming::new(request)?;
        let change =
            incoming.previewable_change(|source| parse_user(source, |message| &message.user_id))?;
        let user = match change {
            Previewable::Preview(asked) => {
                // Enabling ends no session, so its preview tells only that the user exists.
                get_user(&self.app, &asked.tenant, &asked.subject).await?
            }
            Previewable::Apply(change) => {
                enable_user(&self.app, &change.origin, &change.tenant, &change.subject).await?
            }
        };
        Ok(Response::new(v1::EnableUserResponse {
            user: Some(render::user::user(&user)),
        }))
    }

    async fn set_user_roles(
        &self,
        request: Request<v1::SetUserRolesRequest>,
    ) -> Result<Response<v1::SetUserRolesResponse>, Status> {
        let incoming = Incoming::new(request)?;
        let change = incoming.tenant_change(|source| {
            let SubjectSource {
                fields, message, ..
            } = source;
            let user = fields.user("user_id", &message.user_id);
            let roles = fields.user_roles("roles", &message.roles);
            Ok(user.zip(roles))
        })?;
        let (user, roles) = &change.subject;
        let user = set_user_roles(&self.app, &change.origin, &change.tenant, user, *roles).await?;
        Ok(Response::new(v1::SetUserRolesResponse {
            user: Some(render::user::user(&user)),
        }))
    }

    async fn export_user(
        &self,
        request: Request<v1::ExportUserRequest>,
    ) -> Result<Response<v1::ExportUserResponse>, Status> {
        let incoming = Incoming::new(request)?;
        let asked = export::parse(&incoming)?;
        let pages = export::pages(&self.app, &incoming.caller, &asked);
        let from = export::position(&pages, &incoming.message.page_token)?;
        let page =
            export_user(&self.app, &asked.tenant, &asked.user, from, asked.page_size).await?;
        Ok(Response::new(v1::ExportUserResponse {
            next_page_token: pages.next(page.next.as_ref().map(export::cursor).as_ref()),
            records: page.records.into_iter().map(export::record).collect(),
        }))
    }

    async fn erase_user(
        &self,
        request: Request<v1::EraseUserRequest>,
    ) -> Result<Response<v1::EraseUserResponse>, Status> {
        let incoming = Incoming::new(request)?;
        let change =
            incoming.previewable_change(|source| parse_user(source, |message| &message.user_id))?;
        let answer = match change {
            Previewable::Preview(asked) => self.preview_erasure(asked).await?,
            Previewable::Apply(change) => {
                let begun =
                    erase_user(&self.app, &change.origin, &change.tenant, &change.subject).await?;
                v1::EraseUserResponse {
                    enforcement: Some(render::enforcement(&begun.enforcement)),
                    preview: None,
                    sessions_ended: begun.signed_out.sessions,
                    sessions_ended_capped: begun.signed_out.is_capped,
                    unknown_user: !begun.signed_out.unknown.is_empty(),
                    erasure: Some(render::user::erasure(&begun)),
                }
            }
        };
        Ok(Response::new(answer))
    }
}

impl Users {
    async fn preview_erasure(
        &self,
        asked: PreviewRequest<UserId>,
    ) -> Result<v1::EraseUserResponse, AppError> {
        get_user(&self.app, &asked.tenant, &asked.subject).await?;
        let selection = Selection::Users(vec![asked.subject], None);
        let found = preview(&self.app, &asked.caller, &asked.tenant, &selection).await?;
        let preview = render::preview_for(&asked.caller, &found);
        Ok(v1::EraseUserResponse {
            preview: Some(preview),
            ..Default::default()
        })
    }

    async fn preview_users(
        &self,
        asked: PreviewRequest<Vec<UserId>>,
    ) -> Result<v1::Preview, AppError> {
        let selection = Selection::Users(asked.subject, None);
        let found = preview(&self.app, &asked.caller, &asked.tenant, &selection).await?;
        Ok(render::preview(&found))
    }

    async fn preview_disable(
        &self,
        asked: PreviewRequest<UserId>,
    ) -> Result<v1::DisableUserResponse, AppError> {
        // First, because a preview of a user without sessions is empty, and cannot tell a wrong id.
        let user = get_user(&self.app, &asked.tenant, &asked.subject).await?;
        let preview = self
            .preview_users(PreviewRequest {
                caller: asked.caller,
                tenant: asked.tenant,
                subject: vec![asked.subject],
            })
            .await?;
        Ok(v1::DisableUserResponse {
            user: Some(render::user::user(&user)),
            enforcement: None,
            preview: Some(preview),
        })
    }
}

fn texts(users: &[UserId]) -> Vec<String> {
    users.iter().map(ToString::to_string).collect()
}

fn parse_user<M: ChangeMessage>(
    source: SubjectSource<'_, M>,
    user_id: impl FnOnce(&M) -> &String,
) -> Result<Option<UserId>, AppError> {
    let SubjectSource {
        fields, message, ..
    } = source;
    Ok(fields.user("user_id", user_id(message)))
}
