//! Signing keys as messages of the wire.

use portcullis_contract::v1;

use super::timestamp;
use crate::app::signing_keys::{SigningKeyState, SigningKeyView};

pub(crate) fn signing_key(key: &SigningKeyView) -> v1::SigningKey {
    v1::SigningKey {
        id: key.id.to_string(),
        algorithm: key.algorithm.jose_name().into(),
        state: state(key.state).into(),
        create_time: Some(timestamp(key.created)),
        sign_time: Some(timestamp(key.signs_from)),
        retire_time: key.retired.map(timestamp),
        credential: v1::CredentialKind::from(key.credential).into(),
    }
}

fn state(state: SigningKeyState) -> v1::SigningKeyState {
    match state {
        SigningKeyState::Pending => v1::SigningKeyState::Pending,
        SigningKeyState::Signing => v1::SigningKeyState::Signing,
        SigningKeyState::Verifying => v1::SigningKeyState::Verifying,
        SigningKeyState::Retired => v1::SigningKeyState::Retired,
    }
}
