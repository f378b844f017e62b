//! The answers of `/verify`.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use http_body_util::Full;
use portcullis_gate::{Deny, HeaderChanges};

use super::Flavour;

/// The mark of an admission. No other server sends it by accident, and the shipped configurations admit nothing without.
const DECISION: HeaderName = HeaderName::from_static("portcullis-decision");
const ALLOW: HeaderValue = HeaderValue::from_static("allow");

/// Returns the answer to an admitted request: the headers as the upstream must get them. The gateway removes the client's
/// value of a header that the answer lacks.
///
/// It has no empty headers, because Traefik copies those too, and no twins with underscores, because NGINX reads both
/// as one variable.
pub(super) fn allowed(changes: HeaderChanges, request: &HeaderMap) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    let headers = response.headers_mut();
    headers.insert(DECISION, ALLOW);
    // An admission that a gateway caches would outlive its session.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));

    // Unless a change says otherwise, the credentials stay as they came.
    for name in [header::AUTHORIZATION, header::COOKIE] {
        if !changes.remove.contains(&name)
            && let Some(value) = joined(request, &name)
        {
            headers.insert(name, value);
        }
    }
    for (name, value) in changes.set {
        headers.insert(name, value);
    }
    response
}

/// Returns the values of a header as one, because gateways copy one. Cookies are joined as in HTTP/2.
fn joined(request: &HeaderMap, name: &HeaderName) -> Option<HeaderValue> {
    let separator: &[u8] = if name == header::COOKIE { b"; " } else { b", " };
    let values: Vec<&[u8]> = request
        .get_all(name)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if values.is_empty() {
        return None;
    }
    // Values that were valid are valid when joined.
    HeaderValue::from_bytes(&values.join(separator)).ok()
}

/// Returns the answer to a refused request.
pub(super) fn denied(deny: Deny, flavour: Flavour) -> Response<Full<Bytes>> {
    let deny = match flavour {
        Flavour::Plain => deny,
        Flavour::Nginx => deny.for_auth_request(),
    };
    deny.into_response::<String>()
        .map(|body| Full::new(Bytes::from(body)))
}
