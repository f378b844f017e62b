//! The one map from errors to the wire: an `AppError` becomes a `Status` with its `ErrorInfo`. Nothing else makes a
//! `Status`.

use std::{collections::HashMap, fmt::Write, time::Duration};

use axum::body::Bytes;
use http::HeaderMap;
use http_body::Frame;
use portcullis_contract::v1::ErrorReason as Reason;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::{
    api::access::UNDECODABLE,
    app::{AppError, InvalidField},
};

/// The domain of `ErrorInfo`.
const ERROR_DOMAIN: &str = "portcullis.v1";

/// The time after which a shed or unavailable call may be repeated.
const RETRY_DELAY: Duration = Duration::from_secs(1);

const PAGE_TOKEN: &str = "must be of the same list: begin at the first page";
const ETAG: &str = "the policy was changed: read it again";
/// The beginning of a field of the one map of the contract.
const USERS_MAP: &str = "policy.users[";
const FORCE_KEYS: &str = "force: must be true, because API keys end with the key";

/// Every reason, with its code and its message. `docs/reference/errors.md` has the same table. A message in angle
/// brackets depends on the error: see [`own_message`].
#[rustfmt::skip]
const ROWS: &[(Reason, Code, &str)] = &[
    (Reason::CredentialsMissing, Code::Unauthenticated, "credentials missing: send authorization: Bearer"),
    (Reason::CredentialsInvalid, Code::Unauthenticated, "credentials invalid: refresh or sign in again"),
    (Reason::PermissionDenied, Code::PermissionDenied, "permission denied"),
    (Reason::InvalidField, Code::InvalidArgument, "<field>: <rule>"),
    (Reason::PageTokenInvalid, Code::InvalidArgument, "page_token: must be of the same list: begin at the first page"),
    (Reason::SessionNotFound, Code::NotFound, "session not found"),
    (Reason::UserNotFound, Code::NotFound, "user not found"),
    (Reason::KeyNotFound, Code::NotFound, "signing key not found"),
    (Reason::ServiceNotFound, Code::NotFound, "service not found"),
    (Reason::ApiKeyNotFound, Code::NotFound, "API key not found"),
    (Reason::UserDisabled, Code::FailedPrecondition, "user disabled: an administrator has to enable the user"),
    (Reason::SessionEnded, Code::FailedPrecondition, "session ended: sign in again"),
    (Reason::RefreshTokenInvalid, Code::Unauthenticated, "refresh token invalid: sign in again"),
    (Reason::RefreshTokenReused, Code::Unauthenticated, "refresh token reused: the session was ended, sign in again"),
    (Reason::RequestIdReused, Code::AlreadyExists, "request_id: used before with other arguments"),
    (Reason::KeyInUse, Code::FailedPrecondition, "signing key in use: rotate first, or retire it with emergency"),
    (Reason::SecretNotFound, Code::NotFound, "secret not found"),
    (Reason::SecretInUse, Code::FailedPrecondition, "secret in use: rotate first, and wait until the new one makes tokens"),
    (Reason::MasterKeyUnknown, Code::FailedPrecondition, "master key unknown: add it to keys.other_master_keys of every authority"),
    (Reason::LastAdministrator, Code::FailedPrecondition, "last administrator of the tenant: give another user the role first"),
    (Reason::OwnAccount, Code::FailedPrecondition, "own account: another administrator has to do this"),
    (Reason::EtagMismatch, Code::FailedPrecondition, "policy.etag: the policy was changed: read it again"),
    (Reason::PolicyForbids, Code::FailedPrecondition, "forbidden by policy.<rule>"),
    (Reason::SessionLimit, Code::FailedPrecondition, "session limit reached: end a session or replace one"),
    (Reason::ReauthenticationRequired, Code::FailedPrecondition, "reauthentication required: sign in again"),
    // Not sent any more.
    (Reason::WaitEnforcedUnimplemented, Code::Unimplemented, "WAIT_ENFORCED is not implemented"),
    (Reason::ForceRequired, Code::FailedPrecondition, "force: must be true"),
    (Reason::Overloaded, Code::ResourceExhausted, "overloaded: retry after 1 s"),
    (Reason::SearchTooSlow, Code::DeadlineExceeded, "search too slow: narrow it by a user, a time, a country or a longer name"),
    (Reason::RateLimited, Code::ResourceExhausted, "rate limited by limits.<limit>: retry after <seconds> s"),
    (Reason::QuotaExceeded, Code::ResourceExhausted, "quota exceeded: limits.<limit> is reached"),
    (Reason::DeadlineExceeded, Code::DeadlineExceeded, "deadline exceeded: repeating the call is safe"),
    (Reason::Unavailable, Code::Unavailable, "unavailable: retry after 1 s"),
    (Reason::WatchProtocol, Code::FailedPrecondition, "watch protocol violated: <how>"),
    (Reason::WatchCorrupted, Code::FailedPrecondition, "watch message corrupted: its checksum does not match"),
    (Reason::WatchRevisionAhead, Code::FailedPrecondition, "watch revision ahead: the stream has not delivered it"),
    (Reason::RevisionAhead, Code::OutOfRange, "revision: must not be above the head of the log"),
    (Reason::Internal, Code::Internal, "internal error: only the authority's log describes it"),
];

