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
use portcullis_contract::key::{CredentialKind, PublicNumbers, VerificationKey};
use serde_json::{Value, json};

use crate::{
    feed::Feed,
    health::{Readiness, describe},
    telemetry::Telemetry,
};

#[derive(Clone)]
struct Shared {
    feed: Arc<Feed>,
    telemetry: Arc<Telemetry>,
    readiness: Arc<Readiness>,
}

/// `GET /.well-known/jwks.json`, `/metrics` (for Prometheus), `/healthz` (the process runs) and `/readyz` (it can do its
/// work; else the reasons, a line each).
pub(crate) fn router(
    feed: Arc<Feed>,
    telemetry: Arc<Telemetry>,
    readiness: Arc<Readiness>,
) -> Router {
    Router::new()
        .route("/.well-known/jwks.json", get(jwks))
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .with_state(Shared {
            feed,
            telemetry,
            readiness,
        })
}

/// The keys of access tokens (RFC 7517). A verifier that caches them accepts retired ones for as long: gates that
/// must not watch the log instead.
async fn jwks(State(shared): State<Shared>) -> impl IntoResponse {
    let view = shared.feed.view();
    let sessions = view
        .trusted_keys()
        .iter()
        .filter(|key| key.credential == CredentialKind::Session);
    let keys: Vec<_> = sessions.map(|key| jwk(key)).collect();
    (
        [(header::CACHE_CONTROL, "public, max-age=60")],
        Json(json!({ "keys": keys })),
    )
}

fn jwk(key: &VerificationKey) -> Value {
    let text = |number: Vec<u8>| URL_SAFE_NO_PAD.encode(number);
    let mut jwk = match key.public_numbers() {
        PublicNumbers::Okp { x } => json!({ "kty": "OKP", "crv": "Ed25519", "x": text(x) }),
        PublicNumbers::Ec { x, y } => {
            json!({ "kty": "EC", "crv": "P-256", "x": text(x), "y": text(y) })
        }
        PublicNumbers::Rsa { n, e } => json!({ "kty": "RSA", "n": text(n), "e": text(e) }),
    };
    jwk["alg"] = key.algorithm.jose_name().into();
    jwk["use"] = "sig".into();
    jwk["kid"] = key.id.as_str().into();
    jwk
}

async fn metrics(State(shared): State<Shared>) -> Result<impl IntoResponse, StatusCode> {
    let text = shared
        .telemetry
        .text()
        .ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text))
}

async fn readyz(State(shared): State<Shared>) -> impl IntoResponse {
    let problems = shared.readiness.problems();
    let problems = problems.borrow();
    if problems.is_empty() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    (StatusCode::SERVICE_UNAVAILABLE, describe(&problems))
}
