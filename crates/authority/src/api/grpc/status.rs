//! The one map from what can go wrong to what the wire says. Nothing else here makes a `Status`.

use std::{collections::HashMap, time::Duration};

use portcullis_contract::v1::ErrorReason;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::{
    domain::EntryError,
    limits::Exceeded,
    log::LogError,
    store::{OpenError, StoreError},
};

/// The domain of `ErrorInfo`.
pub(crate) const ERROR_DOMAIN: &str = "portcullis.v1";

/// When a shed or unavailable call may come back.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Why a call fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ServiceError {
    CredentialsMissing,
    CredentialsInvalid,
    Denied,
    Invalid(Vec<Violation>),
    PageToken,
    SessionNotFound,
    UserNotFound,
    KeyNotFound,
    ApiKeyNotFound,
    ServiceNotFound,
    UserDisabled,
    SessionEnded,
    RefreshTokenInvalid,
    RefreshTokenReused,
    RequestIdReused,
    KeyInUse,
    EtagMismatch,
    /// The policy's rule that forbids it.
    PolicyForbids(&'static str),
    SessionLimit,
    ReauthenticationRequired,
    WaitEnforced,
    ForceRequired,
    /// So many API keys would end.
    ApiKeysWouldEnd(u64),
    Overloaded,
    /// The limit, and when to come back.
    RateLimited(&'static str, Duration),
    /// The limit.
    QuotaExceeded(&'static str),
    SearchTooSlow,
    Deadline,
    Unavailable,
    Internal,
    Watch(&'static str),
    WatchCorrupted,
    WatchRevisionAhead,
}

/// A field that is not as it must be. The description never repeats the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) field: String,
    pub(crate) problem: String,
}

impl ServiceError {
    pub(crate) fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation {
            field: field.into(),
            problem: problem.into(),
        }])
    }

    #[expect(clippy::too_many_lines, reason = "a table, one case a row")]
    fn parts(&self) -> (Code, ErrorReason, &'static str) {
        use ErrorReason as Reason;
        match self {
            Self::CredentialsMissing => (
                Code::Unauthenticated,
                Reason::CredentialsMissing,
                "credentials are missing",
            ),
            Self::CredentialsInvalid => (
                Code::Unauthenticated,
                Reason::CredentialsInvalid,
                "credentials are invalid",
            ),
            Self::Denied => (
                Code::PermissionDenied,
                Reason::PermissionDenied,
                "the caller may not do this",
            ),
            Self::Invalid(_) => (
                Code::InvalidArgument,
                Reason::InvalidField,
                "a field is invalid",
            ),
            Self::PageToken => (
                Code::InvalidArgument,
                Reason::PageTokenInvalid,
                "the page token is not of this list",
            ),
            Self::SessionNotFound => (Code::NotFound, Reason::SessionNotFound, "no such session"),
            Self::UserNotFound => (Code::NotFound, Reason::UserNotFound, "no such user"),
            Self::KeyNotFound => (Code::NotFound, Reason::KeyNotFound, "no such signing key"),
            Self::ServiceNotFound => (Code::NotFound, Reason::ServiceNotFound, "no such service"),
            Self::ApiKeyNotFound => (Code::NotFound, Reason::ApiKeyNotFound, "no such API key"),
            Self::UserDisabled => (
                Code::FailedPrecondition,
                Reason::UserDisabled,
                "the user is disabled",
            ),
            Self::SessionEnded => (
                Code::FailedPrecondition,
                Reason::SessionEnded,
                "the session has ended",
            ),
            Self::RefreshTokenInvalid => (
                Code::Unauthenticated,
                Reason::RefreshTokenInvalid,
                "the refresh token is invalid",
            ),
            Self::RefreshTokenReused => (
                Code::Unauthenticated,
                Reason::RefreshTokenReused,
                "the refresh token was used before",
            ),
            Self::RequestIdReused => (
                Code::AlreadyExists,
                Reason::RequestIdReused,
                "the request id was used with other arguments",
            ),
            Self::KeyInUse => (
                Code::FailedPrecondition,
                Reason::KeyInUse,
                "the key is the one that signs: rotate first, or retire it with emergency",
            ),
            Self::EtagMismatch => (
                Code::FailedPrecondition,
                Reason::EtagMismatch,
                "the policy was changed meanwhile",
            ),
            Self::PolicyForbids(_) => (
                Code::FailedPrecondition,
                Reason::PolicyForbids,
                "the tenant's policy does not allow this",
            ),
            Self::SessionLimit => (
                Code::FailedPrecondition,
                Reason::SessionLimit,
                "the user has as many sessions as allowed",
            ),
            Self::ReauthenticationRequired => (
                Code::FailedPrecondition,
                Reason::ReauthenticationRequired,
                "the user has to authenticate again",
            ),
            Self::WaitEnforced => (
                Code::Unimplemented,
                Reason::WaitEnforcedUnimplemented,
                "WAIT_ENFORCED is not served",
            ),
            Self::ApiKeysWouldEnd(_) => (
                Code::FailedPrecondition,
                Reason::ForceRequired,
                "API keys would end with the key: force must be true",
            ),
            Self::ForceRequired => (
                Code::FailedPrecondition,
                Reason::ForceRequired,
                "force must be true",
            ),
            Self::Overloaded => (
                Code::ResourceExhausted,
                Reason::Overloaded,
                "overloaded: retry after 1 s",
            ),
            Self::SearchTooSlow => (
                Code::DeadlineExceeded,
                Reason::SearchTooSlow,
                "the search took too long: narrow it by a user, a time, a country or a longer name",
            ),
            Self::RateLimited(..) => (
                Code::ResourceExhausted,
                Reason::RateLimited,
                "too many changes: retry later",
            ),
            Self::QuotaExceeded(_) => (
                Code::ResourceExhausted,
                Reason::QuotaExceeded,
                "the tenant has as many as it may have",
            ),
            Self::Deadline => (
                Code::DeadlineExceeded,
                Reason::DeadlineExceeded,
                "the deadline passed",
            ),
            Self::Unavailable => (
                Code::Unavailable,
                Reason::Unavailable,
                "the authority is unavailable",
            ),
            Self::Internal => (Code::Internal, Reason::Internal, "internal error"),
            Self::Watch(problem) => (Code::FailedPrecondition, Reason::WatchProtocol, problem),
            Self::WatchCorrupted => (
                Code::FailedPrecondition,
                Reason::WatchCorrupted,
                "a message does not match its checksum",
            ),
            Self::WatchRevisionAhead => (
                Code::FailedPrecondition,
                Reason::WatchRevisionAhead,
                "the probe claims a revision that the stream has not delivered",
            ),
        }
    }
}

