//! Refusals as clients of gRPC understand them.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use portcullis_gate::Deny;
use portcullis_validator_core::Rejection;

use crate::cut::SessionEnded;

const GRPC: &str = "application/grpc";
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// The codes of gRPC that a gate answers with.
#[derive(Clone, Copy)]
enum Code {
    Unknown = 2,
    InvalidArgument = 3,
    PermissionDenied = 7,
    Unavailable = 14,
    Unauthenticated = 16,
}

/// Returns whether the headers are those of a gRPC call. gRPC-Web is not: its clients read the HTTP status.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return false;
    };
    match value.as_bytes().strip_prefix(GRPC.as_bytes()) {
        // `application/grpc+proto`, `application/grpc; …`
        Some(rest) => matches!(rest.first(), None | Some(b'+' | b';')),
        None => false,
    }
}

/// Turns a refusal into an answer that has trailers only: the status is in the headers, and there is no body.
pub(crate) fn headers_of(deny: Deny) -> HeaderMap {
    let code = match deny.status {
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        // All that is left of 4xx is about the request itself: a path or a head that the rules
        // cannot read in one way.
        status if status.is_client_error() => Code::InvalidArgument,
        _ => Code::Unknown,
    };
    let mut headers: HeaderMap = deny.headers.into_iter().collect();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(GRPC));
    set_status(&mut headers, code, deny.reason);
    headers
}

/// Sets the trailers of a call whose session has ended.
pub(crate) fn set_ended(trailers: &mut HeaderMap, ended: &SessionEnded) {
    set_status(trailers, code_of(&ended.0), &ended.to_string());
}

fn code_of(rejection: &Rejection) -> Code {
    if rejection.is_unavailable() {
        Code::Unavailable
    } else {
        Code::Unauthenticated
    }
}

fn set_status(headers: &mut HeaderMap, code: Code, message: &str) {
    headers.insert(GRPC_STATUS, HeaderValue::from(code as u16));
    // The message is a word or two of our own. One that a header cannot hold is left out; the code says enough.
    if let Ok(message) = HeaderValue::from_str(message) {
        headers.insert(GRPC_MESSAGE, message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_of_grpc_is_known_by_its_content_type() {
        for (content_type, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;x=y", true),
            ("application/grpc-web", false),
            ("application/grpc-web+proto", false),
            ("application/json", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            let value = HeaderValue::from_static(content_type);
            headers.insert(header::CONTENT_TYPE, value);
            assert_eq!(is_grpc(&headers), expected, "{content_type}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }

    #[test]
    fn each_status_has_its_code() {
        for (status, code) in [(401, "16"), (403, "7"), (503, "14"), (400, "3"), (302, "2")] {
            let deny = Deny {
                status: StatusCode::from_u16(status).expect("a status"),
                headers: vec![(header::RETRY_AFTER, HeaderValue::from_static("1"))],
                body: "{}".to_owned(),
                error: "error",
                reason: "the_reason",
            };
            let headers = headers_of(deny);
            assert_eq!(headers[GRPC_STATUS], code, "{status}");
            assert_eq!(headers[GRPC_MESSAGE], "the_reason");
            assert_eq!(headers[header::CONTENT_TYPE], GRPC);
            assert_eq!(headers[header::RETRY_AFTER], "1");
        }
    }
}
