//! `KeyService`.

use std::{sync::Arc, time::Duration};

use portcullis_contract::{
    key::{CredentialKind, KeyId},
    v1::{self, key_service_server::KeyService},
};
use tonic::{Request, Response, Status};

use super::{incoming::Incoming, parse::Fields, render::timestamp};
use crate::app::{App, AppError};
use crate::domain::{KeyRecord, Mutation, NewKey, current_key, signing_window};

pub(crate) struct Keys {
    pub(crate) app: Arc<App>,
}

#[tonic::async_trait]
impl KeyService for Keys {
    async fn list_signing_keys(
        &self,
        _: Request<v1::ListSigningKeysRequest>,
    ) -> Result<Response<v1::ListSigningKeysResponse>, Status> {
        Ok(Response::new(v1::ListSigningKeysResponse {
            keys: self.list().await?,
        }))
    }

    async fn rotate_signing_key(
        &self,
        request: Request<v1::RotateSigningKeyRequest>,
    ) -> Result<Response<v1::RotateSigningKeyResponse>, Status> {
        let call = Incoming::new(request)?;
        let mut fields = Fields::default();
        let reason = fields.required_reason(&call.message.reason);
        let credential = credential(&mut fields, call.message.credential);
        let reason = fields.finish(reason)?;
        let config = &self.app.config.keys;
        let key = self
            .app
            .keyring
            .generate(credential, config.algorithm, config.activation_delay)
            .await;
        let id = key.id.clone();
        let entry = call.entry(
            Fields::default(),
            None,
            reason,
            String::new(),
            Some(Mutation::TrustKey(key)),
        )?;
        let (_, enforcement) = self.app.append(entry, call.received).await?;
        let key = Some(self.reloaded(&id).await?);
        Ok(Response::new(v1::RotateSigningKeyResponse {
            key,
            enforcement: Some(enforcement),
        }))
    }

    async fn retire_signing_key(
        &self,
        request: Request<v1::RetireSigningKeyRequest>,
    ) -> Result<Response<v1::RetireSigningKeyResponse>, Status> {
        let call = Incoming::new(request)?;
        let mut fields = Fields::default();
        let id = fields.key("key_id", &call.message.key_id);
        let reason = fields.required_reason(&call.message.reason);
        let id = fields.finish(id)?.ok_or(AppError::KeyNotFound)?;
        let price = self.price(&id).await?;
        if price.api_keys > 0 && !call.message.force {
            return Err(AppError::ApiKeysWouldEnd(price.api_keys).into());
        }
        let successor = match call.message.emergency {
            true => Some(self.successor(price.credential).await),
            false => None,
        };
        let successor_id = successor.as_ref().map(|key| key.id.clone());
        let mutation = match successor {
            Some(successor) => Mutation::ReplaceKey {
                id: id.clone(),
                successor: Box::new(successor),
            },
            None => Mutation::DistrustKey(id.clone()),
        };
        let entry = call.entry(
            Fields::default(),
            None,
            reason,
            String::new(),
            Some(mutation),
        )?;
        let (_, enforcement) = self.app.append(entry, call.received).await?;
        let key = Some(self.reloaded(&id).await?);
        let keys = self.list().await?;
        let successor = keys.into_iter().find(|key| {
            successor_id
                .as_ref()
                .is_some_and(|id| key.id == id.as_str())
        });
        Ok(Response::new(v1::RetireSigningKeyResponse {
            key,
            enforcement: Some(enforcement),
            successor,
            api_keys_ended: price.api_keys,
            sessions_must_refresh: price.sessions,
        }))
    }
}

/// What the end of a key costs.
struct Price {
    /// What the key signs.
    credential: CredentialKind,
    /// The most API keys that end.
    api_keys: u64,
    /// Whether access tokens of sessions may be refused.
    sessions: bool,
}

impl Keys {
    /// What the end of the key costs now; nothing when it has ended already.
    async fn price(&self, id: &KeyId) -> Result<Price, AppError> {
        let (keys, now) = self.app.store.keys().await?;
        let key = keys.iter().find(|key| key.id == *id);
        let key = key.ok_or(AppError::KeyNotFound)?;
        let has_signed = key.retired.is_none() && key.signs_from <= now;
        let (from, until) = signing_window(&keys, key);
        let api_keys = match key.credential {
            CredentialKind::ApiKey if key.retired.is_none() => {
                self.app.store.count_api_keys(from, until).await?
            }
            _ => 0,
        };
        Ok(Price {
            credential: key.credential,
            api_keys,
            sessions: has_signed && key.credential == CredentialKind::Session,
        })
    }

    /// A key that signs at once.
    async fn successor(&self, credential: CredentialKind) -> NewKey {
        let algorithm = self.app.config.keys.algorithm;
        let keyring = &self.app.keyring;
        keyring
            .generate(credential, algorithm, Duration::ZERO)
            .await
    }

    async fn list(&self) -> Result<Vec<v1::SigningKey>, AppError> {
        let (keys, now) = self.app.store.keys().await?;
        let signs = |key: &KeyRecord| {
            current_key(&keys, key.credential, now).is_some_and(|now| now.id == key.id)
        };
        let state = |key: &KeyRecord| match key.retired {
            Some(_) => v1::SigningKeyState::Retired,
            None if signs(key) => v1::SigningKeyState::Signing,
            None if key.signs_from > now => v1::SigningKeyState::Pending,
            None => v1::SigningKeyState::Verifying,
        };
        let key = |key: &KeyRecord| v1::SigningKey {
            id: key.id.to_string(),
            algorithm: key.algorithm.jose_name().into(),
            state: state(key).into(),
            create_time: Some(timestamp(key.created)),
            sign_time: Some(timestamp(key.signs_from)),
            retire_time: key.retired.map(timestamp),
            credential: v1::CredentialKind::from(key.credential).into(),
        };
        Ok(keys.iter().map(key).collect())
    }

    async fn reloaded(&self, id: &KeyId) -> Result<v1::SigningKey, AppError> {
        self.app.keyring.reload().await.map_err(|error| {
            tracing::error!(%error, "signing keys cannot be read");
            AppError::Internal
        })?;
        self.list()
            .await?
            .into_iter()
            .find(|key| key.id == id.as_str())
            .ok_or(AppError::KeyNotFound)
    }
}

/// What a key is to sign: sessions' tokens, unless the request says otherwise.
fn credential(fields: &mut Fields, kind: i32) -> CredentialKind {
    match v1::CredentialKind::try_from(kind) {
        Ok(v1::CredentialKind::Unspecified | v1::CredentialKind::Session) => {
            CredentialKind::Session
        }
        Ok(v1::CredentialKind::ApiKey) => CredentialKind::ApiKey,
        Err(_) => {
            fields.wrong("credential", "is not a kind of credential");
            CredentialKind::Session
        }
    }
}
