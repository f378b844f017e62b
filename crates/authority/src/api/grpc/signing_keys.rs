//! `KeyService`: the signing keys, the secrets of tokens, and the master keys.

use std::sync::Arc;

use portcullis_contract::{
    key::CredentialKind,
    v1::{self, key_service_server::KeyService},
};
use tonic::{Request, Response, Status};

use super::{incoming::Incoming, parse::Fields, render};
use crate::{
    app::{
        App,
        secrets::{list_master_keys, list_secrets, reseal_secrets, retire_secret, rotate_secret},
        signing_keys::{Retirement, list_signing_keys, retire_signing_key, rotate_signing_key},
    },
    domain::{SecretId, SecretKind},
};

/// The values of one call that does not say how many.
const RESEALED_DEFAULT: u32 = 32;
/// The most values of one call. Revocations wait while they are written.
const RESEALED_MAX: u32 = 64;

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

    async fn list_secrets(
        &self,
        _: Request<v1::ListSecretsRequest>,
    ) -> Result<Response<v1::ListSecretsResponse>, Status> {
        let secrets = list_secrets(&self.app).await?;
        let master_keys = list_master_keys(&self.app).await?;
        Ok(Response::new(v1::ListSecretsResponse {
            secrets: secrets.iter().map(render::secret::secret).collect(),
            master_keys: master_keys.iter().map(render::secret::master_key).collect(),
        }))
    }

    async fn rotate_secret(
        &self,
        request: Request<v1::RotateSecretRequest>,
    ) -> Result<Response<v1::RotateSecretResponse>, Status> {
        let (origin, kind) = Incoming::new(request)?.installation_change(|source| {
            Ok(parse_secret_kind(source.fields, source.message.kind))
        })?;
        let secret = rotate_secret(&self.app, &origin, kind).await?;
        Ok(Response::new(v1::RotateSecretResponse {
            secret: Some(render::secret::secret(&secret)),
        }))
    }

    async fn retire_secret(
        &self,
        request: Request<v1::RetireSecretRequest>,
    ) -> Result<Response<v1::RetireSecretResponse>, Status> {
        let (origin, (id, is_forced)) = Incoming::new(request)?.installation_change(|source| {
            let message = source.message;
            let id = parse_secret_id(source.fields, message.kind, message.number);
            Ok(id.map(|id| (id, message.force)))
        })?;
        let secret = retire_secret(&self.app, &origin, id, is_forced).await?;
        Ok(Response::new(v1::RetireSecretResponse {
            secret: Some(render::secret::secret(&secret)),
        }))
    }

    async fn reseal_secrets(
        &self,
        request: Request<v1::ResealSecretsRequest>,
    ) -> Result<Response<v1::ResealSecretsResponse>, Status> {
        let (origin, values_max) = Incoming::new(request)?.installation_change(|source| {
            Ok(parse_values_max(source.fields, source.message.values_max))
        })?;
        let piece = reseal_secrets(&self.app, &origin, values_max).await?;
        Ok(Response::new(v1::ResealSecretsResponse {
            master_key_id: piece.master_key.to_string(),
            resealed: piece.resealed,
            remaining: piece.remaining,
            damaged: piece.damaged,
        }))
    }
}

fn parse_secret_kind(fields: &mut Fields, kind: i32) -> Option<SecretKind> {
    match v1::SecretKind::try_from(kind) {
        Ok(v1::SecretKind::Refresh) => Some(SecretKind::Refresh),
        Ok(v1::SecretKind::Pages) => Some(SecretKind::Pages),
        Ok(v1::SecretKind::Unspecified) => {
            fields.wrong("kind", "required");
            None
        }
        Err(_) => {
            fields.wrong("kind", "must be a value of SecretKind");
            None
        }
    }
}

fn parse_secret_id(fields: &mut Fields, kind: i32, number: u32) -> Option<SecretId> {
    let kind = parse_secret_kind(fields, kind);
    let number = u8::try_from(number).ok().filter(|number| *number > 0);
    if number.is_none() {
        fields.wrong("number", "must be from 1 to 255");
    }
    Some(SecretId {
        kind: kind?,
        number: number?,
    })
}

fn parse_values_max(fields: &mut Fields, values_max: u32) -> Option<u32> {
    match values_max {
        0 => Some(RESEALED_DEFAULT),
        1..=RESEALED_MAX => Some(values_max),
        _ => {
            fields.wrong("values_max", "must be at most 64");
            None
        }
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
            // The request is refused for this, so the value below makes no key.
            fields.wrong("credential", "must be a value of CredentialKind");
            CredentialKind::Session
        }
    }
}
