//! Token introspection (RFC 7662): `IntrospectToken` as a form.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use portcullis_contract::{id::TenantId, rejection::Rejection, token::Identity};
use serde_json::{Map, Value, json};

use super::{
    call::{Call, Endpoint},
    error::no_store,
};
use crate::app::{
    AppError, ServedRequest, SessionDetail,
    introspect::{IntrospectedSession, Introspection, introspect_read, read_token},
};

const RPC: &str = "/portcullis.v1.SessionService/IntrospectToken";

pub(super) const ENDPOINT: Endpoint = Endpoint {
    service_rpc: RPC,
    user_rpc: RPC,
    takes_public_clients: false,
};

/// Answers whether a token is valid. `token_type_hint` is ignored: the form of a token tells its type.
pub(super) async fn handle(call: Call) -> Result<Response, AppError> {
    let app = &call.app;
    let read = read_token(app, call.form.required("token")?);
    let Some(tenant) = find_tenant(&call, &read)? else {
        return Ok(inactive());
    };
    // Refuses a tenant that the caller may not name, whatever the token says.
    let tenant = call.choose_tenant(Some(tenant))?;
    // Gates ask because of a request, which is use of the session, as by gRPC.
    let served = call.caller.is_gateway().then(ServedRequest::default);
    let introspection = introspect_read(app, &call.caller, &tenant, read, served).await?;
    Ok(render(&introspection, &app.config.tokens.issuer))
}

/// The tenant that the form names, or else that of the caller, or of a genuine token.
fn find_tenant(
    call: &Call,
    read: &Result<Identity, Rejection>,
) -> Result<Option<TenantId>, AppError> {
    if let Some(named) = call.named_tenant()? {
        return Ok(Some(named));
    }
    if let Some(own) = call.caller.own_tenant() {
        return Ok(Some(own.clone()));
    }
    // A caller of all tenants need not name one: the token does.
    let identity = read.as_ref().ok();
    Ok(identity.map(|identity| identity.tenant_id.clone()))
}

fn render(introspection: &Introspection, issuer: &str) -> Response {
    match &introspection.found {
        Some(found) if introspection.inactive_reason.is_none() => {
            answer(Value::Object(describe(found, issuer)))
        }
        _ => inactive(),
    }
}

/// The answer about every token that is not valid. RFC 7662 asks for nothing more in it.
fn inactive() -> Response {
    answer(json!({ "active": false }))
}

fn answer(body: Value) -> Response {
    no_store(Json(body).into_response())
}

/// The members of RFC 7662, section 2.2, those of RFC 9068 that an access token has, and `tenant`.
fn describe(found: &IntrospectedSession, issuer: &str) -> Map<String, Value> {
    let identity: &Identity = &found.identity;
    let claims = &identity.claims;
    let mut members = Map::new();
    let mut set = |name: &str, value: Value| {
        members.insert(name.to_owned(), value);
    };
    set("active", true.into());
    set("token_type", "Bearer".into());
    set("iss", issuer.into());
    set("sub", claims.user_id.to_string().into());
    set("aud", claims.audiences.clone().into());
    set("exp", claims.expires_at.into());
    set("iat", claims.issued_at.into());
    // A token is refused before the time of its issue.
    set("nbf", claims.issued_at.into());
    set("jti", claims.token_id.clone().into());
    set("tenant", claims.tenant_id.to_string().into());
    set("sid", claims.session_id.to_string().into());
    set("auth_time", claims.auth_time.into());
    set_text(&mut members, "client_id", &claims.client_id);
    set_text(&mut members, "acr", &claims.acr);
    if !claims.amr.is_empty() {
        members.insert("amr".to_owned(), claims.amr.clone().into());
    }
    if let SessionDetail::Whole(view) = &found.detail
        && let Some(profile) = &view.profile
    {
        set_text(&mut members, "username", &profile.user_name);
    }
    members
}

/// Sets a member, unless its value is unknown.
fn set_text(members: &mut Map<String, Value>, name: &str, text: &str) {
    if !text.is_empty() {
        members.insert(name.to_owned(), text.into());
    }
}
