//! The head of a request, read from Envoy.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use portcullis_gate::{RequestHead, is_identity_header};

use crate::envoy::{HeaderKind, Stream};

/// The head of a request, copied: Envoy's own bytes may move when a header is changed.
pub(crate) struct Head {
    method: Method,
    authority: String,
    target: String,
    headers: HeaderMap,
}

/// A head that is no request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MalformedHead;

impl Head {
    /// Reads the head of a request.
    pub(crate) fn read(stream: &impl Stream) -> Result<Self, MalformedHead> {
        let mut head = Self {
            method: Method::GET,
            authority: String::new(),
            target: String::new(),
            headers: HeaderMap::with_capacity(32),
        };
        let mut method = None;
        let mut malformed = false;
        stream.visit_headers(HeaderKind::Request, &mut |name, value| {
            malformed |= match name {
                b":method" => Method::from_bytes(value)
                    .map(|read| method = Some(read))
                    .is_err(),
                b":authority" => !read_text(value, &mut head.authority),
                b":path" => !read_text(value, &mut head.target),
                // Of Envoy and of no interest here: the scheme, and the protocol of an extended CONNECT.
                _ if name.starts_with(b":") => false,
                _ => !append(&mut head.headers, name, value),
            };
        });
        head.method = method.ok_or(MalformedHead)?;
        if malformed {
            return Err(MalformedHead);
        }
        Ok(head)
    }

    /// Returns it as the gate wants it.
    pub(crate) fn as_request(&self, peer: Option<std::net::IpAddr>) -> RequestHead<'_> {
        RequestHead {
            method: &self.method,
            authority: &self.authority,
            target: &self.target,
            headers: &self.headers,
            peer,
        }
    }

    /// Returns whether it is a call in gRPC.
    pub(crate) fn is_grpc(&self) -> bool {
        let content_type = self.headers.get(header::CONTENT_TYPE);
        let content_type = content_type.map(HeaderValue::as_bytes).unwrap_or_default();
        content_type
            .strip_prefix(b"application/grpc")
            .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
    }

    /// The names of headers that claim an identity.
    pub(crate) fn claimed_identity(&self) -> Vec<HeaderName> {
        let mut claimed = Vec::new();
        for name in self.headers.keys() {
            if is_identity_header(name.as_str()) {
                claimed.push(name.clone());
            }
        }
        claimed
    }
}

fn read_text(value: &[u8], text: &mut String) -> bool {
    let Ok(value) = std::str::from_utf8(value) else {
        return false;
    };
    value.clone_into(text);
    true
}

fn append(headers: &mut HeaderMap, name: &[u8], value: &[u8]) -> bool {
    let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
    else {
        return false;
    };
    // An error means more headers than a map can have.
    headers.try_append(name, value).is_ok()
}
