//! Signing keys: list, rotate, retire.

use std::time::Duration;

use portcullis_contract::key::{Algorithm, CredentialKind, KeyId};

use super::{App, AppError, ChangeOrigin};
use crate::{
    domain::{KeyRecord, Micros, Mutation, NewKey, current_key, signing_window},
    feed::Enforcement,
};

/// A signing key at one time, without its private half.
#[derive(Clone, Debug)]
pub(crate) struct SigningKeyView {
    pub(crate) id: KeyId,
    pub(crate) credential: CredentialKind,
    pub(crate) algorithm: Algorithm,
    pub(crate) state: SigningKeyState,
    pub(crate) created: Micros,
    /// The time from which the key signs unless a newer one does.
    pub(crate) signs_from: Micros,
    pub(crate) retired: Option<Micros>,
}

/// The state of a signing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SigningKeyState {
    /// Published, and too young to sign: gates may not know it yet.
    Pending,
    Signing,
    /// Replaced by a newer key; tokens that it has signed stay valid.
    Verifying,
    Retired,
}

/// A retired key, and the consequences.
pub(crate) struct RetiredKey {
    pub(crate) key: SigningKeyView,
    pub(crate) enforcement: Enforcement,
    /// The key that signs from now on. None: the retirement was no emergency, or the key did not sign.
    pub(crate) successor: Option<SigningKeyView>,
    /// API keys that ended, at most.
    pub(crate) api_keys_ended: u64,
    /// Whether gates may refuse access tokens, so that sessions must refresh theirs.
    pub(crate) sessions_must_refresh: bool,
}

/// A request to retire a key.
#[derive(Debug)]
pub(crate) struct Retirement {
    pub(crate) id: KeyId,
    /// Replaces the key at once by a new one, for a private key that was stolen.
    pub(crate) is_emergency: bool,
    /// Retires the key although API keys end with it.
    pub(crate) is_forced: bool,
}

/// Lists all signing keys.
pub(crate) async fn list_signing_keys(app: &App) -> Result<Vec<SigningKeyView>, AppError> {
    let (keys, now) = app.store.keys().await?;
    Ok(keys.iter().map(|key| view(key, &keys, now)).collect())
}

fn view(key: &KeyRecord, all: &[KeyRecord], now: Micros) -> SigningKeyView {
    SigningKeyView {
        id: key.id.clone(),
        credential: key.credential,
        algorithm: key.algorithm,
        state: state(key, all, now),
        created: key.created,
        signs_from: key.signs_from,
        retired: key.retired,
    }
}

fn state(key: &KeyRecord, all: &[KeyRecord], now: Micros) -> SigningKeyState {
    if key.retired.is_some() {
        return SigningKeyState::Retired;
    }
    if current_key(all, key.credential, now).is_some_and(|current| current.id == key.id) {
        return SigningKeyState::Signing;
    }
    // Asked after `Signing`, because the oldest key signs early while there is no other.
    if key.signs_from > now {
        return SigningKeyState::Pending;
    }
    SigningKeyState::Verifying
}

/// Publishes a new key, which signs after the configured delay.
pub(crate) async fn rotate_signing_key(
    app: &App,
    origin: &ChangeOrigin,
    credential: CredentialKind,
) -> Result<(SigningKeyView, Enforcement), AppError> {
    // Gates refuse tokens of a key that they do not know, so they get time to learn it.
    let key = generate_key(app, credential, app.config.keys.activation_delay).await;
    let id = key.id.clone();
    let (_, enforcement) = app.apply_change(origin, Mutation::TrustKey(key)).await?;
    let keys = reload_keys(app).await?;
    Ok((find_view(&keys, &id)?, enforcement))
}

/// Ends the trust in a key. Tokens that it has signed become invalid.
pub(crate) async fn retire_signing_key(
    app: &App,
    origin: &ChangeOrigin,
    retirement: Retirement,
) -> Result<RetiredKey, AppError> {
    // API keys that end cannot be renewed like access tokens: programs stop until somebody creates new ones.
    let cost = retirement_cost(app, &retirement.id).await?;
    if cost.api_keys > 0 && !retirement.is_forced {
        return Err(AppError::ApiKeysWouldEnd(cost.api_keys));
    }

    let (mutation, successor_id) = end_trust(app, &retirement, cost.credential).await;
    let (_, enforcement) = app.apply_change(origin, mutation).await?;

    let keys = reload_keys(app).await?;
    // The store adds the successor only of a key that signs: any other leaves the signing key as it is.
    let successor = keys
        .iter()
        .find(|key| Some(&key.id) == successor_id.as_ref())
        .cloned();
    Ok(RetiredKey {
        key: find_view(&keys, &retirement.id)?,
        enforcement,
        successor,
        api_keys_ended: cost.api_keys,
        sessions_must_refresh: cost.ends_access_tokens,
    })
}

/// The change that ends the trust in a key, and the id of its successor.
async fn end_trust(
    app: &App,
    retirement: &Retirement,
    credential: CredentialKind,
) -> (Mutation, Option<KeyId>) {
    let id = retirement.id.clone();
    if !retirement.is_emergency {
        return (Mutation::DistrustKey(id), None);
    }
    // The successor signs at once: no key that gates know already may be left to sign.
    let successor = generate_key(app, credential, Duration::ZERO).await;
    let successor_id = Some(successor.id.clone());
    // One entry does both, so there is no revision at which nothing can sign.
    let successor = Box::new(successor);
    (Mutation::ReplaceKey { id, successor }, successor_id)
}

/// The credentials that end with a key.
struct RetirementCost {
    credential: CredentialKind,
    /// API keys, at most.
    api_keys: u64,
    ends_access_tokens: bool,
}

/// Computes the cost of retiring a key now.
async fn retirement_cost(app: &App, id: &KeyId) -> Result<RetirementCost, AppError> {
    let (keys, now) = app.store.keys().await?;
    let Some(key) = keys.iter().find(|key| key.id == *id) else {
        return Err(AppError::KeyNotFound);
    };
    // A key that has been retired already costs nothing more.
    let is_trusted = key.retired.is_none();
    let api_keys = if is_trusted && key.credential == CredentialKind::ApiKey {
        // A row does not name the key that signed it. Its creation falls into the window in which the key signed.
        let (from, until) = signing_window(&keys, key);
        app.store.count_api_keys(from, until).await?
    } else {
        0
    };
    let has_signed = is_trusted && key.signs_from <= now;
    Ok(RetirementCost {
        credential: key.credential,
        api_keys,
        ends_access_tokens: has_signed && key.credential == CredentialKind::Session,
    })
}

async fn generate_key(app: &App, credential: CredentialKind, activation_delay: Duration) -> NewKey {
    let algorithm = app.config.keys.algorithm;
    app.keyring
        .generate(credential, algorithm, activation_delay)
        .await
}

/// Reloads the keys of this authority, and lists them.
async fn reload_keys(app: &App) -> Result<Vec<SigningKeyView>, AppError> {
    // The other authorities follow by the log. This one must not sign by a retired key after it has acknowledged the
    // retirement.
    if let Err(error) = app.keyring.reload().await {
        tracing::error!(%error, "signing keys cannot be read");
        return Err(AppError::Internal);
    }
    list_signing_keys(app).await
}

fn find_view(keys: &[SigningKeyView], id: &KeyId) -> Result<SigningKeyView, AppError> {
    let found = keys.iter().find(|key| key.id == *id);
    found.cloned().ok_or(AppError::KeyNotFound)
}
