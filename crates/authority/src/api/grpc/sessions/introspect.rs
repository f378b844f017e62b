//! `IntrospectToken`.

use portcullis_contract::{text::Text, v1};

use crate::{
    api::grpc::{
        parse::{PAGE_BYTES_MAX, address_or_empty},
        render,
    },
    app::{AppError, Caller, ServedRequest, UserCaller, introspect::Introspection},
};

/// The request of the user that the call serves. None: the call only looks, and counts as no use.
pub(super) fn parse_served(
    caller: &Caller,
    message: &v1::IntrospectTokenRequest,
) -> Result<Option<ServedRequest>, AppError> {
    let is_use = match v1::TokenUse::try_from(message.token_use) {
        // The role of gates: they ask because of a request.
        Ok(v1::TokenUse::Unspecified) => caller.is_gateway(),
        Ok(v1::TokenUse::Request) => true,
        Ok(v1::TokenUse::None) => false,
        Err(_) => {
            return Err(AppError::invalid(
                "token_use",
                "must be a value of TokenUse",
            ));
        }
    };
    // A person who asks why a session ended uses nothing. A program could keep an idle session alive by asking.
    if is_use && !matches!(caller, Caller::Service(_)) {
        let problem = "must be unset or NONE when a user calls";
        return Err(AppError::invalid("token_use", problem));
    }
    Ok(is_use.then(|| ServedRequest {
        // A request is not refused for an odd address or path: both only decorate the session.
        ip: address_or_empty(&message.client_ip),
        page: path_or_empty(&message.page),
    }))
}

/// Whether a person examines somebody else's token in a role.
pub(super) fn is_about_tenant(message: &v1::IntrospectTokenRequest, _: &UserCaller) -> bool {
    !message.tenant_id.is_empty() && !message.token.is_empty()
}

/// A path without its query, which may hold secrets. Empty where it cannot be kept.
fn path_or_empty(page: &str) -> String {
    let path = page.split(['?', '#']).next().unwrap_or_default();
    match Text::<PAGE_BYTES_MAX>::parse(path) {
        Ok(path) => path.into_string(),
        Err(_) => String::new(),
    }
}

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
        seconds: i64::try_from(found.identity.expires_at).unwrap_or(i64::MAX),
        nanos: 0,
    };
    v1::IntrospectTokenResponse {
        session: Some(render::session::detail(&found.detail)),
        access_token_expire_time: Some(expire_time),
        ..answer
    }
}
