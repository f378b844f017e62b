//! The answers to requests that do not go on, by RFC 6750 and RFC 9470.

use http::{HeaderName, HeaderValue, StatusCode, header};
use portcullis_contract::rejection::Rejection;
use portcullis_validator_core::http::Refusal;

use crate::{
    decision::Deny,
    refused::{HeadProblem, Refused, UnmetDemand},
    rules::Demands,
};

/// The status that a refusal has for the client, when it travels as another one. See [`Deny::for_auth_request`].
pub const STATUS_HEADER: HeaderName = HeaderName::from_static("x-portcullis-status");
/// The `error` of the body, where the body does not travel.
pub const ERROR_HEADER: HeaderName = HeaderName::from_static("x-portcullis-error");
/// The `reason` of the body, where the body does not travel.
pub const REASON_HEADER: HeaderName = HeaderName::from_static("x-portcullis-reason");

impl Deny {
    /// Returns the answer of a door for a request that never reaches the gate: unreadable, or the door failed.
    #[must_use]
    pub fn new(refused: &Refused) -> Self {
        let reason = refused.reason();
        match refused {
            Refused::Credential(rejection) => refuse_credential(rejection),
            Refused::Head(HeadProblem::TooLarge) => plain(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "invalid_request",
                reason,
            ),
            Refused::Head(_) | Refused::Path(_) => {
                plain(StatusCode::BAD_REQUEST, "invalid_request", reason)
            }
            // Not 401: the credential is good, and a client would throw it away.
            Refused::Demand(_) => plain(StatusCode::FORBIDDEN, "access_denied", reason),
            // Not 500: the request is not at fault, and may succeed at once with another gate.
            Refused::Failed => answer(
                StatusCode::SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                reason,
                "",
                vec![(header::RETRY_AFTER, HeaderValue::from_static("1"))],
            ),
        }
    }

    /// Returns the answer to a credential that does not meet the demands of a rule.
    pub(crate) fn unmet(demand: UnmetDemand, demands: &Demands) -> Self {
        let reason = Refused::Demand(demand).reason();
        if demand.is_step_up() {
            return step_up(reason, demands);
        }
        if demand == UnmetDemand::Scope {
            // RFC 6750, section 3: the challenge tells the client what to ask for.
            let scope = demands.scopes.join(" ");
            let challenge = format!(r#"Bearer error="insufficient_scope", scope="{scope}""#);
            return answer(
                StatusCode::FORBIDDEN,
                "insufficient_scope",
                reason,
                &format!(r#","scope":"{scope}""#),
                vec![(header::WWW_AUTHENTICATE, challenge_value(&challenge))],
            );
        }
        Self::new(&Refused::Demand(demand))
    }

    /// Returns the redirect of a browser to `location`.
    pub(crate) fn redirect(location: &str, refused: &Refused) -> Option<Self> {
        let location = HeaderValue::from_str(location).ok()?;
        Some(answer(
            StatusCode::FOUND,
            "sign_in_required",
            refused.reason(),
            "",
            vec![(header::LOCATION, location)],
        ))
    }

    /// Returns the same answer for NGINX's `auth_request`, which knows 401 and 403 only: any other status becomes a 500
    /// there, without its headers.
    ///
    /// A 401 stays one. Any other answer travels as 403, so that no client takes its token for dead. The status that the
    /// client shall see is in `X-Portcullis-Status`, of all answers; `error` and `reason` of the body, which does not
    /// travel, are in `X-Portcullis-Error` and `X-Portcullis-Reason`. `Location` and `Retry-After` stay as they are. The
    /// configuration of the gateway makes the answer of them.
    #[must_use]
    pub fn for_auth_request(mut self) -> Self {
        let status = HeaderValue::from(self.status.as_u16());
        self.headers.push((STATUS_HEADER, status));
        self.headers
            .push((ERROR_HEADER, HeaderValue::from_static(self.error)));
        self.headers
            .push((REASON_HEADER, HeaderValue::from_static(self.reason)));
        if self.status != StatusCode::UNAUTHORIZED {
            self.status = StatusCode::FORBIDDEN;
        }
        self
    }

    /// Returns the answer as a response.
    pub fn into_response<B: From<String>>(self) -> http::Response<B> {
        let mut response = http::Response::new(B::from(self.body));
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers);
        response
    }
}

fn refuse_credential(rejection: &Rejection) -> Deny {
    let refusal = Refusal::new(rejection);
    let mut headers = refusal.headers().to_vec();
    // `answer` sets these two itself.
    headers.retain(|(name, _)| *name != header::CONTENT_TYPE && *name != header::CACHE_CONTROL);
    answer(
        refusal.status(),
        refusal.error(),
        rejection.reason(),
        "",
        headers,
    )
}

/// RFC 9470: the credential is good, and the user has to authenticate again, in another way or just now.
fn step_up(reason: &'static str, demands: &Demands) -> Deny {
    const ERROR: &str = "insufficient_user_authentication";
    let mut challenge = format!(r#"Bearer error="{ERROR}""#);
    let mut members = String::new();
    for (name, value) in step_up_parameters(demands) {
        challenge.push_str(&format!(r#", {name}="{value}""#));
        let member = match name {
            // A number in the body. In a challenge every value is quoted.
            "max_age" => format!(r#","{name}":{value}"#),
            _ => format!(r#","{name}":"{value}""#),
        };
        members.push_str(&member);
    }
    // RFC 9470 has no parameter for methods, so the body alone names them.
    if !demands.amr.is_empty() {
        members.push_str(&format!(r#","amr":"{}""#, demands.amr.join(" ")));
    }
    answer(
        StatusCode::UNAUTHORIZED,
        ERROR,
        reason,
        &members,
        vec![(header::WWW_AUTHENTICATE, challenge_value(&challenge))],
    )
}

/// Returns all demands of the rule at once, so that one new authentication meets them.
pub(crate) fn step_up_parameters(demands: &Demands) -> Vec<(&'static str, String)> {
    let mut parameters = Vec::new();
    if !demands.acr.is_empty() {
        parameters.push(("acr_values", demands.acr.join(" ")));
    }
    if let Some(seconds) = demands.max_age_seconds {
        parameters.push(("max_age", seconds.to_string()));
    }
    parameters
}

fn challenge_value(challenge: &str) -> HeaderValue {
    // The words in it were checked when the rules were compiled.
    HeaderValue::from_str(challenge).unwrap_or(HeaderValue::from_static("Bearer"))
}

/// Makes an answer of which there is nothing more to say.
fn plain(status: StatusCode, error: &'static str, reason: &'static str) -> Deny {
    answer(status, error, reason, "", Vec::new())
}

/// Makes an answer. `members` are further members of the body's object, as JSON.
fn answer(
    status: StatusCode,
    error: &'static str,
    reason: &'static str,
    members: &str,
    hints: Vec<(HeaderName, HeaderValue)>,
) -> Deny {
    let mut headers = vec![
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ),
        // A cached refusal would outlive its reason.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    headers.extend(hints);
    Deny {
        status,
        headers,
        body: format!(r#"{{"error":"{error}","reason":"{reason}"{members}}}"#),
        error,
        reason,
    }
}
