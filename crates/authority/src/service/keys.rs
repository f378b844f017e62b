//! `KeyService`.

use std::sync::Arc;

use portcullis_contract::{
    key::{CredentialKind, KeyId},
    v1::{self, key_service_server::KeyService},
};
use tonic::{Request, Response, Status};

use super::{
    convert::timestamp,
    core::{Call, Core},
    parse::Fields,
    status::ServiceError,
};
use crate::domain::{KeyRecord, Mutation, current_key};

pub(crate) struct Keys(pub(crate) Arc<Core>);

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
        let call = Call::new(request)?;
        let mut fields = Fields::default();
        let reason = fields.required_reason(&call.message.reason);
        let credential = credential(&mut fields, call.message.credential);
        let reason = fields.finish(reason)?;
        let config = &self.0.config.keys;
        let key = self
            .0
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
        let (_, enforcement) = self.0.append(entry, call.begun).await?;
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
        let call = Call::new(request)?;
        let mut fields = Fields::default();
        let id = fields.key("key_id", &call.message.key_id);
        let reason = fields.required_reason(&call.message.reason);
        let id = fields.finish(id)?.ok_or(ServiceError::KeyNotFound)?;
        let mutation = Mutation::DistrustKey(id.clone());
        let entry = call.entry(
            Fields::default(),
            None,
            reason,
            String::new(),
            Some(mutation),
        )?;
        let (_, enforcement) = self.0.append(entry, call.begun).await?;
        let key = Some(self.reloaded(&id).await?);
        Ok(Response::new(v1::RetireSigningKeyResponse {
            key,
            enforcement: Some(enforcement),
            ..Default::default()
        }))
    }
}

impl Keys {
    async fn list(&self) -> Result<Vec<v1::SigningKey>, ServiceError> {
        let (keys, now) = self.0.store.keys().await?;
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

    async fn reloaded(&self, id: &KeyId) -> Result<v1::SigningKey, ServiceError> {
        self.0.keyring.reload().await.map_err(|error| {
            tracing::error!(%error, "signing keys cannot be read");
            ServiceError::Internal
        })?;
        self.list()
            .await?
            .into_iter()
            .find(|key| key.id == id.as_str())
            .ok_or(ServiceError::KeyNotFound)
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
