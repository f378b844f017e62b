//! Secrets and master keys as messages of the wire.

use portcullis_contract::v1;

use super::timestamp;
use crate::{
    app::secrets::{MasterKeyState, MasterKeyView, SecretState, SecretView},
    domain::SecretKind,
};

pub(crate) fn secret(secret: &SecretView) -> v1::Secret {
    v1::Secret {
        kind: kind(secret.id.kind).into(),
        number: secret.id.number.into(),
        state: state(secret.state).into(),
        create_time: Some(timestamp(secret.created)),
        use_time: Some(timestamp(secret.makes_from)),
        retire_time: secret.retired.map(timestamp),
    }
}

fn kind(kind: SecretKind) -> v1::SecretKind {
    match kind {
        SecretKind::Refresh => v1::SecretKind::Refresh,
        SecretKind::Pages => v1::SecretKind::Pages,
    }
}

fn state(state: SecretState) -> v1::SecretState {
    match state {
        SecretState::Pending => v1::SecretState::Pending,
        SecretState::Making => v1::SecretState::Making,
        SecretState::Accepted => v1::SecretState::Accepted,
        SecretState::Retired => v1::SecretState::Retired,
    }
}

pub(crate) fn master_key(key: &MasterKeyView) -> v1::MasterKey {
    let state = match key.state {
        MasterKeyState::Current => v1::MasterKeyState::Current,
        MasterKeyState::Other => v1::MasterKeyState::Other,
        MasterKeyState::Unknown => v1::MasterKeyState::Unknown,
    };
    v1::MasterKey {
        id: key.id.clone(),
        state: state.into(),
        sealed_count: key.sealed,
    }
}
