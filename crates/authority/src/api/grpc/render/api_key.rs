//! API keys as messages of the wire.

use portcullis_contract::v1;
use prost_types::Timestamp;

use super::timestamp;
use crate::{
    app::api_keys::ApiKeyView,
    domain::{ApiKeyHour, ApiKeyState},
};

pub(crate) fn api_key(view: &ApiKeyView) -> v1::ApiKey {
    let key = &view.key;
    v1::ApiKey {
        id: key.id.to_string(),
        tenant_id: key.tenant_id.to_string(),
        owner_user_id: key.owner_id.to_string(),
        name: key.name.clone(),
        scopes: key.scopes.clone(),
        create_time: Some(timestamp(key.created)),
        expire_time: key.expires.map(timestamp),
        state: state(view.state).into(),
        last_used_time: key.last_used.map(timestamp),
        requests_24h: key.requests_24h,
        end_time: key.ended.map(timestamp),
    }
}

fn state(state: ApiKeyState) -> v1::ApiKeyState {
    match state {
        ApiKeyState::Active => v1::ApiKeyState::Active,
        ApiKeyState::Expired => v1::ApiKeyState::Expired,
        ApiKeyState::Revoked => v1::ApiKeyState::Revoked,
    }
}

pub(crate) fn api_key_hour(hour: &ApiKeyHour) -> v1::ApiKeyHour {
    v1::ApiKeyHour {
        start_time: Some(Timestamp {
            seconds: hour.hour.saturating_mul(3_600),
            nanos: 0,
        }),
        requests: hour.requests,
    }
}
