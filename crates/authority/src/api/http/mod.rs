//! The HTTP port: verification keys, metrics and health, and the endpoints of OAuth.

mod oauth;
mod oidc;
mod paths;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_contract::key::{CredentialKind, PublicNumbers, VerificationKey};
use serde_json::{Value, json};

use crate::{
    api::access::Access,
    feed::Feed,
    health::{Readiness, describe},
    telemetry::{Format, Telemetry},
};

/// The parts that the pages read.
#[derive(Clone)]
struct Sources {
    feed: Arc<Feed>,
    readiness: Arc<Readiness>,
}

/// `GET /.well-known/jwks.json`, `/healthz` (the process runs) and `/readyz` (it can do its work; else the reasons, a line
/// each), and the endpoints of OAuth. `/metrics` too, if telemetry is given.
pub(crate) fn router(
    access: &Arc<Access>,
    telemetry: Option<Arc<Telemetry>>,
    readiness: Arc<Readiness>,
) -> Router {
    let sources = Sources {
        feed: Arc::clone(&access.app.feed),
        readiness,
    };
    let router = Router::new()
        .route("/.well-known/jwks.json", get(jwks))
        // Without a look at the store, or an outage of the database would restart every authority.
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .with_state(sources)
        .merge(oauth::router(access))
        .merge(oidc::router(access));
    match telemetry {
        Some(telemetry) => router.merge(metrics_router(telemetry)),
        None => router,
    }
}

/// `GET /metrics`, for Prometheus.
pub(crate) fn metrics_router(telemetry: Arc<Telemetry>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .with_state(telemetry)
}

/// The keys of access tokens (RFC 7517), for verifiers that need not know of revocations. A verifier that caches the
/// keys accepts retired ones for as long; a gate that must not follows the log instead.
async fn jwks(State(sources): State<Sources>) -> impl IntoResponse {
    let view = sources.feed.view();
    let mut keys = Vec::new();
    // Keys that do not sign yet are listed too, so that verifiers know them in time.
    for key in view.trusted_keys() {
        // A verifier by JWKS must not take an API key for a session (decision 014).
        if key.credential == CredentialKind::Session {
            keys.push(jwk(key));
        }
    }
    (
        // The default of `keys.activation_delay`: a cache that is older could meet tokens of a key that it does not
        // have.
        [(header::CACHE_CONTROL, "public, max-age=60")],
        Json(json!({ "keys": keys })),
    )
}

fn jwk(key: &VerificationKey) -> Value {
    let mut jwk = match key.public_numbers() {
        PublicNumbers::Okp { x } => json!({ "kty": "OKP", "crv": "Ed25519", "x": base64(&x) }),
        PublicNumbers::Ec { x, y } => {
            json!({ "kty": "EC", "crv": "P-256", "x": base64(&x), "y": base64(&y) })
        }
        PublicNumbers::Rsa { n, e } => json!({ "kty": "RSA", "n": base64(&n), "e": base64(&e) }),
    };
    jwk["alg"] = key.algorithm.jose_name().into();
    jwk["use"] = "sig".into();
    jwk["kid"] = key.id.as_str().into();
    jwk
}

fn base64(number: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(number)
}

async fn metrics(
    State(telemetry): State<Arc<Telemetry>>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, StatusCode> {
    let accept = headers.get(header::ACCEPT);
    let format = Format::accepted(accept.and_then(|value| value.to_str().ok()));
    let Some(metrics) = telemetry.metrics(format) else {
        return Err(StatusCode::INTERNAL_SERVER_ERROR);
    };
    Ok(([(header::CONTENT_TYPE, format.content_type())], metrics))
}

async fn readyz(State(sources): State<Sources>) -> impl IntoResponse {
    let problems = sources.readiness.problems();
    let problems = problems.borrow();
    if problems.is_empty() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    (StatusCode::SERVICE_UNAVAILABLE, describe(&problems))
}
