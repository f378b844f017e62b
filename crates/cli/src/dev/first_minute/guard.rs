//! The protection of the demonstration's pages: other sites can neither read nor press anything.

use std::net::IpAddr;

use axum::{
    extract::Request,
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, ORIGIN, REFERRER_POLICY,
            X_CONTENT_TYPE_OPTIONS,
        },
    },
    middleware::Next,
    response::{IntoResponse, Response},
};

/// Nothing from elsewhere, nothing inline. `'self'` as ancestor: the console shows the sign-in page in its own frame.
const CONTENT_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
    frame-src 'self'; form-action 'self'; frame-ancestors 'self'; base-uri 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// Refuses requests that another site causes, and sets the headers of every answer.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    let mut response = if is_own(&request) {
        next.run(request).await
    } else {
        let text = "This address belongs to `portcullis dev`, and another site may not use it.";
        (StatusCode::FORBIDDEN, text).into_response()
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, CONTENT_POLICY),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn is_own(request: &Request) -> bool {
    let headers = request.headers();
    // A name of somebody else that leads to this machine would make their page one of ours.
    let Some(host) = text(headers, HOST.as_str()) else {
        return false;
    };
    if !is_loopback(host) {
        return false;
    }
    // A GET changes nothing but this browser's cookies, and a link from elsewhere is welcome.
    if *request.method() == Method::GET {
        return true;
    }
    match text(headers, "sec-fetch-site") {
        Some(site) => site == "same-origin",
        // An older browser: it names the page that sends a form.
        None => {
            let origin = text(headers, ORIGIN.as_str());
            origin.is_some_and(|origin| origin == format!("http://{host}"))
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        // An IPv6 address has colons too, and then stands in brackets.
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost"
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn request(method: &str, headers: &[(&str, &str)]) -> Request {
        let mut request = Request::builder().method(method).uri("/demo/sign-in");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Body::empty()).expect("a request")
    }

    #[test]
    fn only_pages_of_this_machine_may_press_a_button() {
        type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], bool);

        let host = ("host", "127.0.0.1:7470");
        let cases: [Case<'_>; 9] = [
            ("GET", &[host], true),
            ("GET", &[("host", "localhost:7470")], true),
            ("GET", &[("host", "[::1]:7470")], true),
            ("GET", &[("host", "evil.example:7470")], false),
            ("GET", &[], false),
            ("POST", &[host, ("sec-fetch-site", "same-origin")], true),
            ("POST", &[host, ("sec-fetch-site", "same-site")], false),
            ("POST", &[host, ("origin", "http://127.0.0.1:7470")], true),
            ("POST", &[host, ("origin", "http://127.0.0.1:7490")], false),
        ];
        for (method, headers, expected) in cases {
            assert_eq!(
                is_own(&request(method, headers)),
                expected,
                "{method} {headers:?}"
            );
        }
    }
}
