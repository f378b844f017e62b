//! The HTTP side: verification keys for others, and health.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_contract::key::{Algorithm, CredentialKind, VerificationKey};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::feed::Feed;

#[derive(Clone)]
struct Shared {
    feed: Arc<Feed>,
    drain: CancellationToken,
}

/// `GET /.well-known/jwks.json`, `/healthz` (the process runs) and `/readyz` (it takes calls).
pub(crate) fn router(feed: Arc<Feed>, drain: CancellationToken) -> Router {
    Router::new()
        .route("/.well-known/jwks.json", get(jwks))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .with_state(Shared { feed, drain })
}

/// The keys of access tokens (RFC 7517). A verifier that caches them accepts retired ones for as long: gates that
/// must not watch the log instead.
async fn jwks(State(shared): State<Shared>) -> impl IntoResponse {
    let view = shared.feed.view();
    let sessions = view.trusted_keys().iter().filter(|key| key.credential == CredentialKind::Session);
    let keys: Vec<_> = sessions.map(|key| jwk(key)).collect();
    ([(header::CACHE_CONTROL, "public, max-age=60")], Json(json!({ "keys": keys })))
}

fn jwk(key: &VerificationKey) -> Value {
    match key.algorithm {
        Algorithm::Ed25519 => json!({
            "kty": "OKP",
            "crv": "Ed25519",
            "alg": key.algorithm.jose_name(),
            "use": "sig",
            "kid": key.id.as_str(),
            "x": URL_SAFE_NO_PAD.encode(key.public_bytes()),
        }),
    }
}

async fn readyz(State(shared): State<Shared>) -> impl IntoResponse {
    if shared.drain.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "draining\n");
    }
    (StatusCode::OK, "ready\n")
}
