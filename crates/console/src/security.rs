//! The headers of every answer: they limit the browser's use of it.

use axum::{
    extract::{Request, State as Shared},
    middleware::Next,
    response::Response,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
        X_FRAME_OPTIONS,
    },
};
use portcullis_serving::config::ConfigError;

use crate::config::ServerConfig;

/// The headers of an installation.
#[derive(Clone)]
pub(crate) struct SecurityHeaders {
    /// The policy after the nonce.
    rest: String,
    may_be_framed: bool,
}

/// The word by which htmx knows the elements that this answer's template has written. Markup that got into a page by another
/// way does not have it, and htmx leaves its attributes alone.
#[derive(Clone, Debug)]
pub(crate) struct Nonce(pub(crate) String);

impl Nonce {
    fn new() -> Self {
        // 128 random bits: markup that somebody put into a page cannot guess the nonce of its
        // answer.
        let bytes: [u8; 16] = portcullis_contract::random();
        Self(BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl SecurityHeaders {
    pub(crate) fn new(server: &ServerConfig) -> Result<Self, ConfigError> {
        let ancestors = match server.frame_ancestors.as_slice() {
            [] => "'none'".to_owned(),
            origins => origins.join(" "),
        };
        // Nothing is allowed but what the pages have: files of this origin. No inline script, no inline style, no string
        // becomes code or markup but through the one policy of htmx.
        let rest = format!(
            "style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; \
             frame-ancestors {ancestors}; require-trusted-types-for 'script'; trusted-types htmx"
        );
        // The origins are checked with the configuration. This one makes sure of it before the first answer.
        if HeaderValue::from_str(&rest).is_err() {
            let problem = "must be origins as https://app.example.com";
            return Err(ConfigError::new("server.frame_ancestors", problem));
        }
        Ok(Self {
            rest,
            may_be_framed: !server.frame_ancestors.is_empty(),
        })
    }

    fn policy(&self, Nonce(nonce): &Nonce) -> String {
        let rest = &self.rest;
        format!("default-src 'none'; script-src 'self' 'nonce-{nonce}'; {rest}")
    }
}

/// Adds the headers to every answer, also to refusals.
pub(crate) async fn secure(
    Shared(security): Shared<SecurityHeaders>,
    mut request: Request,
    next: Next,
) -> Response {
    let nonce = Nonce::new();
    let policy = security.policy(&nonce);
    // Before the page is made: its template writes the same nonce that the policy names.
    request.extensions_mut().insert(nonce);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    // It was checked at the start, and the nonce has letters and digits only.
    if let Ok(policy) = policy.parse() {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    add_fixed(headers);
    // Browsers that know no `frame-ancestors` know this one.
    if !security.may_be_framed {
        headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    }
    forbid_caching(headers);
    response
}

fn add_fixed(headers: &mut HeaderMap) {
    for (name, value) in FIXED {
        // A file for other origins says so itself.
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
}

/// Keeps a page out of caches. A file says by itself how long it may be kept.
fn forbid_caching(headers: &mut HeaderMap) {
    // A page shows somebody's data: no cache keeps it, and it is another one for each cookie and language.
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.append(VARY, HeaderValue::from_static("cookie, accept-language"));
    }
}

const FIXED: [(HeaderName, &str); 5] = [
    // Addresses have ids of users and sessions, and sealed searches. No other site gets them.
    (REFERRER_POLICY, "no-referrer"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("permissions-policy"),
        // No page uses any of these, so a script that got into one cannot either.
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_for_the_configured_origins() {
        let mut server = ServerConfig::default();
        let nonce = Nonce::new();
        let none = SecurityHeaders::new(&server).expect("good");
        let policy = none.policy(&nonce);
        assert!(policy.contains("frame-ancestors 'none';"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        server.frame_ancestors = vec!["https://app.example.com".to_owned()];
        let one = SecurityHeaders::new(&server).expect("good");
        let policy = one.policy(&nonce);
        assert!(policy.contains("frame-ancestors https://app.example.com;"));
    }
}
