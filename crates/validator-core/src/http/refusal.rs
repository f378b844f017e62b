//! The answer to a request that is refused.

use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use portcullis_contract::rejection::Rejection;

/// The answer to a refused request, by RFC 6750: 401 for a dead or missing token, 503 for a gate that cannot know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    status: StatusCode,
    /// The code in the body's `error`.
    error: &'static str,
    /// The word in the body's `reason`.
    reason: &'static str,
    /// The header that tells the client its next step.
    hint: (HeaderName, HeaderValue),
}

impl Refusal {
    /// Returns the answer for a rejection.
    #[must_use]
    pub fn new(rejection: &Rejection) -> Self {
        let reason = rejection.reason();
        if rejection.is_unavailable() {
            return Self {
                status: StatusCode::SERVICE_UNAVAILABLE,
                error: "temporarily_unavailable",
                reason,
                hint: (header::RETRY_AFTER, HeaderValue::from_static("1")),
            };
        }
        let (error, challenge) = match rejection {
            // RFC 6750, section 3.1: no error code when there was no token.
            Rejection::Missing => ("missing_token", "Bearer"),
            _ => ("invalid_token", r#"Bearer error="invalid_token""#),
        };
        Self {
            status: StatusCode::UNAUTHORIZED,
            error,
            reason,
            hint: (
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static(challenge),
            ),
        }
    }

    /// The status: 401 or 503.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The code for clients: `error` of the body.
    #[must_use]
    pub fn error(&self) -> &'static str {
        self.error
    }

    /// The headers: the content type, `no-store`, and `WWW-Authenticate` or `Retry-After`.
    #[must_use]
    pub fn headers(&self) -> [(HeaderName, HeaderValue); 3] {
        [
            (
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            ),
            // A cached refusal would outlive its reason.
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            self.hint.clone(),
        ]
    }

    /// The body: `{"error": …, "reason": …}`.
    #[must_use]
    pub fn body(&self) -> String {
        format!(r#"{{"error":"{}","reason":"{}"}}"#, self.error, self.reason)
    }

    /// Returns the answer as a response.
    pub fn into_response<B: From<String>>(self) -> Response<B> {
        let mut response = Response::new(B::from(self.body()));
        *response.status_mut() = self.status;
        // `B` is the host's own body, so that every framework can use its type.
        response.headers_mut().extend(self.headers());
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(rejection: &Rejection) -> Response<String> {
        Refusal::new(rejection).into_response()
    }

    #[test]
    fn a_dead_token_is_401_and_a_gate_that_cannot_know_is_503() {
        for rejection in [Rejection::Revoked, Rejection::Unready] {
            let told = Refusal::new(&rejection).status();
            assert_eq!(told, refusal(&rejection).status());
        }
        for (rejection, error) in [
            (Rejection::Missing, "missing_token"),
            (Rejection::Revoked, "invalid_token"),
            (Rejection::Unready, "temporarily_unavailable"),
        ] {
            assert_eq!(Refusal::new(&rejection).error(), error);
        }
        let status = |rejection| refusal(&rejection).status();
        assert_eq!(status(Rejection::Revoked), StatusCode::UNAUTHORIZED);
        assert_eq!(status(Rejection::Missing), StatusCode::UNAUTHORIZED);
        assert_eq!(status(Rejection::Unready), StatusCode::SERVICE_UNAVAILABLE);
        let busy = refusal(&Rejection::Busy);
        assert_eq!(busy.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(busy.headers()[header::RETRY_AFTER], "1");
        let stale = refusal(&Rejection::Stale {
            age: std::time::Duration::from_secs(9),
        });
        assert_eq!(stale.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            stale.body(),
            r#"{"error":"temporarily_unavailable","reason":"stale"}"#
        );
    }
}
