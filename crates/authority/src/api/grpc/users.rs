//! `UserService`.

use std::sync::Arc;

use portcullis_contract::{
    id::{TenantId, UserId},
    v1::{self, user_service_server::UserService},
};
use tonic::{Request, Response, Status};

use super::{
    incoming::Incoming,
    lists::Pages,
    parse::{Fields, check_wait},
    render,
};
use crate::app::{App, AppError};
use crate::domain::{Cause, Mutation, Selection, UserFilter, listing::TENANT_SESSIONS_COUNTED_MAX};

pub(crate) struct Users {
    pub(crate) app: Arc<App>,
}

#[tonic::async_trait]
impl UserService for Users {
    async fn get_user(
        &self,
        request: Request<v1::GetUserRequest>,
    ) -> Result<Response<v1::GetUserResponse>, Status> {
        let call = Incoming::new(request)?;
        let message = &call.message;
        let tenant = call.tenant(&message.tenant_id)?;
        let user = Fields::one("user_id", |fields| fields.user("user_id", &message.user_id))?;
        Ok(Response::new(v1::GetUserResponse {
            user: Some(self.find(&tenant, &user).await?),
        }))
    }

    async fn list_users(
        &self,
        request: Request<v1::ListUsersRequest>,
    ) -> Result<Response<v1::ListUsersResponse>, Status> {
        Ok(Response::new(self.list(Incoming::new(request)?).await?))
    }

    async fn force_sign_out(
        &self,
        request: Request<v1::ForceSignOutRequest>,
    ) -> Result<Response<v1::ForceSignOutResponse>, Status> {
        let call = Incoming::new(request)?;
        let message = &call.message;
        check_wait(message.wait())?;
        let tenant = call.tenant(&message.tenant_id)?;
        let mut fields = Fields::default();
        let users = fields.ids("user_ids", &message.user_ids, Fields::user);
        if message.validate_only {
            let selection = Selection::Users(fields.finish(users)?, None);
            let preview = Some(self.app.preview(&call.caller, &tenant, &selection).await?);
            return Ok(Response::new(v1::ForceSignOutResponse {
                preview,
                ..Default::default()
            }));
        }
        let reason = fields.required_reason(&message.reason);
        let user_message = fields.user_message(&message.user_message);
        let behalf = fields.acting_user(message.acting_user.as_ref());
        let cause = if message.disable {
            Cause::UserDisabled
        } else {
            Cause::Administrator
        };
        let users = fields.finish(users)?;
        self.app.admit_named_users(&tenant, &users).await?;
        let mutation = Mutation::SignOutUsers {
            tenant,
            users,
            keep: None,
            disable: message.disable,
            cause,
        };
        let entry = call.entry(
            Fields::default(),
            behalf,
            reason,
            user_message,
            Some(mutation),
        )?;
        let (_, enforcement) = self.app.append(entry, call.received).await?;
        Ok(Response::new(v1::ForceSignOutResponse {
            enforcement: Some(enforcement),
            preview: None,
        }))
    }

    async fn disable_user(
        &self,
        request: Request<v1::DisableUserRequest>,
    ) -> Result<Response<v1::DisableUserResponse>, Status> {
        let call = Incoming::new(request)?;
        let message = &call.message;
        check_wait(message.wait())?;
        let tenant = call.tenant(&message.tenant_id)?;
        let mut fields = Fields::default();
        let user = fields.user("user_id", &message.user_id);
        if message.validate_only {
            let user = fields.finish(user)?.ok_or(AppError::UserNotFound)?;
            let found = self.find(&tenant, &user).await?;
            let preview = self
                .app
                .preview(&call.caller, &tenant, &Selection::Users(vec![user], None))
                .await?;
            let (user, preview) = (Some(found), Some(preview));
            return Ok(Response::new(v1::DisableUserResponse {
                user,
                enforcement: None,
                preview,
            }));
        }
        let reason = fields.required_reason(&message.reason);
        let user_message = fields.user_message(&message.user_message);
        let behalf = fields.acting_user(message.acting_user.as_ref());
        let user = fields.finish(user)?.ok_or(AppError::UserNotFound)?;
        self.app
            .admit_named_users(&tenant, std::slice::from_ref(&user))
            .await?;
        let mutation = Mutation::SignOutUsers {
            tenant: tenant.clone(),
            users: vec![user.clone()],
            keep: None,
            disable: true,
            cause: Cause::UserDisabled,
        };
        let entry = call.entry(
            Fields::default(),
            behalf,
            reason,
            user_message,
            Some(mutation),
        )?;
        let (_, enforcement) = self.app.append(entry, call.received).await?;
        let user = Some(self.find(&tenant, &user).await?);
        Ok(Response::new(v1::DisableUserResponse {
            user,
            enforcement: Some(enforcement),
            preview: None,
        }))
    }

