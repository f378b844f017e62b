//! `ApiKeyService`.

use std::sync::Arc;

use portcullis_contract::{
    id::{ApiKeyId, TenantId},
    key::CredentialKind,
    token::ApiKeyClaims,
    v1::{self, api_key_service_server::ApiKeyService},
};
use tonic::{Request, Response, Status};

use super::{
    incoming::Incoming,
    lists::Pages,
    parse::{Fields, check_wait},
    render::timestamp,
};
use crate::app::{App, AppError, TOKEN_TEXT_BYTES_MAX, missing_key};
use crate::domain::{
    API_KEY_LIFETIME_MAX, ApiKey, ApiKeyFilter, ApiKeyHour, ApiKeyState, Micros, Mutation,
    NewApiKey, PageCursor,
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
        Ok(Response::new(self.create(Incoming::new(request)?).await?))
    }

    async fn get_api_key(
        &self,
        request: Request<v1::GetApiKeyRequest>,
    ) -> Result<Response<v1::GetApiKeyResponse>, Status> {
        let call = Incoming::new(request)?;
        let message = &call.message;
        let tenant = call.tenant(&message.tenant_id)?;
        let id = Fields::one("api_key_id", |fields| {
            fields.api_key("api_key_id", &message.api_key_id)
        })?;
        let (key, now) = self.find(&tenant, id).await?;
        let hours = self
            .app
            .store
            .api_key_hours(&tenant, id)
            .await
            .map_err(AppError::from)?;
        let hours = hours.iter().map(hour_to_wire).collect();
        Ok(Response::new(v1::GetApiKeyResponse {
            api_key: Some(to_wire(&key, now)),
            hours,
        }))
    }

    async fn list_api_keys(
        &self,
        request: Request<v1::ListApiKeysRequest>,
    ) -> Result<Response<v1::ListApiKeysResponse>, Status> {
        Ok(Response::new(self.list(Incoming::new(request)?).await?))
    }

    async fn revoke_api_key(
        &self,
        request: Request<v1::RevokeApiKeyRequest>,
    ) -> Result<Response<v1::RevokeApiKeyResponse>, Status> {
        Ok(Response::new(self.revoke(Incoming::new(request)?).await?))
    }
}

impl ApiKeys {
    async fn create(
        &self,
        call: Incoming<v1::CreateApiKeyRequest>,
    ) -> Result<v1::CreateApiKeyResponse, AppError> {
        let message = &call.message;
        let tenant = call.tenant(&message.tenant_id)?;
        let mut fields = Fields::default();
        let new = self.parse(&mut fields, tenant.clone(), message);
        let reason = fields.reason(&message.reason);
        let behalf = fields.acting_user(message.acting_user.as_ref());
        let new = fields.finish(new)?.ok_or(AppError::Internal)?;
        self.app.limits.admit_api_key(&tenant).await??;
        let (id, mutation) = (new.id, Mutation::CreateApiKey(Box::new(new)));
        let entry = call.entry(
            Fields::default(),
            behalf,
            reason,
            String::new(),
            Some(mutation),
        )?;
        self.app.append(entry, call.received).await?;
        let (key, now) = self.find(&tenant, id).await?;
        let secret = self.sign(&key, now)?;
        Ok(v1::CreateApiKeyResponse {
            api_key: Some(to_wire(&key, now)),
            secret,
        })
    }

    fn parse(
        &self,
        fields: &mut Fields,
        tenant_id: TenantId,
        message: &v1::CreateApiKeyRequest,
    ) -> Option<NewApiKey> {
        let owner_id = fields.user("owner_user_id", &message.owner_user_id);
        let name = fields.required_text::<128>("name", &message.name);
        let scopes = fields.scopes(&message.scopes);
        let mut audiences = fields.audiences(&message.audiences);
        if audiences.is_empty() {
            audiences.clone_from(&self.app.config.tokens.default_audiences);
        }
        // Between two scopes stands a space.
        let spoken = scopes
            .iter()
            .map(|scope| scope.len() + 1)
            .chain(audiences.iter().map(String::len))
            .sum::<usize>();
        if spoken > TOKEN_TEXT_BYTES_MAX {
            fields.wrong(
                "scopes",
                format!("with the audiences must be at most {TOKEN_TEXT_BYTES_MAX} bytes"),
            );
        }
        let expires = fields.future(
            "expire_time",
            message.expire_time.as_ref(),
            API_KEY_LIFETIME_MAX,
        );
        let id = ApiKeyId::generate();
        Some(NewApiKey {
            id,
            tenant_id,
            owner_id: owner_id?,
            name,
            scopes,
            audiences,
            expires,
        })
    }

