//! The endpoints of OAuth 2.0: token introspection (RFC 7662), token revocation (RFC 7009), and the metadata by which
//! clients find both (RFC 8414).
//!
//! They are another form of `IntrospectToken`, `RevokeToken` and `RevokeSession`: the same callers, the same use cases,
//! the same bounds.

mod call;
mod client;
mod error;
mod form;
mod introspect;
mod metadata;
mod observe;
mod revoke;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    middleware,
    response::Response,
    routing::{get, post},
};

use self::call::Edge;
pub(super) use self::{
    call::FORM_BYTES_MAX,
    error::{no_store, refuse_uncached},
    form::Form,
    observe::observe,
};
use super::paths::{INTROSPECT, REVOKE};
use crate::api::access::Access;

/// The path of RFC 8414. The path of the issuer follows, if it has one.
const METADATA: &str = "/.well-known/oauth-authorization-server";

/// Serves the endpoints.
pub(super) fn router(access: &Arc<Access>) -> Router {
    let edge = Arc::new(Edge::new(access));
    let calls = Router::new()
        .route(INTROSPECT, post(serve_introspect))
        .route(REVOKE, post(serve_revoke))
        .with_state(edge);
    let instruments = Arc::clone(&access.app.instruments);
    let measured = calls.layer(middleware::from_fn_with_state(instruments, observe));
    measured.merge(metadata_router(&access.app.config.tokens.issuer))
}

async fn serve_introspect(State(edge): State<Arc<Edge>>, request: Request) -> Response {
    edge.serve(request, &introspect::ENDPOINT, introspect::handle)
        .await
}

async fn serve_revoke(State(edge): State<Arc<Edge>>, request: Request) -> Response {
    edge.serve(request, &revoke::ENDPOINT, revoke::handle).await
}

/// The metadata, where the issuer is a URL. Without one there is nowhere to look for it.
fn metadata_router(issuer: &str) -> Router {
    let Some((path, document)) = metadata::describe(issuer) else {
        return Router::new();
    };
    Router::new()
        .route(&path, get(metadata::serve))
        .with_state(Arc::new(document))
}
