//! `ApiKeyService`.

mod create;
mod list;

use std::sync::Arc;

use portcullis_contract::v1::{self, api_key_service_server::ApiKeyService};
use tonic::{Request, Response, Status};

use super::{change::TenantChange, incoming::Incoming, parse::Fields, render};
use crate::app::{
    App,
    api_keys::{create_api_key, get_api_key, list_api_keys, revoke_api_key},
};

pub(crate) struct ApiKeys {
    pub(crate) app: Arc<App>,
}

#[tonic::async_trait]
impl ApiKeyService for ApiKeys {
    async fn create_api_key(
        &self,
        request: Request<v1::CreateApiKeyRequest>,
    ) -> Result<Response<v1::CreateApiKeyResponse>, Status> {
        let default_audiences = &self.app.config.tokens.default_audiences;
        let TenantChange {
            origin,
            tenant,
            subject,
        } = Incoming::new(request)?
            .tenant_change(|source| Ok(create::parse(source, default_audiences)))?;
        let (key, secret) = create_api_key(&self.app, &origin, subject.for_tenant(tenant)).await?;
        Ok(Response::new(v1::CreateApiKeyResponse {
            api_key: Some(render::api_key::api_key(&key)),
            secret,
        }))
    }

    async fn get_api_key(
        &self,
        request: Request<v1::GetApiKeyRequest>,
    ) -> Result<Response<v1::GetApiKeyResponse>, Status> {
        let incoming = Incoming::new(request)?;
        let tenant = incoming.tenant(&incoming.message.tenant_id)?;
        let id = Fields::one("api_key_id", |fields| {
            fields.api_key("api_key_id", &incoming.message.api_key_id)
        })?;
        let (key, hours) = get_api_key(&self.app, &tenant, id).await?;
        Ok(Response::new(v1::GetApiKeyResponse {
            api_key: Some(render::api_key::api_key(&key)),
            hours: hours.iter().map(render::api_key::api_key_hour).collect(),
        }))
    }

    async fn list_api_keys(
        &self,
        request: Request<v1::ListApiKeysRequest>,
    ) -> Result<Response<v1::ListApiKeysResponse>, Status> {
        let incoming = Incoming::new(request)?;
        let asked = list::parse(&incoming)?;
        let pages = list::pages(&self.app, &incoming.caller, &asked);
        let before = list::position(&pages, &incoming.message.page_token)?;
        let page = list_api_keys(&self.app, &asked.filter, before, asked.page_size).await?;
        Ok(Response::new(v1::ListApiKeysResponse {
            next_page_token: pages.next(page.next.map(list::cursor).as_ref()),
            api_keys: page.keys.iter().map(render::api_key::api_key).collect(),
        }))
    }

    async fn revoke_api_key(
        &self,
        request: Request<v1::RevokeApiKeyRequest>,
    ) -> Result<Response<v1::RevokeApiKeyResponse>, Status> {
        let TenantChange {
            origin,
            tenant,
            subject: id,
        } = Incoming::new(request)?.tenant_change(|source| {
            let id = &source.message.api_key_id;
            Ok(source.fields.api_key("api_key_id", id))
        })?;
        let (key, enforcement) = revoke_api_key(&self.app, &origin, &tenant, id).await?;
        Ok(Response::new(v1::RevokeApiKeyResponse {
            api_key: Some(render::api_key::api_key(&key)),
            enforcement: Some(render::enforcement(&enforcement)),
        }))
    }
}
