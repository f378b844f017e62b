//! The headers that name the caller to the upstream.

use std::fmt::Write;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use portcullis_validator_core::{ApiKeyIdentity, Identity};

use crate::{
    decision::{HeaderChanges, Subject},
    refused::HeadProblem,
};

const TENANT: HeaderName = HeaderName::from_static("x-portcullis-tenant");
const USER: HeaderName = HeaderName::from_static("x-portcullis-user");
const SESSION: HeaderName = HeaderName::from_static("x-portcullis-session");
const API_KEY: HeaderName = HeaderName::from_static("x-portcullis-api-key");
const SCOPES: HeaderName = HeaderName::from_static("x-portcullis-scopes");
const ACR: HeaderName = HeaderName::from_static("x-portcullis-acr");
const AMR: HeaderName = HeaderName::from_static("x-portcullis-amr");
/// The signed identity.
pub(crate) const SIGNED: HeaderName = HeaderName::from_static("x-portcullis-identity");

/// The prefix of all headers that are the gate's to set, with `-` for every character that is no letter or digit.
const PREFIX: &[u8] = b"x-portcullis-";

/// All spellings of the identity headers that upstreams may read as one variable, because they fold `-` and `_`.
///
/// For doors whose gateway removes headers by a list. Others find them by [`is_identity_header`].
pub const IDENTITY_HEADERS: [HeaderName; 40] = [
    HeaderName::from_static("x-portcullis-tenant"),
    HeaderName::from_static("x-portcullis_tenant"),
    HeaderName::from_static("x_portcullis-tenant"),
    HeaderName::from_static("x_portcullis_tenant"),
    HeaderName::from_static("x-portcullis-user"),
    HeaderName::from_static("x-portcullis_user"),
    HeaderName::from_static("x_portcullis-user"),
    HeaderName::from_static("x_portcullis_user"),
    HeaderName::from_static("x-portcullis-session"),
    HeaderName::from_static("x-portcullis_session"),
    HeaderName::from_static("x_portcullis-session"),
    HeaderName::from_static("x_portcullis_session"),
    HeaderName::from_static("x-portcullis-api-key"),
    HeaderName::from_static("x-portcullis-api_key"),
    HeaderName::from_static("x-portcullis_api-key"),
    HeaderName::from_static("x-portcullis_api_key"),
    HeaderName::from_static("x_portcullis-api-key"),
    HeaderName::from_static("x_portcullis-api_key"),
    HeaderName::from_static("x_portcullis_api-key"),
    HeaderName::from_static("x_portcullis_api_key"),
    HeaderName::from_static("x-portcullis-roles"),
    HeaderName::from_static("x-portcullis_roles"),
    HeaderName::from_static("x_portcullis-roles"),
    HeaderName::from_static("x_portcullis_roles"),
    HeaderName::from_static("x-portcullis-scopes"),
    HeaderName::from_static("x-portcullis_scopes"),
    HeaderName::from_static("x_portcullis-scopes"),
    HeaderName::from_static("x_portcullis_scopes"),
    HeaderName::from_static("x-portcullis-acr"),
    HeaderName::from_static("x-portcullis_acr"),
    HeaderName::from_static("x_portcullis-acr"),
    HeaderName::from_static("x_portcullis_acr"),
    HeaderName::from_static("x-portcullis-amr"),
    HeaderName::from_static("x-portcullis_amr"),
    HeaderName::from_static("x_portcullis-amr"),
    HeaderName::from_static("x_portcullis_amr"),
    HeaderName::from_static("x-portcullis-identity"),
    HeaderName::from_static("x-portcullis_identity"),
    HeaderName::from_static("x_portcullis-identity"),
    HeaderName::from_static("x_portcullis_identity"),
];

/// Headers by which some frameworks replace the path or the method of a request, so that they would handle another
/// request than the gate decided about.
const OVERRIDES: [&str; 5] = [
    "x-original-url",
    "x-rewrite-url",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
];

/// Returns whether only the gate may set a header: whether an upstream could read its name as `X-Portcullis-…`.
///
/// Upstreams in the tradition of CGI fold letter case and `-`, `_` and other characters into one. So any character that
/// is no letter or digit counts as `-` here. A door removes such headers and trailers of the client.
#[must_use]
pub fn is_identity_header(name: &str) -> bool {
    match name.as_bytes().get(..PREFIX.len()) {
        Some(start) => is_folded(start, PREFIX),
        None => false,
    }
}

fn is_override(name: &str) -> bool {
    let mut overrides = OVERRIDES.iter();
    overrides.any(|own| own.len() == name.len() && is_folded(name.as_bytes(), own.as_bytes()))
}

