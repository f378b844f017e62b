//! `IntrospectToken`.

use portcullis_contract::v1;

use crate::{api::grpc::render, app::introspect::Introspection};

pub(super) fn render(introspection: &Introspection) -> v1::IntrospectTokenResponse {
    let answer = v1::IntrospectTokenResponse {
        active: introspection.inactive_reason.is_none(),
        inactive_reason: introspection.inactive_reason.unwrap_or_default().into(),
        ..Default::default()
    };
    let Some(found) = &introspection.found else {
        return answer;
    };
    let expire_time = prost_types::Timestamp {
        seconds: i64::try_from(found.token_expires_at).unwrap_or(i64::MAX),
        nanos: 0,
    };
    v1::IntrospectTokenResponse {
        session: Some(render::session::detail(&found.detail)),
        access_token_expire_time: Some(expire_time),
        ..answer
    }
}
