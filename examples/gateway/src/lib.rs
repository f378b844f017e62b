//! An HTTP gateway on axum that embeds the validator: copy it, and put your own routes behind the layer.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    Extension, Json, Router,
    extract::{ConnectInfo, State},
    http::{Extensions, HeaderMap, StatusCode},
    routing::get,
};
use portcullis_validator::{Freshness, Identity, Validator, ValidatorLayer};
use serde_json::{Value, json};

/// The cookie in which browsers bring the access token.
pub const SESSION_COOKIE: &str = "portcullis_session";

/// Routes `GET /whoami`, for signed-in users, and `GET /healthz`, for the load balancer: 200 while the gate can decide.
pub fn router(validator: &Validator) -> Router {
    let layer = ValidatorLayer::new(validator.clone())
        .cookie(SESSION_COOKIE)
        .client_address(peer_address);
    let guarded = Router::new().route("/whoami", get(whoami)).layer(layer);

    // The load balancer has no token, so its route stands outside of the layer.
    Router::new()
        .route("/healthz", get(healthz))
        .with_state(validator.clone())
        .merge(guarded)
}

/// Returns the peer's address, when the server is made with [`Router::into_make_service_with_connect_info`].
fn peer_address(_: &HeaderMap, extensions: &Extensions) -> Option<IpAddr> {
    extensions
        .get::<ConnectInfo<SocketAddr>>()
        .map(|peer| peer.0.ip())
}

async fn whoami(Extension(identity): Extension<Arc<Identity>>) -> Json<Value> {
    Json(json!({
        "tenant_id": identity.tenant_id.as_str(),
        "user_id": identity.user_id.as_str(),
        "session_id": identity.session_id.to_string(),
        "auth_time": identity.auth_time,
        "amr": identity.amr,
        "acr": identity.acr,
        "expires_at": identity.expires_at,
    }))
}

async fn healthz(State(validator): State<Validator>) -> (StatusCode, Json<Value>) {
    let (status, state, age) = match validator.freshness() {
        Freshness::Fresh { age } => (StatusCode::OK, "fresh", Some(age)),
        Freshness::Stale { age } => (StatusCode::SERVICE_UNAVAILABLE, "stale", Some(age)),
        Freshness::Unready { .. } => (StatusCode::SERVICE_UNAVAILABLE, "unready", None),
    };
    let age_seconds = age.map(|age| age.as_secs_f64());
    (
        status,
        Json(json!({ "state": state, "age_seconds": age_seconds })),
    )
}