impl From<AppError> for Status {
    fn from(error: AppError) -> Self {
        let reason = reason(&error);
        let (code, _) = row(reason);
        // Client libraries show the message, and nothing else unless asked.
        let message = message(&error);

        let name = reason.as_str_name().trim_start_matches("ERROR_REASON_");
        let mut details = ErrorDetails::with_error_info(name, ERROR_DOMAIN, metadata(&error));
        let violations = field_violations(&error);
        if !violations.is_empty() {
            details.set_bad_request(violations);
        }
        if let Some(delay) = retry_delay(&error) {
            details.set_retry_info(Some(delay));
        }
        Status::with_error_details(code, message, details)
    }
}

/// The message of an error, at every edge. It names fields, rules and limits, and never a value of a request or a row.
pub(in crate::api) fn message(error: &AppError) -> String {
    let (_, usual) = row(reason(error));
    own_message(error).unwrap_or_else(|| usual.to_owned())
}

/// The last frame of a body: a status.
pub(super) fn trailers(status: &Status) -> Result<Frame<Bytes>, Status> {
    let mut trailers = HeaderMap::new();
    status.add_header(&mut trailers)?;
    Ok(Frame::trailers(trailers))
}

fn row(reason: Reason) -> (Code, &'static str) {
    for (listed, code, message) in ROWS {
        if *listed == reason {
            return (*code, message);
        }
    }
    // A test holds the table against the contract, so that only a reason of a newer contract comes here.
    (
        Code::Internal,
        "internal error: only the authority's log describes it",
    )
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
        AppError::SecretNotFound => Reason::SecretNotFound,
        AppError::SecretInUse => Reason::SecretInUse,
        AppError::MasterKeyUnknown(..) => Reason::MasterKeyUnknown,
        AppError::LastAdministrator => Reason::LastAdministrator,
        AppError::OwnAccount => Reason::OwnAccount,
        AppError::EtagMismatch => Reason::EtagMismatch,
        AppError::PolicyForbids(_) => Reason::PolicyForbids,
        AppError::SessionLimit => Reason::SessionLimit,
        AppError::ReauthenticationRequired => Reason::ReauthenticationRequired,
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
        AppError::RevisionAhead => Reason::RevisionAhead,
    }
}

/// The message of an error that says more than its reason.
fn own_message(error: &AppError) -> Option<String> {
    match error {
        AppError::Invalid(fields) => fields_message(fields),
        AppError::PolicyForbids(rule) => Some(format!("forbidden by policy.{rule}")),
        AppError::RateLimited(limit, delay) => {
            let seconds = delay.as_millis().div_ceil(1_000).max(1);
            let message = format!("rate limited by limits.{limit}: retry after {seconds} s");
            Some(message)
        }
        AppError::QuotaExceeded(limit) => {
            Some(format!("quota exceeded: limits.{limit} is reached"))
        }
        AppError::ApiKeysWouldEnd(_) => Some(FORCE_KEYS.into()),
        AppError::MasterKeyUnknown(sealed_by, configured) => Some(format!(
            "master key unknown: {sealed_by} sealed a value, and this authority has {configured}: add it to \
             keys.other_master_keys of every authority"
        )),
        AppError::WatchProtocol(problem) => Some(format!("watch protocol violated: {problem}")),
        _ => None,
    }
}

/// The first violation, and how many more there are.
fn fields_message(fields: &[InvalidField]) -> Option<String> {
    let (first, others) = fields.split_first()?;
    let mut message = first.problem.clone();
    // Without a field, the message as a whole is invalid.
    if !first.field.is_empty() {
        message = format!("{}: {message}", without_map_key(&first.field));
    }
    if !others.is_empty() {
        let _ = write!(message, " (and {} more)", others.len());
    }
    Some(message)
}

/// Removes the key of a map from a field. The key of `policy.users[ann].idle_timeout` is a user's id, and a message is
/// logged more widely than its details.
fn without_map_key(field: &str) -> String {
    let Some(rest) = field.strip_prefix(USERS_MAP) else {
        return field.to_owned();
    };
    // An id may contain brackets. The key ends at the last one.
    let after = rest.rsplit_once(']').map_or("", |(_, after)| after);
    format!("{USERS_MAP}]{after}")
}

