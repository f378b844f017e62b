//! The authentication of clients (RFC 6749, section 2.3): the caller's name is the client's id, and its bearer string the
//! client's secret.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, header::AUTHORIZATION};
use percent_encoding::percent_decode_str;

use super::form::Form;
use crate::app::AppError;

/// The most bytes of a header with an id and a secret.
const HEADER_BYTES_MAX: usize = 4096;

/// A client as its request presents it.
pub(super) enum Client {
    /// A bearer string or an access token in the header.
    Bearer,
    /// An id and a secret in the header.
    Basic { id: String, secret: String },
    /// An id and a secret in the form.
    Post { id: String, secret: String },
    /// No secret. A public client may name itself.
    Public { id: Option<String> },
}

/// The scheme by which a client authenticated, which a refusal answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Bearer,
    Basic,
    None,
}

impl Scheme {
    /// The scheme of a request's header, whatever follows it.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let header = headers.get(AUTHORIZATION);
        let text = header.and_then(|value| value.to_str().ok());
        let scheme = text.unwrap_or_default().split(' ').next();
        match scheme.unwrap_or_default() {
            scheme if scheme.eq_ignore_ascii_case("bearer") => Self::Bearer,
            scheme if scheme.eq_ignore_ascii_case("basic") => Self::Basic,
            _ => Self::None,
        }
    }
}

impl Client {
    /// Reads how the client authenticates.
    ///
    /// # Errors
    /// When it uses two methods at once (RFC 6749, section 2.3), or the header is malformed.
    pub(super) fn read(headers: &HeaderMap, form: &Form) -> Result<Self, AppError> {
        let secret = form.get("client_secret");
        let id = form.get("client_id");
        if headers.contains_key(AUTHORIZATION) {
            if secret.is_some() {
                return Err(AppError::invalid(
                    "client_secret",
                    "must not be sent together with an authorization header",
                ));
            }
            return read_header(headers);
        }
        match (id, secret) {
            (Some(id), Some(secret)) => Ok(Self::Post {
                id: id.to_owned(),
                secret: secret.to_owned(),
            }),
            (None, Some(_)) => Err(AppError::invalid("client_id", "required")),
            (id, None) => Ok(Self::Public {
                id: id.map(str::to_owned),
            }),
        }
    }
}

fn read_header(headers: &HeaderMap) -> Result<Client, AppError> {
    if Scheme::of(headers) != Scheme::Basic {
        // Everything else is for the reader of bearers, which refuses what it does not know.
        return Ok(Client::Bearer);
    }
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().and_then(|value| value.to_str().ok());
    // Two headers are refused: a proxy in between could have looked at the other one.
    let is_only_one = values.next().is_none();
    value
        .filter(|_| is_only_one)
        .and_then(parse_basic)
        .map(|(id, secret)| Client::Basic { id, secret })
        .ok_or(AppError::CredentialsInvalid)
}

/// Reads the id and the secret of a header of the scheme `Basic`.
fn parse_basic(text: &str) -> Option<(String, String)> {
    let (_, encoded) = text.split_once(' ')?;
    let encoded = encoded.trim_start_matches(' ');
    if encoded.len() > HEADER_BYTES_MAX {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some((decode(id)?, decode(secret)?))
}

/// Decodes a part as a form encodes it, which RFC 6749 asks for before the base64.
fn decode(part: &str) -> Option<String> {
    let spaced = part.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let named = |value: &&str| (AUTHORIZATION, value.parse().expect("a header"));
        values.iter().map(named).collect()
    }

    fn form(body: &str) -> Form {
        let kind = (
            http::header::CONTENT_TYPE,
            "application/x-www-form-urlencoded"
                .parse()
                .expect("a header"),
        );
        Form::read(&HeaderMap::from_iter([kind]), body.as_bytes()).expect("a form")
    }

    fn basic(pair: &str) -> String {
        format!("Basic {}", STANDARD.encode(pair))
    }

    #[test]
    fn a_header_of_basic_is_decoded_as_a_form() {
        let header = basic("my%3Agate+1:s%2Bcret");
        let read = Client::read(&headers(&[&header]), &form("token=t")).expect("a client");
        let Client::Basic { id, secret } = read else {
            panic!("not basic");
        };
        assert_eq!((id.as_str(), secret.as_str()), ("my:gate 1", "s+cret"));
    }

    #[test]
    fn a_malformed_header_and_two_methods_are_refused() {
        for header in ["Basic", "Basic !", &basic("no-colon"), &basic("a:%ff")] {
            let read = Client::read(&headers(&[header]), &form(""));
            assert_eq!(read.err(), Some(AppError::CredentialsInvalid), "{header}");
        }
        let pair = basic("a:b");
        let read = Client::read(&headers(&[&pair, &pair]), &form(""));
        assert_eq!(read.err(), Some(AppError::CredentialsInvalid));

        let post = form("client_id=a&client_secret=b");
        let read = Client::read(&headers(&[&pair]), &post);
        assert!(matches!(read.err(), Some(AppError::Invalid(_))));
        assert!(Client::read(&headers(&[]), &form("client_secret=b")).is_err());
        assert!(matches!(
            Client::read(&headers(&[]), &post),
            Ok(Client::Post { .. })
        ));
        assert!(matches!(
            Client::read(&headers(&[]), &form("client_id=a")),
            Ok(Client::Public { id: Some(_) })
        ));
        // The reader of bearers refuses it.
        assert!(matches!(
            Client::read(&headers(&["Digest x"]), &form("")),
            Ok(Client::Bearer)
        ));
    }
}
