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
    /// Reads the description of the client's request.
    pub(super) fn read(
        check: &'a CheckRequest,
        header_bytes_max: usize,
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
            return Err(InvalidCheck::NoTarget);
        }
        if http.host.is_empty() {
            return Err(InvalidCheck::NoHost);
        }
        Ok(Self {
            method: Method::from_bytes(http.method.as_bytes())
                .map_err(|_| InvalidCheck::NoMethod)?,
            host: &http.host,
            target: &http.path,
            headers: read_headers(http, header_bytes_max)?,
            client: client_address(attributes),
        })
    }
}

/// Returns the client's headers: one by one if Envoy sends them so, else as it merged them.
fn read_headers(http: &HttpRequest, header_bytes_max: usize) -> Result<HeaderMap, InvalidCheck> {
    let mut headers = Headers {
        map: HeaderMap::new(),
        bytes_left: header_bytes_max,
    };
    if let Some(raw) = &http.header_map {
        for header in &raw.headers {
            // A value that is text is in one field, one that is not in the other.
            if header.raw_value.is_empty() {
                headers.add(&header.key, header.value.as_bytes())?;
            } else {
                headers.add(&header.key, &header.raw_value)?;
            }
        }
    }
    for (name, value) in &http.headers {
        headers.add(name, value.as_bytes())?;
        if name == header::COOKIE.as_str() {
            headers.add_merged_cookies(value)?;
        }
    }
    Ok(headers.map)
}

/// Headers within a bound of bytes.
struct Headers {
    map: HeaderMap,
    bytes_left: usize,
}

impl Headers {
    fn add(&mut self, name: &str, value: &[u8]) -> Result<(), InvalidCheck> {
        // Pseudo headers have fields of their own in the check.
        if name.starts_with(':') || name == PARTIAL_BODY {
            return Ok(());
        }
        let bytes = name.len() + value.len();
        self.bytes_left = self
            .bytes_left
            .checked_sub(bytes)
            .ok_or(InvalidCheck::HeadersTooLarge)?;
        let name = HeaderName::from_bytes(name.as_bytes());
        let value = HeaderValue::from_bytes(value);
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(InvalidCheck::MalformedHeader);
        };
        self.map
            .try_append(name, value)
            .map_err(|_| InvalidCheck::HeadersTooLarge)?;
        Ok(())
    }

    /// Adds the later ones of cookie headers that Envoy may have merged by commas.
    ///
    /// A comma may as well be a part of a cookie. As headers of their own, two different credentials are found and
    /// refused, and the text of another cookie is skipped.
    fn add_merged_cookies(&mut self, value: &str) -> Result<(), InvalidCheck> {
        for (comma, _) in value.match_indices(',') {
            self.add(header::COOKIE.as_str(), &value.as_bytes()[comma + 1..])?;
        }
        Ok(())
    }
}

/// Returns the address of Envoy's downstream peer.
fn client_address(attributes: &AttributeContext) -> Option<IpAddr> {
    let address = attributes.source.as_ref()?.address.as_ref()?;
    match address.address.as_ref()? {
        Address::SocketAddress(socket) => socket.address.parse().ok(),
        _ => None,
    }
}
