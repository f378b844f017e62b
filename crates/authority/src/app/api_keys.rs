//! API keys: create, read, list, revoke.

use portcullis_contract::{
    id::{ApiKeyId, TenantId},
    key::CredentialKind,
    token::ApiKeyClaims,
};

use super::{App, AppError, ChangeOrigin, missing_key};
use crate::{
    domain::{ApiKey, ApiKeyFilter, ApiKeyHour, ApiKeyState, Micros, Mutation, NewApiKey},
    feed::Enforcement,
};

/// An API key at one time.
pub(crate) struct ApiKeyView {
    pub(crate) key: ApiKey,
    pub(crate) state: ApiKeyState,
}

impl ApiKeyView {
    fn new(key: ApiKey, now: Micros) -> Self {
        Self {
            state: key.state(now),
            key,
        }
    }
}

/// One page of a list of API keys.
pub(crate) struct ApiKeyPage {
    pub(crate) keys: Vec<ApiKeyView>,
    /// The key below which the next page begins. None: this is the last page.
    pub(crate) next: Option<ApiKeyId>,
}

/// Creates a key, and returns it with its secret.
pub(crate) async fn create_api_key(
    app: &App,
    origin: &ChangeOrigin,
    new: NewApiKey,
) -> Result<(ApiKeyView, String), AppError> {
    let tenant = new.tenant_id.clone();
    let id = new.id;
    // Counted outside the append, so keys that are created at the same time may exceed the quota by a few.
    app.limits.admit_api_key(&tenant).await??;
    app.apply_change(origin, Mutation::CreateApiKey(Box::new(new)))
        .await?;

    // The secret is signed from the row, which has the serial and the times that the append has chosen. It is stored
    // nowhere: a caller who loses it creates another key.
    let (key, now) = find_api_key(app, &tenant, id).await?;
    let secret = sign_secret(app, &key, now)?;
    Ok((ApiKeyView::new(key, now), secret))
}

fn sign_secret(app: &App, key: &ApiKey, now: Micros) -> Result<String, AppError> {
    check_active(key, now)?;
    let Some(signer) = app.keyring.signer(CredentialKind::ApiKey, now) else {
        return Err(missing_key());
    };
    signer
        .sign(&app.config.tokens.issuer, &claims(key))
        .map_err(|error| {
            tracing::error!(%error, key = %signer.key_id(), "signing failed");
            AppError::Internal
        })
}

fn check_active(key: &ApiKey, now: Micros) -> Result<(), AppError> {
    match key.state(now) {
        ApiKeyState::Active => Ok(()),
        // The edge has compared the time with this machine's clock. The database's clock decides, and may be ahead of
        // it.
        ApiKeyState::Expired => Err(AppError::invalid("expire_time", "must be in the future")),
        // The owner was disabled while the key was created, which has revoked it already.
        ApiKeyState::Revoked => Err(AppError::UserDisabled),
    }
}

fn claims(key: &ApiKey) -> ApiKeyClaims {
    ApiKeyClaims {
        tenant_id: key.tenant_id.clone(),
        owner_id: key.owner_id.clone(),
        api_key_id: key.id,
        subject: key.subject,
        scopes: key.scopes.clone(),
        audiences: key.audiences.clone(),
        issued_at: key.created.seconds(),
        expires_at: key.expires.map(Micros::seconds),
    }
}

/// Returns one key with its requests of the last day, by the hour.
pub(crate) async fn get_api_key(
    app: &App,
    tenant: &TenantId,
    id: ApiKeyId,
) -> Result<(ApiKeyView, Vec<ApiKeyHour>), AppError> {
    let (key, now) = find_api_key(app, tenant, id).await?;
    let hours = app.store.api_key_hours(tenant, id).await?;
    Ok((ApiKeyView::new(key, now), hours))
}

/// Lists the keys that match a filter, newest first, from below `before`.
pub(crate) async fn list_api_keys(
    app: &App,
    filter: &ApiKeyFilter,
    before: Option<ApiKeyId>,
    page_size: u32,
) -> Result<ApiKeyPage, AppError> {
    // One more than the page: its presence tells that there is a next page.
    let (mut keys, now) = app
        .store
        .list_api_keys(filter, before, page_size + 1)
        .await?;
    let has_more = keys.len() > page_size as usize;
    keys.truncate(page_size as usize);

    let next = match keys.last() {
        Some(last) if has_more => Some(last.id),
        _ => None,
    };
    let keys = keys
        .into_iter()
        .map(|key| ApiKeyView::new(key, now))
        .collect();
    Ok(ApiKeyPage { keys, next })
}

/// Revokes a key.
pub(crate) async fn revoke_api_key(
    app: &App,
    origin: &ChangeOrigin,
    tenant: &TenantId,
    id: ApiKeyId,
) -> Result<(ApiKeyView, Enforcement), AppError> {
    let mutation = Mutation::RevokeApiKey {
        tenant: tenant.clone(),
        key: id,
    };
    let (_, enforcement) = app.apply_change(origin, mutation).await?;
    let (key, now) = find_api_key(app, tenant, id).await?;
    Ok((ApiKeyView::new(key, now), enforcement))
}

async fn find_api_key(
    app: &App,
    tenant: &TenantId,
    id: ApiKeyId,
) -> Result<(ApiKey, Micros), AppError> {
    let found = app.store.api_key(tenant, id).await?;
    found.ok_or(AppError::ApiKeyNotFound)
}
