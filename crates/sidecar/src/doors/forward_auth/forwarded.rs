//! The request that a gateway describes in headers.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, Method};
use portcullis_gate::RequestHead;

use crate::doors::InvalidCheck;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The names of the headers that describe a request.
#[derive(Clone, Copy)]
pub(super) struct Family {
    method: &'static str,
    uri: &'static str,
    host: &'static str,
}

/// A request as its gateway describes it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Described<'a> {
    pub(super) method: Method,
    pub(super) target: &'a str,
    pub(super) host: &'a str,
    /// The peer of the gateway's connection.
    pub(super) client: Option<IpAddr>,
}

impl Described<'_> {
    /// The head of the request, with all headers of the check.
    pub(super) fn head<'h>(&'h self, headers: &'h HeaderMap) -> RequestHead<'h> {
        RequestHead {
            method: &self.method,
            authority: self.host,
            target: self.target,
            headers,
            peer: self.client,
        }
    }
}

impl Family {
    /// Set by Caddy and Traefik without being asked.
    pub(super) const FORWARDED: Self = Self {
        method: "x-forwarded-method",
        uri: "x-forwarded-uri",
        host: "x-forwarded-host",
    };
    /// Set by a configuration of NGINX.
    pub(super) const ORIGINAL: Self = Self {
        method: "x-original-method",
        uri: "x-original-uri",
        host: "x-original-host",
    };

    /// Reads the description.
    pub(super) fn read(self, headers: &HeaderMap) -> Result<Described<'_>, InvalidCheck> {
        let method = Method::from_bytes(only(headers, self.method)?.as_bytes())
            .map_err(|_| InvalidCheck::Malformed(self.method))?;
        Ok(Described {
            method,
            target: only(headers, self.uri)?,
            // A request of HTTP/1.0 may have none. The gate refuses it.
            host: only_or_empty(headers, self.host)?,
            client: client_address(headers),
        })
    }
}

/// Returns the one value of a header that must not be empty.
fn only<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, InvalidCheck> {
    match only_or_empty(headers, name)? {
        "" => Err(InvalidCheck::Missing(name)),
        value => Ok(value),
    }
}

/// Returns the one value of a header, or an empty text when there is none.
fn only_or_empty<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, InvalidCheck> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok("");
    };
    // The client sent one of them, and the gateway did not replace it.
    if values.next().is_some() {
        return Err(InvalidCheck::Several(name));
    }
    std::str::from_utf8(value.as_bytes()).map_err(|_| InvalidCheck::Malformed(name))
}

/// Returns the last address of `X-Forwarded-For`, which the gateway itself appends: the peer of its own connection.
fn client_address(headers: &HeaderMap) -> Option<IpAddr> {
    // A gateway appends to the last header or adds one behind it. Whatever stands before is the
    // word of somebody else.
    let value = headers.get_all(FORWARDED_FOR).iter().next_back()?;
    let last = value.as_bytes().rsplit(|byte| *byte == b',').next()?;
    let text = std::str::from_utf8(last.trim_ascii()).ok()?;
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let value = HeaderValue::from_bytes(value).expect("a header value");
            headers.append(*name, value);
        }
        headers
    }

    #[test]
    fn a_description_is_read_from_one_family() {
        let described: &[(&str, &[u8])] = &[
            ("x-forwarded-method", b"POST"),
            ("x-forwarded-uri", b"/a?b=c"),
            ("x-forwarded-host", b"shop.example"),
            ("x-forwarded-for", b"192.0.2.1, 203.0.113.9"),
            // Of the client.
            ("x-original-method", b"GET"),
            ("x-original-uri", b"/public"),
        ];
        let headers = headers(described);
        let read = Family::FORWARDED.read(&headers).expect("a description");
        assert_eq!(read.method, Method::POST);
        assert_eq!(read.target, "/a?b=c");
        assert_eq!(read.host, "shop.example");
        assert_eq!(read.client, Some([203, 0, 113, 9].into()));
        // Those of the client, which the other path would read.
        let original = Family::ORIGINAL.read(&headers).expect("a description");
        assert_eq!((original.target, original.host), ("/public", ""));
    }

    #[test]
    fn a_description_with_a_gap_or_a_second_value_is_refused() {
        const GOOD: [(&str, &[u8]); 3] = [
            ("x-original-method", b"GET"),
            ("x-original-uri", b"/"),
            ("x-original-host", b"h"),
        ];
        let read = |pairs: &[(&'static str, &[u8])]| {
            let headers = headers(pairs);
            Family::ORIGINAL.read(&headers).map(|_| ())
        };
        assert_eq!(read(&GOOD), Ok(()));
        for (index, (name, value)) in GOOD.into_iter().enumerate() {
            let mut pairs = GOOD.to_vec();
            pairs.remove(index);
            // The gate refuses a request without a host, with a reason of its own.
            let missing = match name {
                "x-original-host" => Ok(()),
                _ => Err(InvalidCheck::Missing(name)),
            };
            assert_eq!(read(&pairs), missing, "without {name}");
            pairs.push((name, b""));
            assert_eq!(read(&pairs), missing, "empty {name}");
            pairs.pop();
            pairs.extend([(name, value), (name, value)]);
            assert_eq!(read(&pairs), Err(InvalidCheck::Several(name)));
            pairs.truncate(2);
            pairs.push((name, b"\xff"));
            assert_eq!(read(&pairs), Err(InvalidCheck::Malformed(name)));
        }
    }

    #[test]
    fn the_client_is_the_last_address_that_the_gateway_wrote() {
        for (value, expected) in [
            ("203.0.113.9", Some("203.0.113.9")),
            ("192.0.2.1,203.0.113.9", Some("203.0.113.9")),
            ("192.0.2.1, 2001:db8::9 ", Some("2001:db8::9")),
            ("203.0.113.9, unknown", None),
            ("", None),
        ] {
            let headers = headers(&[("x-forwarded-for", value.as_bytes())]);
            let found = client_address(&headers).map(|address| address.to_string());
            assert_eq!(found.as_deref(), expected, "{value}");
        }
        assert_eq!(client_address(&HeaderMap::new()), None);
    }
}
