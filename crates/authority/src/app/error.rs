//! The errors of use cases. Each edge maps them to its own answers.

use std::time::Duration;

use crate::{
    domain::EntryError,
    feed::watch::WatchError,
    keys::{MasterKeyId, MasterKeyIds, SecretsError},
    limits::Exceeded,
    log::LogError,
    store::{SignInError, StoreError},
};

/// The reason why a use case failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AppError {
    CredentialsMissing,
    CredentialsInvalid,
    Denied,
    Invalid(Vec<InvalidField>),
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
    SecretNotFound,
    SecretInUse,
    /// The master key that sealed a value, and those that the authority has.
    MasterKeyUnknown(MasterKeyId, MasterKeyIds),
    LastAdministrator,
    OwnAccount,
    EtagMismatch,
    /// The name of the policy's rule that forbids the call.
    PolicyForbids(&'static str),
    SessionLimit,
    ReauthenticationRequired,
    ForceRequired,
    /// The number of API keys that would end.
    ApiKeysWouldEnd(u64),
    Overloaded,
    /// The name of the limit, and the time until it admits the call.
    RateLimited(&'static str, Duration),
    /// The name of the limit.
    QuotaExceeded(&'static str),
    SearchTooSlow,
    Deadline,
    Unavailable,
    Internal,
    /// A validator broke the protocol of its stream in this way.
    WatchProtocol(&'static str),
    WatchCorrupted,
    WatchRevisionAhead,
    /// The log has no such revision.
    RevisionAhead,
}

/// A field with an invalid value. The problem never repeats the value, which may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InvalidField {
    pub(crate) field: String,
    pub(crate) problem: String,
}

impl AppError {
    pub(crate) fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid(vec![InvalidField {
            field: field.into(),
            problem: problem.into(),
        }])
    }
}

impl From<Exceeded> for AppError {
    fn from(exceeded: Exceeded) -> Self {
        match exceeded.retry {
            Some(retry) => Self::RateLimited(exceeded.limit, retry),
            None => Self::QuotaExceeded(exceeded.limit),
        }
    }
}

impl From<StoreError> for AppError {
    fn from(error: StoreError) -> Self {
        match error {
            // Both are bounds at work and no failures of the store. A line for each would let one busy tenant fill the
            // log.
            StoreError::TooSlow(_) => return Self::SearchTooSlow,
            StoreError::Overloaded(_) => return Self::Overloaded,
            _ => {}
        }

        // The caller learns only whether a retry helps: driver texts may contain values of rows.
        if error.is_retryable() {
            error.log("store unavailable");
            return Self::Unavailable;
        }
        tracing::error!(%error, "store failed");
        Self::Internal
    }
}

impl From<SecretsError> for AppError {
    fn from(error: SecretsError) -> Self {
        match error {
            SecretsError::Store(error) => error.into(),
            error => {
                tracing::error!(%error, "the secrets of tokens cannot be used");
                Self::Internal
            }
        }
    }
}

impl From<SignInError> for AppError {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::UserDisabled => Self::UserDisabled,
            SignInError::RequestReused => Self::RequestIdReused,
            SignInError::SessionLimit => Self::SessionLimit,
            // The sign-in was repeated under each new policy, and another one came each time.
            SignInError::PolicyChanged => Self::Unavailable,
            SignInError::Store(error) => error.into(),
        }
    }
}

impl From<LogError> for AppError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Entry(error) => error.into(),
            LogError::Overloaded => Self::Overloaded,
            // The change may have been applied. The caller repeats it all the same: a session that has ended ends no
            // second time.
            LogError::Unavailable => Self::Unavailable,
        }
    }
}

impl From<EntryError> for AppError {
    fn from(error: EntryError) -> Self {
        match error {
            EntryError::SessionNotFound => Self::SessionNotFound,
            EntryError::UserNotFound => Self::UserNotFound,
            EntryError::ApiKeyNotFound => Self::ApiKeyNotFound,
            EntryError::UserDisabled => Self::UserDisabled,
            EntryError::KeyNotFound => Self::KeyNotFound,
            EntryError::KeyInUse => Self::KeyInUse,
            EntryError::SecretNotFound => Self::SecretNotFound,
            EntryError::SecretInUse => Self::SecretInUse,
            // Another call added one at the same time. A repetition takes the next number.
            EntryError::SecretExists => Self::Unavailable,
            EntryError::LastAdministrator => Self::LastAdministrator,
            EntryError::PolicyChanged => Self::EtagMismatch,
            // The store has logged the reason. A repetition would be refused again, so the error must not invite one.
            EntryError::Refused => Self::Internal,
        }
    }
}

impl From<WatchError> for AppError {
    fn from(error: WatchError) -> Self {
        match error {
            WatchError::Protocol(problem) => Self::WatchProtocol(problem),
            WatchError::Corrupted => Self::WatchCorrupted,
            WatchError::RevisionAhead => Self::WatchRevisionAhead,
            WatchError::TooManyStreams => Self::Overloaded,
            WatchError::Store(error) => error.into(),
        }
    }
}

/// The refusal of a genuine token.
#[derive(Clone, Debug)]
pub(crate) enum TokenRefusal {
    /// The token is not valid any more. The reason is for operators; the caller learns only that it is invalid.
    Invalid(&'static str),
    /// The user may not make this call, or nothing could be read.
    Error(AppError),
}

impl From<AppError> for TokenRefusal {
    fn from(error: AppError) -> Self {
        Self::Error(error)
    }
}
