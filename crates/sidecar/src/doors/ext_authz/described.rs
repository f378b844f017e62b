//! The request that a `CheckRequest` describes.

use std::net::IpAddr;

use envoy_types::{
    ext_authz::v3::pb::{Address, CheckRequest},
    pb::envoy::service::auth::v3::{AttributeContext, attribute_context::HttpRequest},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use crate::doors::InvalidCheck;

/// Set by Envoy itself: how much of the body it sent.
const PARTIAL_BODY: &str = "x-envoy-auth-partial-body";

/// A request as Envoy describes it.
#[derive(Debug)]
pub(super) struct Described<'a> {
    pub(super) method: Method,
    pub(super) host: &'a str,
    pub(super) target: &'a str,
    pub(super) headers: HeaderMap,
    pub(super) client: Option<IpAddr>,
}

impl<'a> Described<'a> {
    /// Reads the description of the client's request. `cookie` is the one that brings a token.
    pub(super) fn read(
        check: &'a CheckRequest,
        cookie: Option<&str>,
    ) -> Result<Self, InvalidCheck> {
        let attributes = check
            .attributes
            .as_ref()
            .ok_or(InvalidCheck::NoAttributes)?;
        let http = attributes
            .request
            .as_ref()
            .and_then(|request| request.http.as_ref())
            .ok_or(InvalidCheck::NoAttributes)?;
        if http.path.is_empty() {
            return Err(InvalidCheck::Missing("path"));
        }
        Ok(Self {
            method: Method::from_bytes(http.method.as_bytes())
                .map_err(|_| InvalidCheck::Malformed("method"))?,
            // The gate refuses an empty one.
            host: &http.host,
            target: &http.path,
            headers: read_headers(http, cookie)?,
            client: client_address(attributes),
        })
    }
}

/// Returns the client's headers: one by one if Envoy sends them so, else as it merged them.
fn read_headers(http: &HttpRequest, cookie: Option<&str>) -> Result<HeaderMap, InvalidCheck> {
    let mut headers = HeaderMap::new();
    if let Some(raw) = &http.header_map {
        for header in &raw.headers {
            // A value that is text is in one field, one that is not in the other.
            if header.raw_value.is_empty() {
                add(&mut headers, &header.key, header.value.as_bytes())?;
            } else {
                add(&mut headers, &header.key, &header.raw_value)?;
            }
        }
    }
    for (name, value) in &http.headers {
        add(&mut headers, name, value.as_bytes())?;
        if let Some(cookie) = cookie
            && name == header::COOKIE.as_str()
        {
            add_merged_cookies(&mut headers, value, cookie)?;
        }
    }
    Ok(headers)
}

fn add(headers: &mut HeaderMap, name: &str, value: &[u8]) -> Result<(), InvalidCheck> {
    // Pseudo headers have fields of their own in the check.
    if name.starts_with(':') || name == PARTIAL_BODY {
        return Ok(());
    }
    let name = HeaderName::from_bytes(name.as_bytes());
    let value = HeaderValue::from_bytes(value);
    let (Ok(name), Ok(value)) = (name, value) else {
        return Err(InvalidCheck::Malformed("headers"));
    };
    headers
        // `append` panics when the map is full, and the client decides how many headers there are.
        .try_append(name, value)
        .map_err(|_| InvalidCheck::TooLarge)?;
    Ok(())
}

/// Adds the later ones of `Cookie` headers that Envoy merged by commas, if they have the cookie that brings a token.
///
/// A comma may as well be a part of another cookie, and would hide the token behind it. As a header of its own it is
/// found, and two different ones are refused.
fn add_merged_cookies(
    headers: &mut HeaderMap,
    value: &str,
    cookie: &str,
) -> Result<(), InvalidCheck> {
    for merged in value.split(',').skip(1) {
        // Further pairs follow a semicolon, and are found in the whole.
        let pair = merged.split(';').next().unwrap_or_default();
        let name = pair.split('=').next().unwrap_or_default();
        if name.trim_ascii() == cookie {
            add(headers, header::COOKIE.as_str(), pair.as_bytes())?;
        }
    }
    Ok(())
}