/// The metadata of `ErrorInfo`, for programs.
fn metadata(error: &AppError) -> HashMap<String, String> {
    // Programs read these names, so that they are part of the contract.
    let (name, value) = match error {
        AppError::PolicyForbids(rule) => ("rule", (*rule).to_owned()),
        AppError::ApiKeysWouldEnd(count) => ("api_keys", count.to_string()),
        AppError::MasterKeyUnknown(sealed_by, _) => ("master_key", sealed_by.to_string()),
        AppError::RateLimited(limit, _) | AppError::QuotaExceeded(limit) => {
            ("limit", (*limit).to_owned())
        }
        _ => return HashMap::new(),
    };
    HashMap::from([(name.to_owned(), value)])
}

fn field_violations(error: &AppError) -> Vec<FieldViolation> {
    match error {
        AppError::Invalid(fields) => fields
            .iter()
            .map(|invalid| FieldViolation::new(&invalid.field, &invalid.problem))
            .collect(),
        AppError::EtagMismatch => vec![FieldViolation::new("policy.etag", ETAG)],
        AppError::PageToken => vec![FieldViolation::new("page_token", PAGE_TOKEN)],
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
    #[test]
    fn the_page_has_every_reason_with_its_code_and_message() {
        let page = include_str!("../../../../../docs/reference/errors.md");
        for (reason, code, message) in ROWS {
            let name = reason.as_str_name().trim_start_matches("ERROR_REASON_");
            let code = screaming_name(*code);
            let row = format!("| `{name}` | `{code}` | `{message}` | ");
            assert!(page.contains(&row), "docs/reference/errors.md has no {row}");
        }
    }

    fn screaming_name(code: Code) -> String {
        let mut name = String::new();
        for letter in format!("{code:?}").chars() {
            if letter.is_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(letter.to_ascii_uppercase());
        }
        name
    }

    #[test]
    fn a_message_names_the_field_the_rule_and_the_limit() {
        let fields = |names: &[&str]| {
            let invalid = |name: &&str| InvalidField {
                field: (*name).into(),
                problem: "required".into(),
            };
            AppError::Invalid(names.iter().map(invalid).collect())
        };
        let cases = [
            (fields(&["user.id"]), "user.id: required"),
            (
                fields(&["user.id", "reason", "amr[1]"]),
                "user.id: required (and 2 more)",
            ),
            (fields(&["amr[1]"]), "amr[1]: required"),
            (
                fields(&["policy.users[ann@[x].org].idle_timeout"]),
                "policy.users[].idle_timeout: required",
            ),
            (
                fields(&["policy.users[7].idle_timeout"]),
                "policy.users[].idle_timeout: required",
            ),
            (AppError::invalid("", UNDECODABLE), UNDECODABLE),
            (
                AppError::PolicyForbids("required_acr"),
                "forbidden by policy.required_acr",
            ),
            (
                AppError::RateLimited("user_changes", Duration::from_millis(1_001)),
                "rate limited by limits.user_changes: retry after 2 s",
            ),
            (
                AppError::RateLimited("user_changes", Duration::ZERO),
                "rate limited by limits.user_changes: retry after 1 s",
            ),
            (
                AppError::QuotaExceeded("users"),
                "quota exceeded: limits.users is reached",
            ),
            (AppError::ForceRequired, "force: must be true"),
            (AppError::ApiKeysWouldEnd(7), FORCE_KEYS),
            (
                AppError::PageToken,
                "page_token: must be of the same list: begin at the first page",
            ),
            (
                AppError::WatchProtocol("two hellos"),
                "watch protocol violated: two hellos",
            ),
        ];
        for (error, message) in cases {
            assert_eq!(Status::from(error).message(), message);
        }
    }

    #[test]
    fn no_message_is_a_template() {
        let errors = [
            AppError::invalid("user.id", "required"),
            AppError::PolicyForbids("required_acr"),
            AppError::RateLimited("user_changes", Duration::ZERO),
            AppError::QuotaExceeded("users"),
            AppError::WatchProtocol("two hellos"),
        ];
        let templates = ROWS.iter().filter(|(.., message)| message.contains('<'));
        let (mut named, mut filled) = (Vec::new(), Vec::new());
        named.extend(templates.map(|(reason, ..)| *reason));
        for error in errors {
            filled.push(reason(&error));
            assert!(!Status::from(error).message().contains('<'));
        }
        assert_eq!(filled, named, "every template is filled by `own_message`");
    }
}
