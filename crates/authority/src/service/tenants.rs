//! `TenantService`.

use std::sync::Arc;

use portcullis_contract::v1::{self, tenant_service_server::TenantService};
use tonic::{Request, Response, Status};

use super::{
    convert,
    core::{Call, Core},
    parse::{Fields, check_wait},
    status::ServiceError,
};
use crate::domain::{Mutation, Selection};

pub(crate) struct Tenants(pub(crate) Arc<Core>);

#[tonic::async_trait]
impl TenantService for Tenants {
    async fn get_policy(&self, _: Request<v1::GetPolicyRequest>) -> Result<Response<v1::GetPolicyResponse>, Status> {
        Err(ServiceError::Unavailable.into())
    }

    async fn update_policy(
        &self,
        _: Request<v1::UpdatePolicyRequest>,
    ) -> Result<Response<v1::UpdatePolicyResponse>, Status> {
        Err(ServiceError::Unavailable.into())
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
            let preview = self.0.store.preview(&tenant, &Selection::Tenant).await.map_err(ServiceError::from)?;
            let preview = preview.map(|preview| convert::preview(&preview, &call.caller));
            return Ok(Response::new(v1::SignOutTenantResponse { preview, ..Default::default() }));
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
        let entry = call.entry(Fields::default(), behalf, reason, user_message, Some(mutation))?;
        let (_, enforcement) = self.0.append(entry, call.begun).await?;
        Ok(Response::new(v1::SignOutTenantResponse { enforcement: Some(enforcement), preview: None }))
    }
}