impl From<ServiceError> for Status {
    fn from(error: ServiceError) -> Self {
        let (code, reason, message) = error.parts();
        let name = reason.as_str_name().trim_start_matches("ERROR_REASON_");
        let mut metadata = HashMap::<String, String>::new();
        if let ServiceError::PolicyForbids(rule) = &error {
            metadata.insert("rule".into(), (*rule).into());
        }
        if let ServiceError::ApiKeysWouldEnd(count) = &error {
            metadata.insert("api_keys".into(), count.to_string());
        }
        if let ServiceError::RateLimited(limit, _) | ServiceError::QuotaExceeded(limit) = &error {
            metadata.insert("limit".into(), (*limit).into());
        }
        let mut details = ErrorDetails::with_error_info(name, ERROR_DOMAIN, metadata);
        match &error {
            ServiceError::Invalid(violations) => {
                let violation = |each: &Violation| FieldViolation::new(&each.field, &each.problem);
                details.set_bad_request(violations.iter().map(violation).collect::<Vec<_>>());
            }
            ServiceError::EtagMismatch => {
                details.set_bad_request(vec![FieldViolation::new("policy.etag", message)]);
            }
            ServiceError::PageToken => {
                details.set_bad_request(vec![FieldViolation::new("page_token", message)]);
            }
            ServiceError::RateLimited(_, retry) => {
                details.set_retry_info(Some(*retry));
            }
            ServiceError::Overloaded | ServiceError::Unavailable => {
                details.set_retry_info(Some(RETRY_DELAY));
            }
            _ => {}
        }
        Status::with_error_details(code, message, details)
    }
}

/// What a status of the transport's own says, in our words: requests that do not decode, are too large, and so on.
pub(crate) fn of_transport(code: Code) -> ServiceError {
    match code {
        Code::Unimplemented | Code::PermissionDenied => ServiceError::Denied,
        Code::Cancelled | Code::DeadlineExceeded => ServiceError::Deadline,
        Code::ResourceExhausted => ServiceError::Overloaded,
        Code::Unavailable => ServiceError::Unavailable,
        // Only health answers so without details.
        Code::NotFound => ServiceError::ServiceNotFound,
        // A handler's own errors carry details; what is left is a message that is too large or does not decode.
        _ => ServiceError::invalid("", "the message is too large or does not decode"),
    }
}

impl From<Exceeded> for ServiceError {
    fn from(exceeded: Exceeded) -> Self {
        match exceeded.retry {
            Some(retry) => Self::RateLimited(exceeded.limit, retry),
            None => Self::QuotaExceeded(exceeded.limit),
        }
    }
}

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::TooSlow(_) => return Self::SearchTooSlow,
            StoreError::Overloaded(_) => return Self::Overloaded,
            _ => {}
        }
        if error.is_retryable() {
            error.log("store unavailable");
            return Self::Unavailable;
        }
        tracing::error!(%error, "store failed");
        Self::Internal
    }
}

impl From<OpenError> for ServiceError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::UserDisabled => Self::UserDisabled,
            OpenError::RequestReused => Self::RequestIdReused,
            OpenError::Store(error) => error.into(),
        }
    }
}

impl From<LogError> for ServiceError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Entry(EntryError::SessionNotFound) => Self::SessionNotFound,
            LogError::Entry(EntryError::UserNotFound) => Self::UserNotFound,
            LogError::Entry(EntryError::ApiKeyNotFound) => Self::ApiKeyNotFound,
            LogError::Entry(EntryError::UserDisabled) => Self::UserDisabled,
            LogError::Entry(EntryError::KeyNotFound) => Self::KeyNotFound,
            LogError::Entry(EntryError::KeyInUse) => Self::KeyInUse,
            LogError::Entry(EntryError::PolicyChanged) => Self::EtagMismatch,
            LogError::Entry(EntryError::Refused) => Self::Internal,
            LogError::Overloaded => Self::Overloaded,
            LogError::Unavailable => Self::Unavailable,
        }
    }
}