/// Returns whether an upstream could read `bytes` as `expected`, which has the same length.
fn is_folded(bytes: &[u8], expected: &[u8]) -> bool {
    bytes.iter().zip(expected).all(|(byte, expected)| {
        byte.eq_ignore_ascii_case(expected) || (*expected == b'-' && !byte.is_ascii_alphanumeric())
    })
}

/// Checks that `Connection` names no header that only the gate may set. Proxies behind the gate remove the headers that
/// it names: so a client could take the identity out of its own request.
pub(crate) fn check_connection(headers: &HeaderMap) -> Result<(), HeadProblem> {
    for value in headers.get_all(header::CONNECTION) {
        for name in value.as_bytes().split(|byte| *byte == b',') {
            let start = name.trim_ascii().get(..PREFIX.len());
            if start.is_some_and(|start| is_folded(start, PREFIX)) {
                return Err(HeadProblem::ConnectionHeader);
            }
        }
    }
    Ok(())
}

/// Removes the client's own statements about its identity, and headers that would replace the path or the method.
pub(crate) fn remove_foreign(
    headers: &HeaderMap,
    forward_overrides: bool,
    changes: &mut HeaderChanges,
) {
    for name in headers.keys() {
        let text = name.as_str();
        // The names of a map are in small letters.
        if !text.starts_with('x') {
            continue;
        }
        if is_identity_header(text) || (!forward_overrides && is_override(text)) {
            changes.remove.push(name.clone());
        }
    }
}

/// Sets the identity of `subject`, and nothing for a value that it does not have.
pub(crate) fn set_identity(subject: &Subject, changes: &mut HeaderChanges) {
    match subject {
        Subject::Anyone => {}
        Subject::Session(identity) => set_session(identity, changes),
        Subject::ApiKey(identity) => set_api_key(identity, changes),
    }
}

fn set_session(identity: &Identity, changes: &mut HeaderChanges) {
    let mut values = Values::new();
    values.add(TENANT, |text| text.push(identity.tenant_id.as_str()));
    values.add(USER, |text| text.push(identity.user_id.as_str()));
    values.add(SESSION, |text| text.write(identity.session_id));
    values.add(ACR, |text| text.push(&identity.acr));
    values.add(AMR, |text| text.push_list(&identity.amr));
    values.set(changes);
}

fn set_api_key(identity: &ApiKeyIdentity, changes: &mut HeaderChanges) {
    let mut values = Values::new();
    values.add(TENANT, |text| text.push(identity.tenant_id.as_str()));
    values.add(USER, |text| text.push(identity.owner_id.as_str()));
    values.add(API_KEY, |text| text.write(identity.api_key_id));
    values.add(SCOPES, |text| text.push_list(&identity.scopes));
    values.set(changes);
}

/// Values of headers, in one piece of memory.
struct Values {
    text: Text,
    /// The name of each, and the end of its value.
    ends: Vec<(HeaderName, usize)>,
}

impl Values {
    fn new() -> Self {
        Self {
            // A usual identity fits, so that one allocation holds all values.
            text: Text(BytesMut::with_capacity(192)),
            ends: Vec::with_capacity(5),
        }
    }

    fn add(&mut self, name: HeaderName, write: impl FnOnce(&mut Text)) {
        write(&mut self.text);
        self.ends.push((name, self.text.0.len()));
    }

    fn set(self, changes: &mut HeaderChanges) {
        let text: Bytes = self.text.0.freeze();
        // One more for the signed identity, and one for the cookies.
        changes.set.reserve(self.ends.len() + 2);
        let mut start = 0;
        for (name, end) in self.ends {
            let value = text.slice(start..end);
            start = end;
            // No header for no value: an upstream must not take an empty text for an id.
            if value.is_empty() {
                continue;
            }
            let value = HeaderValue::from_maybe_shared(value);
            changes
                .set
                .push((name, value.expect("visible ASCII and spaces")));
        }
    }
}

/// Text of header values. Ids are any text, and headers are ASCII: so a character that is not visible ASCII is
/// percent-encoded, and so are `%` itself, and `,`, at which some upstreams split values.
struct Text(BytesMut);

impl Text {
    fn push(&mut self, value: &str) {
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        for byte in value.bytes() {
            if byte.is_ascii_graphic() && byte != b'%' && byte != b',' {
                self.0.extend_from_slice(&[byte]);
            } else {
                let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
                self.0.extend_from_slice(&[b'%', HEX[high], HEX[low]]);
            }
        }
    }

    /// Writes the values with one space between two of them.
    fn push_list(&mut self, values: &[String]) {
        for (position, value) in values.iter().enumerate() {
            if position > 0 {
                self.0.extend_from_slice(b" ");
            }
            self.push(value);
        }
    }

    /// Writes an id of the authority, which is letters, digits and `_`.
    fn write(&mut self, id: impl std::fmt::Display) {
        // Memory is the only thing that could be missing, and then the process ends.
        let _ = write!(self.0, "{id}");
    }
}