    /// The key's secret, which is made here and nowhere kept.
    fn sign(&self, key: &ApiKey, now: Micros) -> Result<String, AppError> {
        match key.state(now) {
            ApiKeyState::Active => {}
            ApiKeyState::Expired => return Err(AppError::invalid("expire_time", "has passed")),
            // It was made while its owner was being disabled, and is dead.
            ApiKeyState::Revoked => return Err(AppError::UserDisabled),
        }
        let claims = ApiKeyClaims {
            tenant_id: key.tenant_id.clone(),
            owner_id: key.owner_id.clone(),
            api_key_id: key.id,
            subject: key.subject,
            scopes: key.scopes.clone(),
            audiences: key.audiences.clone(),
            issued_at: key.created.seconds(),
            expires_at: key.expires.map(Micros::seconds),
        };
        let signer = self
            .app
            .keyring
            .signer(CredentialKind::ApiKey, now)
            .ok_or_else(missing_key)?;
        signer
            .sign(&self.app.config.tokens.issuer, &claims)
            .map_err(|error| {
                tracing::error!(%error, key = %signer.key_id(), "signing failed");
                AppError::Internal
            })
    }

    async fn list(
        &self,
        call: Incoming<v1::ListApiKeysRequest>,
    ) -> Result<v1::ListApiKeysResponse, AppError> {
        let message = &call.message;
        let caller = &call.caller;
        let tenant_id = call.tenant(&message.tenant_id)?;
        let mut fields = Fields::default();
        let owner_id = match message.owner_user_id.as_str() {
            "" => None,
            id => fields.user("owner_user_id", id),
        };
        let page_size = fields.page_size(message.page_size);
        let filter = fields.finish(ApiKeyFilter {
            tenant_id,
            owner_id,
            show_ended: message.show_ended,
        })?;
        let pages = Pages::new(
            &self.app.secrets.pages,
            caller,
            "ListApiKeys",
            &format!("{filter:?}"),
        );
        let before = pages
            .after(&message.page_token)?
            .map(|cursor| cursor.0.try_into());
        let before = before
            .transpose()
            .map_err(|_| AppError::PageToken)?
            .map(ApiKeyId::from_bytes);
        let (mut keys, now) = self
            .app
            .store
            .list_api_keys(&filter, before, page_size + 1)
            .await?;
        let more = keys.len() > page_size as usize;
        keys.truncate(page_size as usize);
        let last = keys
            .last()
            .filter(|_| more)
            .map(|key| PageCursor(key.id.to_bytes().to_vec()));
        Ok(v1::ListApiKeysResponse {
            next_page_token: pages.next(last.as_ref()),
            api_keys: keys.iter().map(|key| to_wire(key, now)).collect(),
        })
    }

    async fn revoke(
        &self,
        call: Incoming<v1::RevokeApiKeyRequest>,
    ) -> Result<v1::RevokeApiKeyResponse, AppError> {
        let message = &call.message;
        check_wait(message.wait())?;
        let tenant = call.tenant(&message.tenant_id)?;
        let mut fields = Fields::default();
        let id = fields.api_key("api_key_id", &message.api_key_id);
        let reason = fields.reason(&message.reason);
        let behalf = fields.acting_user(message.acting_user.as_ref());
        let key = fields.finish(id)?.ok_or(AppError::ApiKeyNotFound)?;
        let mutation = Mutation::RevokeApiKey {
            tenant: tenant.clone(),
            key,
        };
        let entry = call.entry(
            Fields::default(),
            behalf,
            reason,
            String::new(),
            Some(mutation),
        )?;
        let (_, enforcement) = self.app.append(entry, call.received).await?;
        let (key, now) = self.find(&tenant, key).await?;
        Ok(v1::RevokeApiKeyResponse {
            api_key: Some(to_wire(&key, now)),
            enforcement: Some(enforcement),
        })
    }

    async fn find(&self, tenant: &TenantId, id: ApiKeyId) -> Result<(ApiKey, Micros), AppError> {
        self.app
            .store
            .api_key(tenant, id)
            .await?
            .ok_or(AppError::ApiKeyNotFound)
    }
}

fn to_wire(key: &ApiKey, now: Micros) -> v1::ApiKey {
    let state = match key.state(now) {
        ApiKeyState::Active => v1::ApiKeyState::Active,
        ApiKeyState::Expired => v1::ApiKeyState::Expired,
        ApiKeyState::Revoked => v1::ApiKeyState::Revoked,
    };
    v1::ApiKey {
        id: key.id.to_string(),
        tenant_id: key.tenant_id.to_string(),
        owner_user_id: key.owner_id.to_string(),
        name: key.name.clone(),
        scopes: key.scopes.clone(),
        create_time: Some(timestamp(key.created)),
        expire_time: key.expires.map(timestamp),
        state: state.into(),
        last_used_time: key.last_used.map(timestamp),
        requests_24h: key.requests_24h,
        end_time: key.ended.map(timestamp),
    }
}

fn hour_to_wire(hour: &ApiKeyHour) -> v1::ApiKeyHour {
    let start_time = Some(prost_types::Timestamp {
        seconds: hour.hour.saturating_mul(3_600),
        nanos: 0,
    });
    v1::ApiKeyHour {
        start_time,
        requests: hour.requests,
    }
}
