//! gRPC-Web: calls of web pages, in the browser of a user and with the user's own token.
//!
//! A page of any origin can make a browser send a request. So a request of a browser is refused unless its origin is
//! configured, exactly, and without any configured origin all of them are. Cookies are never read, and no answer allows
//! them.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    middleware::{self, Next},
    response::Response,
};
use http::{
    HeaderMap, HeaderValue, Method, StatusCode, Version,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
        CONTENT_TYPE, ORIGIN, VARY,
    },
};
use tonic::Status;
use tonic_web::GrpcWebLayer;
use tower::ServiceBuilder;

use crate::{app::AppError, telemetry::Instruments};

/// The headers that a page may send.
const REQUEST_HEADERS: &str = "authorization, content-type, grpc-timeout, x-grpc-web, x-user-agent";
/// The headers that a page may read. An answer without a message has its status in them.
const RESPONSE_HEADERS: &str = "grpc-status, grpc-message, grpc-status-details-bin";
/// The time for which a browser remembers a preflight, in seconds. Chromium remembers none for longer.
const PREFLIGHT_SECONDS: &str = "7200";
/// The reason of a refusal in the metrics.
const UNKNOWN_ORIGIN: &str = "unknown_origin";

/// Marks a request of a web page. Only users may call so.
#[derive(Clone, Copy)]
pub(super) struct FromPage;

/// The pages that may call.
struct Pages {
    origins: Vec<HeaderValue>,
    instruments: Arc<Instruments>,
}

/// Serves pages of the configured origins, and refuses those of all others.
pub(super) fn serve_pages(
    router: Router,
    origins: &[String],
    instruments: &Arc<Instruments>,
) -> Router {
    let router = match origins {
        [] => router,
        // The layers inside of this one see native gRPC: its messages, its trailers, its status.
        _ => router.layer(
            ServiceBuilder::new()
                .layer(GrpcWebLayer::new())
                .map_response(|response: Response| response.map(tonic::body::Body::new)),
        ),
    };
    let origins = origins.iter().map(|origin| HeaderValue::from_str(origin));
    let pages = Pages {
        // They were checked with the configuration. One that is no header could not be sent by a browser either.
        origins: origins.filter_map(Result::ok).collect(),
        instruments: Arc::clone(instruments),
    };
    router.layer(middleware::from_fn_with_state(Arc::new(pages), admit_page))
}

/// Admits a request of a page by its origin. Requests of services and gates pass.
async fn admit_page(State(pages): State<Arc<Pages>>, mut request: Request, next: Next) -> Response {
    if !is_of_browser(&request) {
        return next.run(request).await;
    }
    let Some(origin) = pages.allowed_origin(request.headers()) else {
        pages.instruments.refusals.count_credential(UNKNOWN_ORIGIN);
        return refuse_page();
    };
    if is_preflight(&request) {
        return answer_preflight(origin);
    }

    request.extensions_mut().insert(FromPage);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    allow_origin(headers, origin);
    let exposed = HeaderValue::from_static(RESPONSE_HEADERS);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    response
}

/// Whether a request can be one of a browser. Native gRPC is HTTP/2 and has no origin.
fn is_of_browser(request: &Request) -> bool {
    let headers = request.headers();
    request.version() < Version::HTTP_2
        || request.method() == Method::OPTIONS
        || headers.contains_key(ORIGIN)
        || is_grpc_web(headers)
}

fn is_grpc_web(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let prefix = b"application/grpc-web";
    kind.and_then(|kind| kind.get(..prefix.len()))
        .is_some_and(|kind| kind.eq_ignore_ascii_case(prefix))
}

fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

impl Pages {
    /// The origin of a request, if it is configured. Two origins are none: browsers send one.
    fn allowed_origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let mut sent = headers.get_all(ORIGIN).iter();
        let origin = sent.next()?;
        let is_only_one = sent.next().is_none();
        let is_allowed = is_only_one && self.origins.contains(origin);
        is_allowed.then(|| origin.clone())
    }
}

/// Without headers for the page, the browser shows it nothing of this answer. The status is for people with developer
/// tools.
fn refuse_page() -> Response {
    let mut response = Status::from(AppError::Denied).into_http();
    *response.status_mut() = StatusCode::FORBIDDEN;
    response
}

fn answer_preflight(origin: HeaderValue) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    allow_origin(headers, origin);
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_METHODS, "POST"),
        (ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS),
        (ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// `Access-Control-Allow-Credentials` is never set: a browser then sends no cookie, and shows no answer to one.
fn allow_origin(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    // A cache must not give the answer for one origin to the page of another.
    headers.append(VARY, HeaderValue::from_static("origin"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(version: Version, headers: &[(&str, &str)]) -> Request {
        let mut builder = Request::builder().version(version).method(Method::POST);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(Body::empty()).expect("a request")
    }

    #[test]
    fn only_native_grpc_passes_without_an_origin() {
        let native = request(Version::HTTP_2, &[("content-type", "application/grpc")]);
        assert!(!is_of_browser(&native));
        for headers in [
            &[("content-type", "application/grpc-web+proto")][..],
            &[("content-type", "Application/gRPC-Web-Text")],
            &[
                ("content-type", "application/grpc"),
                ("origin", "https://app.example.com"),
            ],
        ] {
            assert!(is_of_browser(&request(Version::HTTP_2, headers)));
        }
        let old = request(Version::HTTP_11, &[("content-type", "application/grpc")]);
        assert!(is_of_browser(&old));
    }
}
