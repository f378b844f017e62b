//! Checks that a gateway sends wrongly.

use http::{HeaderValue, StatusCode, header};
use portcullis_gate::Deny;

/// A check that does not describe a request. It is refused, because nothing tells which rule it is about.
///
/// `docs/reference/errors.md` lists the reasons; a test compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidCheck {
    #[error("no_attributes")]
    NoAttributes,
    #[error("no_method")]
    NoMethod,
    #[error("no_target")]
    NoTarget,
    #[error("no_host")]
    NoHost,
    #[error("ambiguous_request")]
    Ambiguous,
    #[error("malformed_header")]
    MalformedHeader,
    #[error("headers_too_large")]
    HeadersTooLarge,
}

impl InvalidCheck {
    /// Returns the answer.
    pub(crate) fn deny(self) -> Deny {
        let status = match self {
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        };
        json_refusal(status, "invalid_request", &self.to_string())
    }
}

/// Returns the refusal of a door that failed. The decision is not known, so nobody is let in.
pub(crate) fn failed() -> Deny {
    let mut deny = json_refusal(
        StatusCode::SERVICE_UNAVAILABLE,
        "temporarily_unavailable",
        "failed",
    );
    deny.headers
        .push((header::RETRY_AFTER, HeaderValue::from_static("1")));
    deny
}

fn json_refusal(status: StatusCode, error: &str, reason: &str) -> Deny {
    Deny {
        status,
        headers: vec![
            (
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            ),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ],
        body: format!(r#"{{"error":"{error}","reason":"{reason}"}}"#),
    }
}
