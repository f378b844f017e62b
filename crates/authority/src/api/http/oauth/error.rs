//! The errors of OAuth: an `AppError` becomes a status, a JSON object (RFC 6749, section 5.2) and the headers that the
//! RFCs ask for. Nothing else makes one.

use axum::{
    Json,
    body::Body,
    response::{IntoResponse, Response},
};
use http::{
    HeaderValue, StatusCode,
    header::{CACHE_CONTROL, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde_json::json;

use super::client::Scheme;
use crate::{api::grpc::status::message, app::AppError};

/// The errors that the endpoints answer, by the names of RFC 6749 and RFC 6750.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    InvalidRequest,
    InvalidClient,
    InvalidToken,
    InsufficientScope,
    UnauthorizedClient,
    /// A bound or a rate refused the call.
    Busy,
    /// The call may be repeated.
    Unavailable,
    ServerError,
}

impl Kind {
    fn of(error: &AppError, scheme: Scheme) -> Self {
        match error {
            AppError::CredentialsMissing | AppError::CredentialsInvalid => match scheme {
                Scheme::Bearer => Self::InvalidToken,
                Scheme::Basic | Scheme::None => Self::InvalidClient,
            },
            AppError::Denied => match scheme {
                Scheme::Bearer => Self::InsufficientScope,
                Scheme::Basic | Scheme::None => Self::UnauthorizedClient,
            },
            AppError::Overloaded | AppError::RateLimited(..) | AppError::QuotaExceeded(_) => {
                Self::Busy
            }
            AppError::Unavailable | AppError::Deadline | AppError::SearchTooSlow => {
                Self::Unavailable
            }
            AppError::Internal => Self::ServerError,
            _ => Self::InvalidRequest,
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest | Self::UnauthorizedClient => StatusCode::BAD_REQUEST,
            Self::InvalidClient | Self::InvalidToken => StatusCode::UNAUTHORIZED,
            Self::InsufficientScope => StatusCode::FORBIDDEN,
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
            Self::UnauthorizedClient => "unauthorized_client",
            // RFC 6749 has this name and the next for redirects only (section 4.1.2.1), and none
            // for such errors here.
            Self::Busy | Self::Unavailable => "temporarily_unavailable",
            Self::ServerError => "server_error",
        }
    }
}

/// Renders an error for a client that authenticated by this scheme.
pub(super) fn refuse(error: &AppError, scheme: Scheme) -> Response {
    let kind = Kind::of(error, scheme);
    let retry = retry_seconds(error);
    let is_missing = *error == AppError::CredentialsMissing;
    let mut response = render(kind, error);
    let headers = response.headers_mut();
    for challenge in challenges(kind, scheme, is_missing) {
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    if let Some(seconds) = retry {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Renders an error of an endpoint without callers.
pub(in crate::api::http) fn refuse_uncached(error: &AppError) -> Response {
    refuse(error, Scheme::None)
}

fn render(kind: Kind, error: &AppError) -> Response {
    let body = json!({ "error": kind.name(), "error_description": message(error) });
    no_store((kind.status(), Json(body)).into_response())
}

/// Forbids every cache to keep an answer (RFC 6749, section 5.1).
pub(in crate::api::http) fn no_store(mut response: Response<Body>) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // For caches of HTTP/1.0.
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// The challenges of an error. RFC 6749 asks for that of the scheme that the client used, RFC 6750 for one of `Bearer`.
fn challenges(kind: Kind, scheme: Scheme, is_missing: bool) -> &'static [&'static str] {
    const BASIC: &str = r#"Basic realm="portcullis", charset="UTF-8""#;
    const BEARER: &str = r#"Bearer realm="portcullis""#;
    const INVALID: &str = r#"Bearer realm="portcullis", error="invalid_token""#;
    const SCOPE: &str = r#"Bearer realm="portcullis", error="insufficient_scope""#;
    match (kind, scheme) {
        (Kind::InvalidToken, _) => &[INVALID],
        (Kind::InsufficientScope, _) => &[SCOPE],
        // A client that did not try a scheme learns of both.
        (Kind::InvalidClient, Scheme::None) if is_missing => &[BASIC, BEARER],
        (Kind::InvalidClient, _) => &[BASIC],
        _ => &[],
    }
}

/// The seconds after which a refused call may be repeated.
fn retry_seconds(error: &AppError) -> Option<u64> {
    match error {
        AppError::RateLimited(_, delay) => Some(delay.as_secs().max(1)),
        AppError::Overloaded | AppError::Unavailable | AppError::Deadline => Some(1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn header(response: &Response, name: http::HeaderName) -> Vec<&str> {
        let values = response.headers().get_all(name).iter();
        values.map(|value| value.to_str().expect("text")).collect()
    }

    #[test]
    fn an_error_has_the_status_and_the_challenge_of_its_scheme() {
        use Scheme::{Basic, Bearer, None};
        let cases = [
            (AppError::CredentialsMissing, None, 401, 2),
            (AppError::CredentialsInvalid, None, 401, 1),
            (AppError::CredentialsInvalid, Basic, 401, 1),
            (AppError::CredentialsInvalid, Bearer, 401, 1),
            (AppError::Denied, Basic, 400, 0),
            (AppError::Denied, Bearer, 403, 1),
            (AppError::invalid("token", "required"), Basic, 400, 0),
            (AppError::Overloaded, Basic, 429, 0),
            (AppError::Unavailable, Basic, 503, 0),
            (AppError::Internal, Basic, 500, 0),
        ];
        for (error, scheme, status, challenges) in cases {
            let response = refuse(&error, scheme);
            assert_eq!(response.status().as_u16(), status, "{error:?} {scheme:?}");
            let sent = header(&response, WWW_AUTHENTICATE);
            assert_eq!(sent.len(), challenges, "{error:?} {scheme:?} {sent:?}");
            assert_eq!(header(&response, CACHE_CONTROL), ["no-store"]);
        }
        let limited = AppError::RateLimited("user_changes", Duration::from_secs(7));
        assert_eq!(header(&refuse(&limited, Basic), RETRY_AFTER), ["7"]);
    }
}
