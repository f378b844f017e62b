//! `TenantService`.

mod list;
mod policy;

use std::sync::Arc;

use portcullis_contract::v1::{self, tenant_service_server::TenantService};
use tonic::{Request, Response, Status};

use self::policy::PolicyUpdate;
use super::{
    change::{PreviewRequest, Previewable},
    incoming::Incoming,
    render,
};
use crate::{
    app::{
        App, AppError,
        erasure::delete_tenant,
        policy::{VersionedPolicy, get_policy, preview_policy, update_policy},
        preview::preview,
        sign_out::sign_out_tenant,
        tenants::list_tenants,
    },
    domain::{Selection, policy::PRESETS},
};

pub(crate) struct Tenants {
    pub(crate) app: Arc<App>,
}

#[tonic::async_trait]
impl TenantService for Tenants {
    async fn list_tenants(
        &self,
        request: Request<v1::ListTenantsRequest>,
    ) -> Result<Response<v1::ListTenantsResponse>, Status> {
        let incoming = Incoming::new(request)?;
        let page_size = list::page_size(&incoming)?;
        let pages = list::pages(&self.app, &incoming.caller);
        let after = list::position(&pages, &incoming.message.page_token)?;
        let page = list_tenants(&self.app, after, page_size).await?;
        let tenants = page.tenants.iter().map(|tenant| v1::Tenant {
            id: tenant.to_string(),
        });
        Ok(Response::new(v1::ListTenantsResponse {
            tenants: tenants.collect(),
            next_page_token: pages.next(page.next.map(list::cursor).as_ref()),
        }))
    }

    async fn get_policy(
        &self,
        request: Request<v1::GetPolicyRequest>,
    ) -> Result<Response<v1::GetPolicyResponse>, Status> {
        let incoming = Incoming::new(request)?;
        let tenant = incoming.tenant(&incoming.message.tenant_id)?;
        let policy = get_policy(&self.app, &tenant).await?;
        Ok(Response::new(v1::GetPolicyResponse {
            policy: Some(render::policy::policy(&policy)),
            presets: PRESETS.iter().map(render::policy::preset).collect(),
        }))
    }

    async fn update_policy(
        &self,
        request: Request<v1::UpdatePolicyRequest>,
    ) -> Result<Response<v1::UpdatePolicyResponse>, Status> {
        let token_lifetime_max = self.app.config.tokens.access_token_lifetime;
        let asked = Incoming::new(request)?.previewable_change(|source| {
            Ok(Some(policy::parse_update(source, token_lifetime_max)))
        })?;
        let answer = match asked {
            Previewable::Preview(asked) => self.preview_update(asked).await?,
            Previewable::Apply(change) => {
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
                v1::UpdatePolicyResponse {
                    policy: Some(render::policy::policy(&policy)),
                    preview: None,
                }
            }
        };
        Ok(Response::new(answer))
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

    async fn delete_tenant(
        &self,
        request: Request<v1::DeleteTenantRequest>,
    ) -> Result<Response<v1::DeleteTenantResponse>, Status> {
        let incoming = Incoming::new(request)?;
        let is_forced = incoming.message.force;
        let answer = match incoming.previewable_change(|_| Ok(Some(())))? {
            Previewable::Preview(asked) => self.preview_deletion(asked).await?,
            Previewable::Apply(change) => {
                let begun =
                    delete_tenant(&self.app, &change.origin, &change.tenant, is_forced).await?;
                v1::DeleteTenantResponse {
                    enforcement: Some(render::enforcement(&begun.enforcement)),
                    preview: None,
                    sessions_ended: begun.signed_out.sessions,
                    sessions_ended_capped: begun.signed_out.is_capped,
                    erasure: Some(render::user::erasure(&begun)),
                }
            }
        };
        Ok(Response::new(answer))
    }
}

impl Tenants {
    /// The sessions that a deletion would end. Whoever runs the installation sees their number only.
    async fn preview_deletion(
        &self,
        asked: PreviewRequest<()>,
    ) -> Result<v1::DeleteTenantResponse, AppError> {
        let found = preview(&self.app, &asked.caller, &asked.tenant, &Selection::Tenant).await?;
        let preview = render::preview_for(&asked.caller, &found);
        Ok(v1::DeleteTenantResponse {
            preview: Some(preview),
            ..Default::default()
        })
    }

    async fn preview_update(
        &self,
        asked: PreviewRequest<PolicyUpdate>,
    ) -> Result<v1::UpdatePolicyResponse, AppError> {
        let version = asked.subject.expected_version()?;
        let policy = asked.subject.policy;
        let found =
            preview_policy(&self.app, &asked.caller, &asked.tenant, &policy, version).await?;
        Ok(v1::UpdatePolicyResponse {
            policy: Some(render::policy::policy(&VersionedPolicy { policy, version })),
            preview: Some(render::preview(&found)),
        })
    }
}
