//! The answers of `/verify`.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use http_body_util::Full;
use portcullis_gate::{Deny, HeaderChanges, IDENTITY_HEADERS};

use super::Flavour;

const EMPTY: HeaderValue = HeaderValue::from_static("");

/// Makes the answers to admitted requests.
pub(super) struct Answers {
    /// The headers of an answer about nobody.
    nobody: HeaderMap,
}

impl Answers {
    pub(super) fn new() -> Self {
        let mut nobody = HeaderMap::new();
        for name in IDENTITY_HEADERS {
            // A gateway that copies twins copies those with the one or the other character throughout.
            let text = name.as_str();
            if !text.contains('_') || !text.contains('-') {
                nobody.insert(name, EMPTY);
            }
        }
        nobody.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Self { nobody }
    }

    /// Returns the answer to an admitted request: every header that the gateway has to copy, also the empty ones.
    ///
    /// A gateway copies the headers that its configuration lists. One that the answer lacks would keep the client's
    /// value, or become a literal placeholder (Caddy), so a removed header is sent empty.
    pub(super) fn allowed(
        &self,
        changes: HeaderChanges,
        request: &HeaderMap,
    ) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::default());
        let headers = response.headers_mut();
        headers.clone_from(&self.nobody);
        // Unless a change below says otherwise, the credentials stay as they came.
        for name in [header::AUTHORIZATION, header::COOKIE] {
            let value = joined(request, &name);
            headers.insert(name, value);
        }
        for name in changes.remove {
            headers.insert(name, EMPTY);
        }
        for (name, value) in changes.set {
            headers.insert(name, value);
        }
        response
    }
}

/// Returns the values of a header as one, because gateways copy one. Cookies are joined as in HTTP/2.
fn joined(request: &HeaderMap, name: &HeaderName) -> HeaderValue {
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
    let deny = match flavour {
        Flavour::Plain => deny,
        Flavour::Nginx => deny.for_auth_request(),
    };
    deny.into_response::<String>()
        .map(|body| Full::new(Bytes::from(body)))
}
