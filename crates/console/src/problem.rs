//! Problems: the errors that become pages.
//!
//! A handler returns a [`Problem`]. It becomes an answer with its status, and [`problem_page`](crate::problem_page) writes
//! the page, because only the middleware knows the reader.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header::LOCATION};
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// The most fields that a page names.
const FIELDS_MAX: usize = 8;

/// The kind of a problem: its status and its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The session is missing, expired or not accepted.
    SignIn,
    /// The policy asks for a recent sign-in.
    SignInRecently,
    /// The session has ended.
    Ended,
    /// The person may not do this.
    Denied,
    /// The tenant's policy does not allow this.
    Forbidden,
    /// The request comes from another site.
    ForeignForm,
    /// The form is from another session, or too old.
    OutdatedForm,
    NotFound,
    Method,
    Invalid,
    TooLarge,
    /// Somebody else has changed it meanwhile.
    Conflict,
    /// A list has moved on: its page token is of another list or day.
    OldPage,
    LastAdministrator,
    OwnAccount,
    TooMany,
    TooSlow,
    Away,
    Internal,
}

impl Kind {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::SignIn | Self::Ended => StatusCode::UNAUTHORIZED,
            Self::SignInRecently | Self::Denied | Self::Forbidden | Self::ForeignForm => {
                StatusCode::FORBIDDEN
            }
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Invalid | Self::OldPage => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::OutdatedForm | Self::Conflict | Self::LastAdministrator | Self::OwnAccount => {
                StatusCode::CONFLICT
            }
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::TooSlow | Self::Away => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The ids of the title, and of the remedy.
    pub(crate) fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::SignIn => ("frame-problem-sign-in", "frame-problem-sign-in-advice"),
            Self::SignInRecently => ("frame-problem-recent", "frame-problem-recent-advice"),
            Self::Ended => ("frame-problem-ended", "frame-problem-ended-advice"),
            Self::Denied => ("frame-problem-denied", "frame-problem-denied-advice"),
            Self::Forbidden => ("frame-problem-forbidden", "frame-problem-forbidden-advice"),
            Self::ForeignForm => ("frame-problem-foreign", "frame-problem-foreign-advice"),
            Self::OutdatedForm => ("frame-problem-outdated", "frame-problem-outdated-advice"),
            Self::NotFound => ("frame-problem-not-found", "frame-problem-not-found-advice"),
            Self::Method => ("frame-problem-method", "frame-problem-method-advice"),
            Self::Invalid => ("frame-problem-invalid", "frame-problem-invalid-advice"),
            Self::TooLarge => ("frame-problem-too-large", "frame-problem-too-large-advice"),
            Self::Conflict => ("frame-problem-conflict", "frame-problem-conflict-advice"),
            Self::OldPage => ("frame-problem-old-page", "frame-problem-old-page-advice"),
            Self::LastAdministrator => (
                "frame-problem-last-administrator",
                "frame-problem-last-administrator-advice",
            ),
            Self::OwnAccount => (
                "frame-problem-own-account",
                "frame-problem-own-account-advice",
            ),
            Self::TooMany => ("frame-problem-too-many", "frame-problem-too-many-advice"),
            Self::TooSlow => ("frame-problem-too-slow", "frame-problem-too-slow-advice"),
            Self::Away => ("frame-problem-away", "frame-problem-away-advice"),
            Self::Internal => ("frame-problem-internal", "frame-problem-internal-advice"),
        }
    }

    /// The kind of an answer that the router gave by itself.
    pub(crate) fn of_status(status: StatusCode) -> Option<Self> {
        match status {
            StatusCode::NOT_FOUND => Some(Self::NotFound),
            StatusCode::METHOD_NOT_ALLOWED => Some(Self::Method),
            StatusCode::PAYLOAD_TOO_LARGE => Some(Self::TooLarge),
            // The timeout of a whole page answers with 503. For the reader that is an authority
            // that is away.
            StatusCode::REQUEST_TIMEOUT | StatusCode::SERVICE_UNAVAILABLE => Some(Self::Away),
            // Extractors answer so, in English and in the words of the code. The page replaces
            // their text.
            status if status.is_client_error() => Some(Self::Invalid),
            status if status.is_server_error() => Some(Self::Internal),
            _ => None,
        }
    }
}

/// An error that becomes a page.
#[derive(Clone, Debug)]
// Boxed: it is the error of every handler's result, and most handlers return no error.
pub(crate) struct Problem(Box<Content>);

/// The answer that a problem becomes.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// Another page is the answer.
    SeeOther(String),
    Page {
        kind: Kind,
        /// Fields with their rules, in the words of the authority.
        fields: Vec<String>,
    },
}

impl Problem {
    pub(crate) fn of(kind: Kind) -> Self {
        let fields = Vec::new();
        Self(Box::new(Content::Page { kind, fields }))
    }

    /// The answer that it becomes.
    pub(crate) fn into_content(self) -> Content {
        *self.0
    }

    /// Leads to another page.
    pub(crate) fn see_other(location: String) -> Self {
        Self(Box::new(Content::SeeOther(location)))
    }

    /// There is no good session. Nothing was done.
    pub(crate) fn sign_in_again() -> Self {
        Self::of(Kind::SignIn)
    }

    /// The session has ended. Nothing was done.
    pub(crate) fn session_ended() -> Self {
        Self::of(Kind::Ended)
    }