/// Returns the address of Envoy's downstream peer.
fn client_address(attributes: &AttributeContext) -> Option<IpAddr> {
    // Of the connection and of no header. The gate applies the rules about trusted proxies itself.
    let address = attributes.source.as_ref()?.address.as_ref()?;
    match address.address.as_ref()? {
        Address::SocketAddress(socket) => socket.address.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::{
        config::core::v3::{HeaderMap as RawHeaders, HeaderValue as RawHeader},
        service::auth::v3::attribute_context::Request,
    };

    use super::*;

    fn check(http: HttpRequest) -> CheckRequest {
        let request = Request {
            http: Some(http),
            ..Request::default()
        };
        let attributes = AttributeContext {
            request: Some(request),
            ..AttributeContext::default()
        };
        CheckRequest {
            attributes: Some(attributes),
        }
    }

    fn get() -> HttpRequest {
        HttpRequest {
            method: "GET".into(),
            path: "/a?b".into(),
            host: "shop.example".into(),
            ..HttpRequest::default()
        }
    }

    fn refused(check: &CheckRequest) -> Option<InvalidCheck> {
        Described::read(check, None).err()
    }

    #[test]
    fn a_check_without_a_request_is_refused() {
        let mut no_http = check(get());
        no_http.attributes.as_mut().expect("there").request = Some(Request::default());
        let mut no_request = check(get());
        no_request.attributes.as_mut().expect("there").request = None;
        for bad in [CheckRequest::default(), no_request, no_http] {
            assert_eq!(refused(&bad), Some(InvalidCheck::NoAttributes));
        }
        for (change, expected) in [
            (
                (|http| http.method.clear()) as fn(&mut HttpRequest),
                InvalidCheck::Malformed("method"),
            ),
            (
                |http| http.method = "G T".into(),
                InvalidCheck::Malformed("method"),
            ),
            (|http| http.path.clear(), InvalidCheck::Missing("path")),
            (
                |http| {
                    http.headers.insert("a b".into(), "c".into());
                },
                InvalidCheck::Malformed("headers"),
            ),
            (
                |http| {
                    http.headers.insert("a".into(), "b\r\nc: d".into());
                },
                InvalidCheck::Malformed("headers"),
            ),
        ] {
            let mut http = get();
            change(&mut http);
            assert_eq!(refused(&check(http)), Some(expected));
        }
    }

    #[test]
    fn headers_are_read_one_by_one_with_any_bytes() {
        let header = |key: &str, value: &[u8]| RawHeader {
            key: key.into(),
            raw_value: value.to_vec(),
            ..RawHeader::default()
        };
        let mut http = get();
        http.header_map = Some(RawHeaders {
            headers: vec![
                header(":path", b"/other"),
                header("cookie", b"city=Z\xfcrich"),
                header("cookie", b"a=1"),
                header("x-empty", b""),
            ],
        });
        let check = check(http);
        let described = Described::read(&check, None).expect("a description");
        let cookies: Vec<_> = described.headers.get_all("cookie").iter().collect();
        assert_eq!(cookies, [&b"city=Z\xfcrich"[..], b"a=1"]);
        assert_eq!(described.headers["x-empty"], "");
        assert_eq!(described.headers.len(), 3);
        assert_eq!(described.target, "/a?b");
    }

    /// Envoy merges headers of one name by commas, unless `encode_raw_headers` is set.
    #[test]
    fn a_cookie_behind_a_comma_is_found() {
        for (merged, expected) in [
            ("session=a; x=1", 1),
            ("session=a,session=b", 2),
            ("session=a; x=1, session=b; y=2", 2),
            ("x={\"a\":1,\"b\":2}; session=a", 1),
            ("x=1,sessions=b,xsession=c", 1),
            ("x=1,y=2;session=b", 1),
        ] {
            let mut http = get();
            http.headers.insert("cookie".into(), merged.into());
            let check = check(http);
            let described = Described::read(&check, Some("session")).expect("a description");
            let cookies = described.headers.get_all("cookie").iter().count();
            assert_eq!(cookies, expected, "{merged}");
        }
    }
}
