//! `TenantService`.

use std::sync::Arc;

use portcullis_contract::{
    id::TenantId,
    v1::{self, tenant_service_server::TenantService},
};
use tonic::{Request, Response, Status};

use super::{
    core::{Call, Core},
    parse::{Fields, check_wait},
    policy,
    status::ServiceError,
};
use crate::domain::{Mutation, Selection};

pub(crate) struct Tenants(pub(crate) Arc<Core>);

impl Tenants {
    async fn policy(&self, tenant: &TenantId) -> Result<v1::Policy, ServiceError> {
        Ok(match self.0.store.policy(tenant).await? {
            Some((policy, version)) => policy::to_wire(&policy, version),
            None => policy::to_wire(self.0.policies.default(), 0),
        })
    }
}

#[tonic::async_trait]
impl TenantService for Tenants {
    async fn get_policy(
        &self,
        request: Request<v1::GetPolicyRequest>,
    ) -> Result<Response<v1::GetPolicyResponse>, Status> {
        let Call {
            caller, message, ..
        } = Call::new(request)?;
        let tenant = caller.tenant(&message.tenant_id)?;
        Ok(Response::new(v1::GetPolicyResponse {
            policy: Some(self.policy(&tenant).await?),
        }))
    }

    async fn update_policy(
        &self,
        request: Request<v1::UpdatePolicyRequest>,
    ) -> Result<Response<v1::UpdatePolicyResponse>, Status> {
        let call = Call::new(request)?;
        let message = &call.message;
        let tenant = call.caller.tenant(&message.tenant_id)?;
        let mut fields = Fields::default();
        let wanted = message.policy.clone().unwrap_or_default();
        let longest = self.0.config.tokens.access_token_lifetime;
        let policy = Box::new(policy::from_wire(
            &mut fields,
            &wanted,
            &message.preset,
            longest,
        ));
        let reason = fields.required_reason(&message.reason);
        let behalf = fields.behalf(message.acting_user.as_ref());
        fields.finish(())?;
        // What is not a version is none that there ever was.
        let expected = wanted
            .etag
            .parse()
            .map_err(|_| ServiceError::EtagMismatch)?;
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
        self.0.append(entry, call.begun).await?;
        Ok(Response::new(v1::UpdatePolicyResponse {
            policy: Some(self.policy(&tenant).await?),
        }))
    }

    async fn sign_out_tenant(
        &self,
        request: Request<v1::SignOutTenantRequest>,
    ) -> Result<Response<v1::SignOutTenantResponse>, Status> {
        let call = Call::new(request)?;
        let message = &call.message;
        check_wait(message.wait())?;
        let tenant = call.caller.tenant(&message.tenant_id)?;
        if message.validate_only {
            let preview = Some(
                self.0
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
        let behalf = fields.behalf(message.acting_user.as_ref());
        let forced = fields.finish(message.force)?;
        if !forced {
            return Err(ServiceError::ForceRequired.into());
        }
        let mutation = Mutation::SignOutTenant { tenant };
        let entry = call.entry(
            Fields::default(),
            behalf,
            reason,
            user_message,
            Some(mutation),
        )?;
        let (_, enforcement) = self.0.append(entry, call.begun).await?;
        Ok(Response::new(v1::SignOutTenantResponse {
            enforcement: Some(enforcement),
            preview: None,
        }))
    }
}
