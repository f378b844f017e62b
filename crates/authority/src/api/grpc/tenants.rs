//! `TenantService`.

use std::sync::Arc;

use portcullis_contract::{
    id::TenantId,
    v1::{self, tenant_service_server::TenantService},
};
use tonic::{Request, Response, Status};

use super::{
    incoming::Incoming,
    parse::{Fields, check_wait},
    policy,
};
use crate::app::{App, AppError};
use crate::domain::{Mutation, Selection};

pub(crate) struct Tenants {
    pub(crate) app: Arc<App>,
}

impl Tenants {
    async fn policy(&self, tenant: &TenantId) -> Result<v1::Policy, AppError> {
        Ok(match self.app.store.policy(tenant).await? {
            Some((policy, version)) => policy::to_wire(&policy, version),
            None => policy::to_wire(self.app.policies.default(), 0),
        })
    }
}

#[tonic::async_trait]
impl TenantService for Tenants {
    async fn get_policy(
        &self,
        request: Request<v1::GetPolicyRequest>,
    ) -> Result<Response<v1::GetPolicyResponse>, Status> {
        let call = Incoming::new(request)?;
        let message = &call.message;
        let tenant = call.tenant(&message.tenant_id)?;
        Ok(Response::new(v1::GetPolicyResponse {
            policy: Some(self.policy(&tenant).await?),
        }))
    }

    async fn update_policy(
        &self,
        request: Request<v1::UpdatePolicyRequest>,
    ) -> Result<Response<v1::UpdatePolicyResponse>, Status> {
        let call = Incoming::new(request)?;
        let message = &call.message;
        let tenant = call.tenant(&message.tenant_id)?;
        let mut fields = Fields::default();
        let wanted = message.policy.clone().unwrap_or_default();
        let longest = self.app.config.tokens.access_token_lifetime;
        let policy = Box::new(policy::from_wire(
            &mut fields,
            &wanted,
            &message.preset,
            longest,
        ));
        let reason = fields.required_reason(&message.reason);
        let behalf = fields.acting_user(message.acting_user.as_ref());
        fields.finish(())?;
        // What is not a version is none that there ever was.
        let expected = wanted.etag.parse().map_err(|_| AppError::EtagMismatch)?;
        let mutation = Mutation::SetPolicy {
            tenant: tenant.clone(),
            policy,
            expected,
        };
        let entry = call.entry(
            Fields::default(),
            behalf,
            reason,
            String::new(),
            Some(mutation),
        )?;
        self.app.append(entry, call.received).await?;
        Ok(Response::new(v1::UpdatePolicyResponse {
            policy: Some(self.policy(&tenant).await?),
        }))
    }

    async fn sign_out_tenant(
        &self,
        request: Request<v1::SignOutTenantRequest>,
    ) -> Result<Response<v1::SignOutTenantResponse>, Status> {
        let call = Incoming::new(request)?;
        let message = &call.message;
        check_wait(message.wait())?;
        let tenant = call.tenant(&message.tenant_id)?;
        if message.validate_only {
            let preview = Some(
                self.app
                    .preview(&call.caller, &tenant, &Selection::Tenant)
                    .await?,
            );
            return Ok(Response::new(v1::SignOutTenantResponse {
                preview,
                ..Default::default()
            }));
        }
        let mut fields = Fields::default();
        let reason = fields.required_reason(&message.reason);
        let user_message = fields.user_message(&message.user_message);
        let behalf = fields.acting_user(message.acting_user.as_ref());
        let forced = fields.finish(message.force)?;
        if !forced {
            return Err(AppError::ForceRequired.into());
        }
        let mutation = Mutation::SignOutTenant { tenant };
        let entry = call.entry(
            Fields::default(),
            behalf,
            reason,
            user_message,
            Some(mutation),
        )?;
        let (_, enforcement) = self.app.append(entry, call.received).await?;
        Ok(Response::new(v1::SignOutTenantResponse {
            enforcement: Some(enforcement),
            preview: None,
        }))
    }
}
