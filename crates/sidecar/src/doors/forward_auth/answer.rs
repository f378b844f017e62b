//! The answers of `/verify`.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use portcullis_gate::{Deny, HeaderChanges};

use super::Flavour;

/// The status of a refusal that NGINX cannot pass on. Its configuration answers with this status.
const STATUS: HeaderName = HeaderName::from_static("x-portcullis-status");
const EMPTY: HeaderValue = HeaderValue::from_static("");

/// Returns the answer to an admitted request: every header that the gateway has to copy, also the empty ones.
///
/// A gateway copies the headers that its configuration lists. One that the answer lacks would keep the client's value,
/// or become a literal placeholder (Caddy), so a removed header is sent empty.
pub(super) fn allowed(changes: &HeaderChanges, request: &HeaderMap) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    let headers = response.headers_mut();
    // Unless a change below says otherwise, the credentials stay as they came.
    headers.insert(header::AUTHORIZATION, one(request, header::AUTHORIZATION));
    headers.insert(header::COOKIE, one(request, header::COOKIE));
    for name in &changes.remove {
        headers.insert(name.clone(), EMPTY);
    }
    for (name, value) in &changes.set {
        headers.insert(name.clone(), value.clone());
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Returns the values of a header as one, because gateways copy one. Cookies are joined as in HTTP/2.
fn one(request: &HeaderMap, name: HeaderName) -> HeaderValue {
    let separator: &[u8] = if name == header::COOKIE { b"; " } else { b", " };
    let values: Vec<&[u8]> = request
        .get_all(name)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    // Values that were valid are valid when joined.
    HeaderValue::from_bytes(&values.join(separator)).unwrap_or(EMPTY)
}

/// Returns the answer to a refused request.
pub(super) fn denied(deny: Deny, flavour: Flavour) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(deny.body)));
    *response.status_mut() = deny.status;
    response.headers_mut().extend(deny.headers);
    if flavour == Flavour::Nginx {
        fit_auth_request(&mut response);
    }
    response
}

/// Changes the status to one that NGINX passes on. The true one travels in a header.
fn fit_auth_request(response: &mut Response<Full<Bytes>>) {
    let status = response.status();
    let code = HeaderValue::from(status.as_u16());
    response.headers_mut().insert(STATUS, code);
    if status != StatusCode::UNAUTHORIZED {
        *response.status_mut() = StatusCode::FORBIDDEN;
    }
}
