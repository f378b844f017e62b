//! Token revocation (RFC 7009): `RevokeToken` for services, and `RevokeSession` of the own session for users, as a form.
//!
//! The session of the token ends, and with it all of its tokens: RFC 7009 lets related tokens end with the named one.

use axum::response::{IntoResponse, Response};
use http::StatusCode;

use super::{
    call::{Call, Endpoint},
    error::no_store,
};
use crate::app::{
    AppError, Caller, ChangeOrigin,
    revoke_token::{TokenRevocation, TokenTenant, revoke_own_token, revoke_token, tenant_of_token},
};

/// The reason in the audit trail.
const REASON: &str = "token revocation (RFC 7009)";

pub(super) const ENDPOINT: Endpoint = Endpoint {
    service_rpc: "/portcullis.v1.SessionService/RevokeToken",
    user_rpc: "/portcullis.v1.SessionService/RevokeSession",
    takes_public_clients: true,
};

/// Ends the session of a token. The answer does not tell whether there was one.
pub(super) async fn handle(call: Call) -> Result<Response, AppError> {
    let token = call.form.required("token")?.to_owned();
    let origin = ChangeOrigin {
        reason: REASON.to_owned(),
        ..ChangeOrigin::wordless(call.caller.clone(), None, call.received)
    };
    match &call.caller {
        Caller::User(user) => {
            let issued_to = &user.identity.client_id;
            check_public_client(call.public_client.as_deref(), issued_to)?;
            let tenant = call.choose_tenant(None)?;
            revoke_own_token(&call.app, &origin, &tenant, &token).await?;
        }
        Caller::Service(_) | Caller::Staff(_) => revoke_for_service(&call, origin, token).await?,
    }
    Ok(no_store(StatusCode::OK.into_response()))
}

/// Refuses a public client that names itself as another one than the token was issued to (RFC 7009, section 2.1).
fn check_public_client(named: Option<&str>, issued_to: &str) -> Result<(), AppError> {
    match named {
        Some(named) if named != issued_to => Err(AppError::Denied),
        _ => Ok(()),
    }
}

async fn revoke_for_service(
    call: &Call,
    origin: ChangeOrigin,
    token: String,
) -> Result<(), AppError> {
    let named = call.named_tenant()?;
    let tenant = match (tenant_of_token(&call.app, &token), named) {
        // A token that is not ours is no error: the client could not handle one (RFC 7009, section 2.2).
        (TokenTenant::Foreign, _) => return Ok(()),
        (_, Some(named)) => Some(named),
        // The tenant of a caller that is bound to another one is refused, as the RFC asks for.
        (TokenTenant::Known(tenant), None) => Some(tenant),
        (TokenTenant::Unnamed, None) => call.caller.own_tenant().cloned(),
    };
    let revocation = TokenRevocation {
        tenant_id: call.choose_tenant(tenant)?,
        token,
        client_ip: String::new(),
    };
    revoke_token(&call.app, origin, revocation).await
}
