//! API keys in a store: what they start from, and whether rows and log agree on them.

use portcullis_authority::{
    domain::{ApiKey, ApiKeyState, Entry, EntryError, Mutation, NewApiKey},
    store::Store,
};
use portcullis_contract::{
    id::ApiKeyId,
    key::CredentialKind,
    view::{Subject, View},
};

use crate::{
    calls::append,
    given::{entry, tenant, user},
    replay::replay,
};

/// A key that does not expire.
#[must_use]
pub fn new(tenant_id: &str, owner_id: &str) -> NewApiKey {
    NewApiKey {
        id: ApiKeyId::generate(),
        tenant_id: tenant(tenant_id),
        owner_id: user(owner_id),
        name: "a key".into(),
        scopes: vec!["read".into()],
        audiences: vec!["gateway".into()],
        expires: None,
    }
}

/// The entry that makes a key.
#[must_use]
pub fn creation(new: &NewApiKey) -> Entry {
    entry(Mutation::CreateApiKey(Box::new(new.clone())))
}

/// The entry that ends a key.
#[must_use]
pub fn revocation(key: &ApiKey) -> Entry {
    entry(Mutation::RevokeApiKey {
        tenant: key.tenant_id.clone(),
        key: key.id,
    })
}

/// Makes a key, or says why not.
pub async fn try_create(store: &dyn Store, new: &NewApiKey) -> Result<ApiKey, EntryError> {
    append(store, &[creation(new)]).await.remove(0)?;
    let (key, _) = store
        .api_key(&new.tenant_id, new.id)
        .await
        .expect("the store answers")
        .expect("a key");
    Ok(key)
}

/// Makes a key.
///
/// # Panics
/// When it is refused.
pub async fn create(store: &dyn Store, new: &NewApiKey) -> ApiKey {
    try_create(store, new)
        .await
        .expect("the owner is not disabled")
}

/// The key as the rows have it now, and its state.
///
/// # Panics
/// When it is not there.
pub async fn current(store: &dyn Store, key: &ApiKey) -> (ApiKey, ApiKeyState) {
    let found = store
        .api_key(&key.tenant_id, key.id)
        .await
        .expect("the store answers");
    let (key, now) = found.expect("the key is there");
    let state = key.state(now);
    (key, state)
}

/// Whether a validator with this view takes the key.
#[must_use]
pub fn accepts(view: &View, subject: &Subject) -> bool {
    !view.is_revoked(CredentialKind::ApiKey, subject)
        && !view.is_cut(CredentialKind::ApiKey, subject)
}

/// Whether the key can be used.
///
/// # Panics
/// When rows and log do not agree on it.
pub async fn is_alive(store: &dyn Store, key: &ApiKey) -> bool {
    let by_row = current(store, key).await.1 == ApiKeyState::Active;
    let by_view = accepts(&replay(store).await, &key.subject);
    assert_eq!(
        by_row, by_view,
        "rows and log disagree on a key made at {}",
        key.subject.opened
    );
    by_row
}
