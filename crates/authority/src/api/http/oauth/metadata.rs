//! The metadata of the authority (RFC 8414), at the URL that follows from its issuer.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{Uri, header::CACHE_CONTROL};
use serde_json::{Value, json};

use super::METADATA;
use crate::api::http::paths::{INTROSPECT, REVOKE};

/// How long a client may keep the metadata, as it may keep the keys.
const CACHE: &str = "public, max-age=60";

/// The path of the metadata, and the metadata. None: the issuer is not a URL, so nobody could find them.
///
/// The endpoints are below the issuer. Whoever serves the issuer's URL passes these paths on to the HTTP port.
pub(super) fn describe(issuer: &str) -> Option<(String, Value)> {
    let url: Uri = issuer.parse().ok()?;
    let is_web = matches!(url.scheme_str(), Some("http" | "https"));
    // RFC 8414, section 2: no query and no fragment.
    if !is_web || url.query().is_some() || issuer.contains('#') {
        return None;
    }
    let base = issuer.trim_end_matches('/');
    let path = url.path().trim_end_matches('/');
    // A router would read these as the name of a parameter.
    if path.contains(['{', '}']) {
        return None;
    }
    let document = json!({
        "issuer": issuer,
        "jwks_uri": format!("{base}/.well-known/jwks.json"),
        "introspection_endpoint": format!("{base}{INTROSPECT}"),
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "Bearer"],
        "revocation_endpoint": format!("{base}{REVOKE}"),
        "revocation_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        // Sessions are opened by gRPC. There is neither an authorization endpoint nor a token endpoint.
        "response_types_supported": [],
        "grant_types_supported": [],
    });
    Some((format!("{METADATA}{path}"), document))
}

pub(super) async fn serve(State(document): State<Arc<Value>>) -> Response {
    ([(CACHE_CONTROL, CACHE)], Json(&*document)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_follows_from_the_issuer() {
        let cases = [
            ("https://id.test", Some("")),
            ("https://id.test/", Some("")),
            ("https://id.test/a/b", Some("/a/b")),
            ("http://127.0.0.1:7480", Some("")),
            ("https://id.test/?tenant=1", None),
            ("https://id.test/#x", None),
            ("https://id.test/{a}", None),
            ("urn:portcullis", None),
            ("portcullis", None),
            ("", None),
        ];
        for (issuer, path) in cases {
            let described = describe(issuer);
            let expected = path.map(|path| format!("{METADATA}{path}"));
            let found = described.as_ref().map(|(path, _)| path.clone());
            assert_eq!(found, expected, "{issuer}");
            if let Some((_, document)) = described {
                assert_eq!(document["issuer"], issuer);
                let endpoint = document["revocation_endpoint"].as_str().expect("text");
                assert!(!endpoint.contains("//oauth2"), "{endpoint}");
            }
        }
    }
}