    async fn enable_user(
        &self,
        request: Request<v1::EnableUserRequest>,
    ) -> Result<Response<v1::EnableUserResponse>, Status> {
        let call = Incoming::new(request)?;
        let message = &call.message;
        let tenant = call.tenant(&message.tenant_id)?;
        let mut fields = Fields::default();
        let user = fields.user("user_id", &message.user_id);
        if message.validate_only {
            let user = fields.finish(user)?.ok_or(AppError::UserNotFound)?;
            return Ok(Response::new(v1::EnableUserResponse {
                user: Some(self.find(&tenant, &user).await?),
            }));
        }
        let reason = fields.required_reason(&message.reason);
        let behalf = fields.acting_user(message.acting_user.as_ref());
        let user = fields.finish(user)?.ok_or(AppError::UserNotFound)?;
        let mutation = Mutation::EnableUser {
            tenant: tenant.clone(),
            user: user.clone(),
        };
        let entry = call.entry(
            Fields::default(),
            behalf,
            reason,
            String::new(),
            Some(mutation),
        )?;
        self.app.append(entry, call.received).await?;
        Ok(Response::new(v1::EnableUserResponse {
            user: Some(self.find(&tenant, &user).await?),
        }))
    }
}

impl Users {
    async fn list(
        &self,
        call: Incoming<v1::ListUsersRequest>,
    ) -> Result<v1::ListUsersResponse, AppError> {
        let message = &call.message;
        let caller = &call.caller;
        let tenant_id = call.tenant(&message.tenant_id)?;
        let mut fields = Fields::default();
        let (names, signed_in) = fields.user_filter(&message.filter.clone().unwrap_or_default());
        let order = fields.user_order(message.order);
        let page_size = fields.page_size(message.page_size);
        let filter = fields.finish(UserFilter {
            tenant_id,
            names,
            signed_in,
            signed_out: message.show_signed_out,
        })?;
        let pages = Pages::new(
            &self.app.secrets.pages,
            caller,
            "ListUsers",
            &format!("{filter:?}{order:?}"),
        );
        let after = pages.after(&message.page_token)?;
        let page = self
            .app
            .store
            .list_users(&filter, order, after.as_ref(), page_size)
            .await?;
        let sessions = match after {
            None => {
                self.app
                    .store
                    .count_sessions(&filter.tenant_id, TENANT_SESSIONS_COUNTED_MAX + 1)
                    .await?
            }
            Some(_) => 0,
        };
        Ok(v1::ListUsersResponse {
            users: page.items.iter().map(render::user_summary).collect(),
            next_page_token: pages.next(page.next.as_ref()),
            sessions: sessions.min(TENANT_SESSIONS_COUNTED_MAX),
            sessions_capped: sessions > TENANT_SESSIONS_COUNTED_MAX,
        })
    }

    async fn find(&self, tenant: &TenantId, user: &UserId) -> Result<v1::User, AppError> {
        let found = self.app.store.user(tenant, user).await?;
        found
            .as_ref()
            .map(render::user)
            .ok_or(AppError::UserNotFound)
    }
}
