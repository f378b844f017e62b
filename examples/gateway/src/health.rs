//! The answer to the load balancer.

use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    body::Bytes,
    header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
};
use portcullis_validator::Freshness;

/// The path that the gateway answers itself, without a credential.
pub(crate) const PATH: &str = "/healthz";

/// Returns 200 while the gate can decide, and otherwise 503.
pub(crate) fn answer(freshness: Freshness) -> Response<Full<Bytes>> {
    let (status, body) = match freshness {
        Freshness::Fresh { age } => (StatusCode::OK, state("fresh", age.as_secs_f64())),
        Freshness::Stale { age } => {
            let body = state("stale", age.as_secs_f64());
            (StatusCode::SERVICE_UNAVAILABLE, body)
        }
        Freshness::Unready { .. } => {
            let body = r#"{"state":"unready","age_seconds":null}"#.to_owned();
            (StatusCode::SERVICE_UNAVAILABLE, body)
        }
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn state(name: &str, age_seconds: f64) -> String {
    format!(r#"{{"state":"{name}","age_seconds":{age_seconds}}}"#)
}
