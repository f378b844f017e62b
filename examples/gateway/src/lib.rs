//! An HTTP gateway on axum that embeds the validator: copy it, and put your own routes behind the layer.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    Extension, Json, Router,
    extract::{ConnectInfo, State},
    http::{Extensions, HeaderMap, StatusCode, request::Parts},
    response::sse::{Event, KeepAlive, Sse},
    routing::get,
};
use futures::{Stream, StreamExt, stream};
use portcullis_validator::{Freshness, Identity, TrustedProxies, Validator, ValidatorLayer};
use serde_json::{Value, json};

/// The cookie in which browsers bring the access token.
pub const SESSION_COOKIE: &str = "portcullis_session";

/// The header by which a page marks the requests that it makes by itself, such as polls. They are no use of the session.
pub const BACKGROUND_HEADER: &str = "x-background";

/// Routes `GET /whoami` and `GET /events`, for signed-in users, and `GET /healthz`, for the load balancer: 200 while the
/// gate can decide.
///
/// `proxies` are believed about the address of the client.
pub fn router(validator: &Validator, proxies: &TrustedProxies) -> Router {
    let proxies = proxies.clone();
    let layer = ValidatorLayer::new(validator.clone())
        .cookie(SESSION_COOKIE)
        .background(is_background)
        .client_address(move |headers, extensions| client_address(&proxies, headers, extensions));
    let guarded = Router::new()
        .route("/whoami", get(whoami))
        .route("/events", get(events))
        .layer(layer);

    // The load balancer has no token, so its route stands outside of the layer.
    Router::new()
        .route("/healthz", get(healthz))
        .with_state(validator.clone())
        .merge(guarded)
}

/// Returns the client's address, when the server is made with [`Router::into_make_service_with_connect_info`].
fn client_address(
    proxies: &TrustedProxies,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Option<IpAddr> {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>()?;
    proxies.client_address(peer.0.ip(), headers)
}

fn is_background(request: &Parts) -> bool {
    request.headers.contains_key(BACKGROUND_HEADER)
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

/// A stream that stays open until the session ends. A browser's `EventSource` then connects anew: with a fresh token it
/// is admitted, and otherwise the gate answers 401.
async fn events(
    Extension(identity): Extension<Arc<Identity>>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let opened = stream::iter([Ok(Event::default().event("open").data(""))]);
    // An application merges its own events here.
    let ended = stream::once(async move {
        let rejection = identity.ended().await;
        Ok(Event::default().event("ended").data(rejection.reason()))
    });
    Sse::new(opened.chain(ended)).keep_alive(KeepAlive::default())
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
