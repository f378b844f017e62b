//! The one map from errors to the wire: an `AppError` becomes a `Status` with its `ErrorInfo`. Nothing else makes a
//! `Status`.

use std::{collections::HashMap, time::Duration};

use portcullis_contract::v1::ErrorReason as Reason;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::app::AppError;

/// The domain of `ErrorInfo`.
const ERROR_DOMAIN: &str = "portcullis.v1";

/// The time after which a shed or unavailable call may be repeated.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The problem of a request that the transport could not decode.
pub(crate) const UNDECODABLE: &str = "the message is too large or does not decode";

const KEY_IN_USE: &str = "the key is the one that signs: rotate first, or retire it with emergency";
const REAUTHENTICATE: &str = "the user has to authenticate again";
const REQUEST_ID_REUSED: &str = "the request id was used with other arguments";
const REVISION_AHEAD: &str = "the probe claims a revision that the stream has not delivered";
const SEARCH_TOO_SLOW: &str =
    "the search took too long: narrow it by a user, a time, a country or a longer name";

/// Every reason, with its code and its message.
#[rustfmt::skip]
const ROWS: &[(Reason, Code, &str)] = &[
    (Reason::CredentialsMissing, Code::Unauthenticated, "credentials are missing"),
    (Reason::CredentialsInvalid, Code::Unauthenticated, "credentials are invalid"),
    (Reason::PermissionDenied, Code::PermissionDenied, "the caller may not do this"),
    (Reason::InvalidField, Code::InvalidArgument, "a field is invalid"),
    (Reason::PageTokenInvalid, Code::InvalidArgument, "the page token is not of this list"),
    (Reason::SessionNotFound, Code::NotFound, "no such session"),
    (Reason::UserNotFound, Code::NotFound, "no such user"),
    (Reason::KeyNotFound, Code::NotFound, "no such signing key"),
    (Reason::ServiceNotFound, Code::NotFound, "no such service"),
    (Reason::ApiKeyNotFound, Code::NotFound, "no such API key"),
    (Reason::UserDisabled, Code::FailedPrecondition, "the user is disabled"),
    (Reason::SessionEnded, Code::FailedPrecondition, "the session has ended"),
    (Reason::RefreshTokenInvalid, Code::Unauthenticated, "the refresh token is invalid"),
    (Reason::RefreshTokenReused, Code::Unauthenticated, "the refresh token was used before"),
    (Reason::RequestIdReused, Code::AlreadyExists, REQUEST_ID_REUSED),
    (Reason::KeyInUse, Code::FailedPrecondition, KEY_IN_USE),
    (Reason::EtagMismatch, Code::FailedPrecondition, "the policy was changed meanwhile"),
    (Reason::PolicyForbids, Code::FailedPrecondition, "the tenant's policy does not allow this"),
    (Reason::SessionLimit, Code::FailedPrecondition, "the user has as many sessions as allowed"),
    (Reason::ReauthenticationRequired, Code::FailedPrecondition, REAUTHENTICATE),
    (Reason::WaitEnforcedUnimplemented, Code::Unimplemented, "WAIT_ENFORCED is not served"),
    (Reason::ForceRequired, Code::FailedPrecondition, "force must be true"),
    (Reason::Overloaded, Code::ResourceExhausted, "overloaded: retry after 1 s"),
    (Reason::SearchTooSlow, Code::DeadlineExceeded, SEARCH_TOO_SLOW),
    (Reason::RateLimited, Code::ResourceExhausted, "too many changes: retry later"),
    (Reason::QuotaExceeded, Code::ResourceExhausted, "the tenant has as many as it may have"),
    (Reason::DeadlineExceeded, Code::DeadlineExceeded, "the deadline passed"),
    (Reason::Unavailable, Code::Unavailable, "the authority is unavailable"),
    (Reason::WatchProtocol, Code::FailedPrecondition, "the stream's protocol was broken"),
    (Reason::WatchCorrupted, Code::FailedPrecondition, "a message does not match its checksum"),
    (Reason::WatchRevisionAhead, Code::FailedPrecondition, REVISION_AHEAD),
    (Reason::Internal, Code::Internal, "internal error"),
];

impl From<AppError> for Status {
    fn from(error: AppError) -> Self {
        let reason = reason(&error);
        let (code, usual_message) = row(reason);
        // Both are constants, so no value of a request or a row can leave in a message.
        let message = own_message(&error).unwrap_or(usual_message);

        let name = reason.as_str_name().trim_start_matches("ERROR_REASON_");
        let mut details = ErrorDetails::with_error_info(name, ERROR_DOMAIN, metadata(&error));
        let violations = field_violations(&error, message);
        if !violations.is_empty() {
            details.set_bad_request(violations);
        }
        if let Some(delay) = retry_delay(&error) {
            details.set_retry_info(Some(delay));
        }
        Status::with_error_details(code, message, details)
    }
}

fn row(reason: Reason) -> (Code, &'static str) {
    for (listed, code, message) in ROWS {
        if *listed == reason {
            return (*code, message);
        }
    }
    // A test holds the table against the contract, so that only a reason of a newer contract comes here.
    (Code::Internal, "internal error")
}

