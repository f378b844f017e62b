//! `KeyService`: the signing keys.

use std::sync::Arc;

use portcullis_contract::{
    key::CredentialKind,
    v1::{self, key_service_server::KeyService},
};
use tonic::{Request, Response, Status};

use super::{incoming::Incoming, parse::Fields, render};
use crate::app::{
    App,
    signing_keys::{Retirement, list_signing_keys, retire_signing_key, rotate_signing_key},
};

pub(crate) struct SigningKeys {
    pub(crate) app: Arc<App>,
}

#[tonic::async_trait]
impl KeyService for SigningKeys {
    async fn list_signing_keys(
        &self,
        _: Request<v1::ListSigningKeysRequest>,
    ) -> Result<Response<v1::ListSigningKeysResponse>, Status> {
        let keys = list_signing_keys(&self.app).await?;
        Ok(Response::new(v1::ListSigningKeysResponse {
            keys: keys.iter().map(render::signing_key::signing_key).collect(),
        }))
    }

    async fn rotate_signing_key(
        &self,
        request: Request<v1::RotateSigningKeyRequest>,
    ) -> Result<Response<v1::RotateSigningKeyResponse>, Status> {
        let (origin, credential) = Incoming::new(request)?.installation_change(|source| {
            Ok(Some(parse_credential(
                source.fields,
                source.message.credential,
            )))
        })?;
        let (key, enforcement) = rotate_signing_key(&self.app, &origin, credential).await?;
        Ok(Response::new(v1::RotateSigningKeyResponse {
            key: Some(render::signing_key::signing_key(&key)),
            enforcement: Some(render::enforcement(&enforcement)),
        }))
    }

    async fn retire_signing_key(
        &self,
        request: Request<v1::RetireSigningKeyRequest>,
    ) -> Result<Response<v1::RetireSigningKeyResponse>, Status> {
        let (origin, retirement) = Incoming::new(request)?
            .installation_change(|source| Ok(parse_retirement(source.fields, source.message)))?;
        let retired = retire_signing_key(&self.app, &origin, retirement).await?;
        Ok(Response::new(v1::RetireSigningKeyResponse {
            key: Some(render::signing_key::signing_key(&retired.key)),
            enforcement: Some(render::enforcement(&retired.enforcement)),
            successor: retired
                .successor
                .as_ref()
                .map(render::signing_key::signing_key),
            api_keys_ended: retired.api_keys_ended,
            sessions_must_refresh: retired.sessions_must_refresh,
        }))
    }
}

fn parse_retirement(
    fields: &mut Fields,
    message: &v1::RetireSigningKeyRequest,
) -> Option<Retirement> {
    Some(Retirement {
        id: fields.key("key_id", &message.key_id)?,
        is_emergency: message.emergency,
        is_forced: message.force,
    })
}

/// A key signs tokens of sessions unless the request names another kind of credential.
fn parse_credential(fields: &mut Fields, kind: i32) -> CredentialKind {
    match v1::CredentialKind::try_from(kind) {
        Ok(v1::CredentialKind::Unspecified | v1::CredentialKind::Session) => {
            CredentialKind::Session
        }
        Ok(v1::CredentialKind::ApiKey) => CredentialKind::ApiKey,
        Err(_) => {
            fields.wrong("credential", "must be a value of CredentialKind");
            CredentialKind::Session
        }
    }
}
