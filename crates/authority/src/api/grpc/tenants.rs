//! `TenantService`.

mod policy;

use std::sync::Arc;

use portcullis_contract::v1::{self, tenant_service_server::TenantService};
use tonic::{Request, Response, Status};

use super::{change::Previewable, incoming::Incoming, render};
use crate::{
    app::{
        App,
        policy::{get_policy, update_policy},
        preview::preview,
        sign_out::sign_out_tenant,
    },
    domain::Selection,
};

pub(crate) struct Tenants {
    pub(crate) app: Arc<App>,
}

#[tonic::async_trait]
impl TenantService for Tenants {
    async fn get_policy(
        &self,
        request: Request<v1::GetPolicyRequest>,
    ) -> Result<Response<v1::GetPolicyResponse>, Status> {
        let incoming = Incoming::new(request)?;
        let tenant = incoming.tenant(&incoming.message.tenant_id)?;
        let policy = get_policy(&self.app, &tenant).await?;
        Ok(Response::new(v1::GetPolicyResponse {
            policy: Some(render::policy::policy(&policy)),
        }))
    }

    async fn update_policy(
        &self,
        request: Request<v1::UpdatePolicyRequest>,
    ) -> Result<Response<v1::UpdatePolicyResponse>, Status> {
        let token_lifetime_max = self.app.config.tokens.access_token_lifetime;
        let change = Incoming::new(request)?
            .tenant_change(|source| Ok(Some(policy::parse_update(source, token_lifetime_max))))?;
        let update = change.subject;
        let expected = update.expected_version()?;
        let policy = update_policy(
            &self.app,
            &change.origin,
            &change.tenant,
            update.policy,
            expected,
        )
        .await?;
        Ok(Response::new(v1::UpdatePolicyResponse {
            policy: Some(render::policy::policy(&policy)),
        }))
    }

    async fn sign_out_tenant(
        &self,
        request: Request<v1::SignOutTenantRequest>,
    ) -> Result<Response<v1::SignOutTenantResponse>, Status> {
        let incoming = Incoming::new(request)?;
        let is_forced = incoming.message.force;
        let answer = match incoming.previewable_change(|_| Ok(Some(())))? {
            Previewable::Preview(asked) => {
                let found =
                    preview(&self.app, &asked.caller, &asked.tenant, &Selection::Tenant).await?;
                v1::SignOutTenantResponse {
                    preview: Some(render::preview(&found)),
                    ..Default::default()
                }
            }
            Previewable::Apply(change) => {
                let (signed_out, enforcement) =
                    sign_out_tenant(&self.app, &change.origin, change.tenant, is_forced).await?;
                v1::SignOutTenantResponse {
                    enforcement: Some(render::enforcement(&enforcement)),
                    preview: None,
                    sessions_ended: signed_out.sessions,
                    sessions_ended_capped: signed_out.is_capped,
                }
            }
        };
        Ok(Response::new(answer))
    }
}