fn reason(error: &AppError) -> Reason {
    match error {
        AppError::CredentialsMissing => Reason::CredentialsMissing,
        AppError::CredentialsInvalid => Reason::CredentialsInvalid,
        AppError::Denied => Reason::PermissionDenied,
        AppError::Invalid(_) => Reason::InvalidField,
        AppError::PageToken => Reason::PageTokenInvalid,
        AppError::SessionNotFound => Reason::SessionNotFound,
        AppError::UserNotFound => Reason::UserNotFound,
        AppError::KeyNotFound => Reason::KeyNotFound,
        AppError::ApiKeyNotFound => Reason::ApiKeyNotFound,
        AppError::ServiceNotFound => Reason::ServiceNotFound,
        AppError::UserDisabled => Reason::UserDisabled,
        AppError::SessionEnded => Reason::SessionEnded,
        AppError::RefreshTokenInvalid => Reason::RefreshTokenInvalid,
        AppError::RefreshTokenReused => Reason::RefreshTokenReused,
        AppError::RequestIdReused => Reason::RequestIdReused,
        AppError::KeyInUse => Reason::KeyInUse,
        AppError::EtagMismatch => Reason::EtagMismatch,
        AppError::PolicyForbids(_) => Reason::PolicyForbids,
        AppError::SessionLimit => Reason::SessionLimit,
        AppError::ReauthenticationRequired => Reason::ReauthenticationRequired,
        AppError::WaitEnforced => Reason::WaitEnforcedUnimplemented,
        AppError::ForceRequired | AppError::ApiKeysWouldEnd(_) => Reason::ForceRequired,
        AppError::Overloaded => Reason::Overloaded,
        AppError::RateLimited(..) => Reason::RateLimited,
        AppError::QuotaExceeded(_) => Reason::QuotaExceeded,
        AppError::SearchTooSlow => Reason::SearchTooSlow,
        AppError::Deadline => Reason::DeadlineExceeded,
        AppError::Unavailable => Reason::Unavailable,
        AppError::Internal => Reason::Internal,
        AppError::WatchProtocol(_) => Reason::WatchProtocol,
        AppError::WatchCorrupted => Reason::WatchCorrupted,
        AppError::WatchRevisionAhead => Reason::WatchRevisionAhead,
    }
}

/// The message of an error that says more than its reason.
fn own_message(error: &AppError) -> Option<&'static str> {
    match error {
        AppError::ApiKeysWouldEnd(_) => Some("API keys would end with the key: force must be true"),
        AppError::WatchProtocol(problem) => Some(problem),
        _ => None,
    }
}

/// The metadata of `ErrorInfo`, for programs.
fn metadata(error: &AppError) -> HashMap<String, String> {
    // Programs read these names, so that they are part of the contract.
    let (name, value) = match error {
        AppError::PolicyForbids(rule) => ("rule", (*rule).to_owned()),
        AppError::ApiKeysWouldEnd(count) => ("api_keys", count.to_string()),
        AppError::RateLimited(limit, _) | AppError::QuotaExceeded(limit) => {
            ("limit", (*limit).to_owned())
        }
        _ => return HashMap::new(),
    };
    HashMap::from([(name.to_owned(), value)])
}

fn field_violations(error: &AppError, message: &str) -> Vec<FieldViolation> {
    match error {
        AppError::Invalid(fields) => fields
            .iter()
            .map(|invalid| FieldViolation::new(&invalid.field, &invalid.problem))
            .collect(),
        AppError::EtagMismatch => vec![FieldViolation::new("policy.etag", message)],
        AppError::PageToken => vec![FieldViolation::new("page_token", message)],
        _ => Vec::new(),
    }
}

fn retry_delay(error: &AppError) -> Option<Duration> {
    match error {
        AppError::RateLimited(_, delay) => Some(*delay),
        AppError::Overloaded | AppError::Unavailable => Some(RETRY_DELAY),
        _ => None,
    }
}

/// Our error for a status that the transport made by itself, such as for a request that does not decode.
pub(crate) fn transport_error(code: Code) -> AppError {
    match code {
        // A service that is not served, such as reflection, looks like one that the caller may not call.
        Code::Unimplemented | Code::PermissionDenied => AppError::Denied,
        Code::Cancelled | Code::DeadlineExceeded => AppError::Deadline,
        Code::ResourceExhausted => AppError::Overloaded,
        Code::Unavailable => AppError::Unavailable,
        // Only the health service answers this without details.
        Code::NotFound => AppError::ServiceNotFound,
        // Our handlers' errors carry details, so that only a message that is too large or does not decode is left.
        _ => AppError::invalid("", UNDECODABLE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_of_the_contract_has_one_row() {
        let served = (1..128).filter_map(|number| Reason::try_from(number).ok());
        for reason in served {
            let rows = ROWS.iter().filter(|(listed, ..)| *listed == reason).count();
            assert_eq!(rows, 1, "{}", reason.as_str_name());
        }
    }
}
