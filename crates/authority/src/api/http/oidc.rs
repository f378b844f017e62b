//! Back-channel logout of OpenID Connect: an identity provider posts a logout token, and the sessions that it names end.
//!
//! The token is the only credential. So a call is on the account of its network, as other calls without credentials.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    middleware,
    response::{IntoResponse, Response},
    routing::post,
};
use http::StatusCode;
use tokio::time::{Instant, timeout_at};

use super::{
    oauth::{FORM_BYTES_MAX, Form, no_store, observe, refuse_uncached},
    paths::LOGOUT,
};
use crate::{
    api::access::{Access, Class, Holder, address_of},
    app::{AppError, provider_logout::end_sessions},
    net::{Held, Peer, network},
};

/// Serves the endpoint, if any provider is configured.
pub(super) fn router(access: &Arc<Access>) -> Router {
    if access.app.identity_providers.is_empty() {
        return Router::new();
    }
    let instruments = Arc::clone(&access.app.instruments);
    Router::new()
        .route(LOGOUT, post(serve_logout))
        .with_state(Arc::clone(access))
        .layer(middleware::from_fn_with_state(instruments, observe))
}

async fn serve_logout(State(access): State<Arc<Access>>, request: Request) -> Response {
    let deadline = Instant::now() + access.server.call_timeout;
    match timeout_at(deadline, log_out(&access, request)).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => refuse_uncached(&error),
        Err(_) => refuse_uncached(&AppError::Deadline),
    }
}

async fn log_out(access: &Access, request: Request) -> Result<Response, AppError> {
    let (parts, body) = request.into_parts();
    let address = network(address_of(parts.extensions.get::<Peer>()));
    let holder = Holder::Address(address);
    let mut message_share = access.load.take_message(Class::Public, &holder)?;
    let message = access.receive(body, FORM_BYTES_MAX, &mut message_share);
    let form = Form::read(&parts.headers, &message.await?)?;
    let token = form.required("logout_token")?;
    // After the message is in: a slow sender must hold no permit.
    let permit = access.load.take_call(Class::Public, &holder)?;

    end_sessions(&access.app, token).await?;
    let response = no_store(StatusCode::OK.into_response());
    let shares = (permit, message_share.into_share());
    Ok(response.map(|body| Held::wrap(body, shares)))
}