    /// The person may not do this.
    pub(crate) fn denied() -> Self {
        Self::of(Kind::Denied)
    }

    /// There is no such thing, or not for this person.
    pub(crate) fn not_found() -> Self {
        Self::of(Kind::NotFound)
    }

    /// A field or an address has no meaning.
    pub(crate) fn invalid() -> Self {
        Self::of(Kind::Invalid)
    }

    /// The authority cannot be reached.
    pub(crate) fn away() -> Self {
        Self::of(Kind::Away)
    }

    /// Whether the authority cannot be reached.
    pub(crate) fn is_away(&self) -> bool {
        matches!(
            *self.0,
            Content::Page {
                kind: Kind::Away,
                ..
            }
        )
    }

    /// Too many of these at a time.
    pub(crate) fn too_many() -> Self {
        Self::of(Kind::TooMany)
    }

    /// A defect.
    pub(crate) fn internal() -> Self {
        Self::of(Kind::Internal)
    }

    pub(crate) fn too_large() -> Self {
        Self::of(Kind::TooLarge)
    }

    pub(crate) fn outdated_form() -> Self {
        Self::of(Kind::OutdatedForm)
    }

    pub(crate) fn foreign_form() -> Self {
        Self::of(Kind::ForeignForm)
    }
}

impl From<Status> for Problem {
    fn from(status: Status) -> Self {
        let reason = status.get_details_error_info().map(|info| info.reason);
        let fields = violations(&status);
        let kind = kind_of(status.code(), reason.as_deref());
        if kind == Kind::Internal {
            // Without the message, which may repeat a value that the person entered.
            tracing::error!(code = ?status.code(), reason, "a call to the authority failed");
        }
        Self(Box::new(Content::Page { kind, fields }))
    }
}

/// The rules that the authority names, with their fields.
fn violations(status: &Status) -> Vec<String> {
    let Some(request) = status.get_details_bad_request() else {
        return Vec::new();
    };
    let violations = request.field_violations.into_iter().take(FIELDS_MAX);
    violations
        .map(|violation| format!("{}: {}", violation.field, violation.description))
        .collect()
}

fn kind_of(code: Code, reason: Option<&str>) -> Kind {
    // The reason first, because several of them share a code.
    match reason {
        Some("SESSION_ENDED") => return Kind::Ended,
        Some("REAUTHENTICATION_REQUIRED") => return Kind::SignInRecently,
        Some("POLICY_FORBIDS") => return Kind::Forbidden,
        Some("PAGE_TOKEN_INVALID") => return Kind::OldPage,
        Some("LAST_ADMINISTRATOR") => return Kind::LastAdministrator,
        Some("OWN_ACCOUNT") => return Kind::OwnAccount,
        Some("SEARCH_TOO_SLOW") => return Kind::TooSlow,
        _ => {}
    }
    match code {
        Code::Unauthenticated => Kind::SignIn,
        Code::PermissionDenied => Kind::Denied,
        Code::NotFound => Kind::NotFound,
        Code::InvalidArgument | Code::OutOfRange => Kind::Invalid,
        Code::FailedPrecondition | Code::AlreadyExists | Code::Aborted => Kind::Conflict,
        Code::ResourceExhausted => Kind::TooMany,
        // One kind for the reader: the call has no answer, and nobody knows whether it was carried
        // out.
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Kind::Away,
        _ => Kind::Internal,
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // The status that is left if a location cannot stand in a header. All of ours can, because
        // their parts are encoded.
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        match &*self.0 {
            Content::SeeOther(location) => {
                if let Ok(location) = HeaderValue::from_str(location) {
                    *response.status_mut() = StatusCode::SEE_OTHER;
                    response.headers_mut().insert(LOCATION, location);
                }
            }
            Content::Page { kind, .. } => {
                *response.status_mut() = kind.status();
                response.extensions_mut().insert(self);
            }
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_of_the_authority_has_a_page_of_its_kind() {
        for (code, reason, expected) in [
            (Code::Unauthenticated, "CREDENTIALS_INVALID", 401),
            (Code::FailedPrecondition, "SESSION_ENDED", 401),
            (Code::FailedPrecondition, "REAUTHENTICATION_REQUIRED", 403),
            (Code::PermissionDenied, "PERMISSION_DENIED", 403),
            (Code::FailedPrecondition, "POLICY_FORBIDS", 403),
            (Code::NotFound, "SESSION_NOT_FOUND", 404),
            (Code::FailedPrecondition, "ETAG_MISMATCH", 409),
            (Code::FailedPrecondition, "LAST_ADMINISTRATOR", 409),
            (Code::FailedPrecondition, "OWN_ACCOUNT", 409),
            (Code::InvalidArgument, "INVALID_FIELD", 400),
            (Code::InvalidArgument, "PAGE_TOKEN_INVALID", 400),
            (Code::ResourceExhausted, "RATE_LIMITED", 429),
            (Code::ResourceExhausted, "OVERLOADED", 429),
            (Code::Unavailable, "UNAVAILABLE", 503),
            (Code::DeadlineExceeded, "SEARCH_TOO_SLOW", 503),
            (Code::DeadlineExceeded, "DEADLINE_EXCEEDED", 503),
            (Code::Internal, "INTERNAL", 500),
        ] {
            assert_eq!(kind_of(code, Some(reason)).status(), expected, "{reason}");
        }
        assert_eq!(kind_of(Code::Unavailable, None), Kind::Away);
    }
}
