//! Sessions that somebody ends.

use portcullis_contract::{
    id::{SessionId, TenantId, UserId},
    v1,
};

use super::Sessions;
use crate::{
    api::grpc::{
        caller::Caller,
        core::Call,
        parse::{Fields, check_wait},
        status::ServiceError,
    },
    config::Role,
    domain::{Cause, Mutation, Selection},
};

impl Sessions {
    pub(super) async fn revoke(
        &self,
        call: Call<v1::RevokeSessionRequest>,
    ) -> Result<v1::RevokeSessionResponse, ServiceError> {
        let message = &call.message;
        check_wait(message.wait())?;
        let tenant = call.caller.tenant(&message.tenant_id)?;
        let mut fields = Fields::default();
        let id = fields.session("session_id", &message.session_id);
        let (reason, user_message) =
            fields.words(&call.caller, &message.reason, &message.user_message);
        let behalf = fields.behalf(message.acting_user.as_ref());
        let id = fields.finish(id)?.ok_or(ServiceError::SessionNotFound)?;
        self.0.admit_change(&call.caller)?;
        let owner = call.caller.own_user().cloned();
        let cause = self
            .cause(&call.caller, &tenant, id, behalf.as_ref())
            .await?;
        let mutation = Mutation::RevokeSessions {
            tenant: tenant.clone(),
            sessions: vec![id],
            owner,
            cause,
        };
        let entry = call.entry(
            Fields::default(),
            behalf,
            reason,
            user_message,
            Some(mutation),
        )?;
        let (outcome, ended) = self.0.log.submit_for_one(entry).await?;
        let enforcement = self
            .0
            .validators
            .enforcement(outcome.revision, call.begun.elapsed());
        let (session, now) = match ended {
            Some(ended) => ended,
            None => self.find(&tenant, id, None).await?,
        };
        let session = Some(
            self.0
                .shown(&call.caller, &tenant, &[])
                .await?
                .session(&session, now),
        );
        Ok(v1::RevokeSessionResponse {
            session,
            enforcement: Some(enforcement),
        })
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
                Ok(if session.user_id == *user {
                    Cause::User
                } else {
                    Cause::Administrator
                })
            }
        }
    }

    pub(super) async fn batch_revoke(
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
            return Ok(v1::BatchRevokeSessionsResponse {
                preview,
                ..Default::default()
            });
        }
        let reason = fields.required_reason(&message.reason);
        let user_message = fields.user_message(&message.user_message);
        let behalf = fields.behalf(message.acting_user.as_ref());
        let mutation = Mutation::RevokeSessions {
            tenant,
            sessions,
            owner: None,
            cause: Cause::Administrator,
        };
        let entry = call.entry(fields, behalf, reason, user_message, Some(mutation))?;
        let (outcome, enforcement) = self.0.append(entry, call.begun).await?;
        Ok(v1::BatchRevokeSessionsResponse {
            revoked: outcome.changed,
            enforcement: Some(enforcement),
            preview: None,
        })
    }

    pub(super) async fn revoke_others(
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
                fields.wrong(
                    "keep_session_id",
                    "is required unless include_current is set",
                );
                None
            }),
            (id, false) => fields.session("keep_session_id", id),
            (_, true) => {
                fields.wrong(
                    "keep_session_id",
                    "must be empty when include_current is set",
                );
                None
            }
        };
        if message.validate_only {
            if call.caller.own_user().is_none() && !call.caller.is_staff() {
                // Who may report a change may not look.
                return Err(ServiceError::Denied);
            }
            let preview = Some(
                self.preview_others(&call.caller, &tenant, fields.finish(user)?, keep)
                    .await?,
            );
            return Ok(v1::RevokeOtherSessionsResponse {
                preview,
                ..Default::default()
            });
        }
        let (reason, user_message) =
            fields.words(&call.caller, &message.reason, &message.user_message);
        let behalf = fields.behalf(message.acting_user.as_ref());
        let own = call.caller.own_user().is_some()
            || behalf.as_ref().map(|(user, _)| user) == user.as_ref();
        let cause = reported.unwrap_or(if own {
            Cause::AnotherDevice
        } else {
            Cause::Administrator
        });
        let user = fields.finish(user)?;
        self.0.admit_change(&call.caller)?;
        if let (None, Some(user)) = (call.caller.own_user(), &user) {
            self.0
                .admit_named_users(&tenant, std::slice::from_ref(user))
                .await?;
        }
        let mutation = user.map(|user| Mutation::SignOutUsers {
            tenant,
            users: vec![user],
            keep,
            disable: false,
            cause,
        });
        let entry = call.entry(Fields::default(), behalf, reason, user_message, mutation)?;
        let (_, enforcement) = self.0.append(entry, call.begun).await?;
        Ok(v1::RevokeOtherSessionsResponse {
            enforcement: Some(enforcement),
            preview: None,
        })
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
                fields.wrong(
                    "cause",
                    "must be PASSWORD_CHANGED or SECOND_FACTOR_CHANGED, or unset",
                );
                None
            }
        };
        match &call.caller {
            Caller::User(_) if reported.is_some() => Err(ServiceError::Denied),
            Caller::Service(service)
                if reported.is_none() && !service.roles.contains(&Role::Admin) =>
            {
                Err(ServiceError::Denied)
            }
            _ => Ok(reported),
        }
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
        self.0
            .preview(
                caller,
                tenant,
                &Selection::Users(user.into_iter().collect(), keep),
            )
            .await
    }
}
