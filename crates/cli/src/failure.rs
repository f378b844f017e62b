//! How a command of the command line fails: its message, a hint, and its exit code.

use std::{error::Error, io};

use portcullis_authority::config::ConfigError;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::output::text::visible;

/// The exit status of a command. `docs/reference/command-line.md` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Something else went wrong.
    Failed = 1,
    /// The command or its settings cannot be meant.
    Usage = 2,
    /// There is no such session, user, key or tenant.
    NotFound = 3,
    /// The credential does not allow it.
    Denied = 4,
    /// The state of things does not allow it.
    Conflict = 5,
    /// The authority cannot answer now.
    Unavailable = 6,
    /// The change is durable, and gates did not confirm it in time.
    NotEnforced = 7,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    /// The exit status.
    pub(crate) exit: Exit,
    message: String,
    /// The remedy, on a line of its own.
    pub(crate) hint: Option<String>,
    /// The reason in the words of the authority. Empty if the failure is our own.
    pub(crate) reason: String,
    /// A number that the authority named, such as the API keys that would end.
    pub(crate) api_keys: Option<String>,
}

/// The result of a command.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// A failure with its exit status. Control characters of the message are made visible.
    pub(crate) fn new(exit: Exit, message: impl AsRef<str>) -> Self {
        Self {
            exit,
            message: visible(message.as_ref()).into_owned(),
            hint: None,
            reason: String::new(),
            api_keys: None,
        }
    }

    /// A command that cannot be meant.
    pub(crate) fn usage(message: impl AsRef<str>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// A failure that none of the other exit codes describes.
    pub(crate) fn failed(message: impl AsRef<str>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// An authority that cannot be reached, with all causes, because the last one often has the detail to act on.
    pub(crate) fn unavailable(message: &str, error: &dyn Error) -> Self {
        Self::new(Exit::Unavailable, format!("{message}: {}", causes(error)))
    }

    /// Adds the remedy.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The text for standard error.
    pub(crate) fn render(&self) -> String {
        match &self.hint {
            Some(hint) => format!("portcullis: {}\nhint: {hint}", self.message),
            None => format!("portcullis: {}", self.message),
        }
    }
}

/// The message of an error and of all its causes.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // Some layers repeat the text of their cause.
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let info = status.get_details_error_info();
        // The authority puts an `ErrorInfo` into every error of its own. A status without one was
        // made by the client library, or by something between the two.
        let reason = info
            .as_ref()
            .map(|info| info.reason.clone())
            .unwrap_or_default();
        let message = match info {
            Some(_) => status.message().to_owned(),
            // An error of the client library. Its causes say what happened to the connection.
            None => format!("no answer from the authority: {}", causes_of(&status)),
        };
        let mut failure = Self::new(exit_of(status.code(), &reason), message);
        failure.hint = hint_for(&reason).map(str::to_owned);
        failure.api_keys = info.and_then(|info| info.metadata.get("api_keys").cloned());
        failure.reason = reason;
        failure
    }
}

fn causes_of(status: &Status) -> String {
    match status.source() {
        Some(source) => causes(source),
        None => status.message().to_owned(),
    }
}

/// The exit status for an answer of the authority. The reason decides where the code says too little.
fn exit_of(code: Code, reason: &str) -> Exit {
    match reason {
        // The authority is there; the same question would be too slow again.
        "SEARCH_TOO_SLOW" => return Exit::Failed,
        // Its code is that of a failed precondition. What fails is the credential: the person's
        // sign-in is too old.
        "REAUTHENTICATION_REQUIRED" => return Exit::Denied,
        // Waiting does not help.
        "QUOTA_EXCEEDED" => return Exit::Conflict,
        _ => {}
    }
    match code {
        Code::InvalidArgument | Code::OutOfRange => Exit::Usage,
        Code::NotFound => Exit::NotFound,
        // The two are one for a script: another credential is needed, and a repetition is of no
        // use.
        Code::PermissionDenied | Code::Unauthenticated => Exit::Denied,
        Code::AlreadyExists | Code::FailedPrecondition | Code::Aborted => Exit::Conflict,
        // The client library reports its own timeout as cancelled.
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Cancelled => {
            Exit::Unavailable
        }
        _ => Exit::Failed,
    }
}

fn hint_for(reason: &str) -> Option<&'static str> {
    match reason {
        // Without a reason no authority has answered.
        "" => Some(
            "is the authority running at the address of this context? `portcullis context show`",
        ),
        "CREDENTIALS_INVALID" | "CREDENTIALS_MISSING" => Some(
            "the credential of this context is not one that the authority knows: `portcullis context show`",
        ),
        "PERMISSION_DENIED" => {
            Some("this context's role or tenant does not allow it: choose another with --context")
        }
        "ETAG_MISMATCH" => Some("read the policy again with `portcullis policy get`, then decide"),
        "KEY_IN_USE" => Some("rotate first; for a stolen key use `portcullis keys distrust`"),
        _ => None,
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::failed(error.to_string())
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::usage(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_the_exit_status_that_the_reference_names() {
        for (code, reason, exit) in [
            (Code::InvalidArgument, "INVALID_FIELD", Exit::Usage),
            (Code::NotFound, "USER_NOT_FOUND", Exit::NotFound),
            (Code::PermissionDenied, "PERMISSION_DENIED", Exit::Denied),
            (Code::Unauthenticated, "CREDENTIALS_INVALID", Exit::Denied),
            (
                Code::FailedPrecondition,
                "REAUTHENTICATION_REQUIRED",
                Exit::Denied,
            ),
            (Code::FailedPrecondition, "ETAG_MISMATCH", Exit::Conflict),
            (Code::ResourceExhausted, "OVERLOADED", Exit::Unavailable),
            (Code::ResourceExhausted, "QUOTA_EXCEEDED", Exit::Conflict),
            (Code::DeadlineExceeded, "SEARCH_TOO_SLOW", Exit::Failed),
            (
                Code::DeadlineExceeded,
                "DEADLINE_EXCEEDED",
                Exit::Unavailable,
            ),
            (Code::Cancelled, "", Exit::Unavailable),
            (Code::Internal, "INTERNAL", Exit::Failed),
        ] {
            assert_eq!(exit_of(code, reason), exit, "{code:?} {reason}");
        }
    }

    #[test]
    fn a_message_cannot_command_the_terminal() {
        let failure = Failure::failed("bad \u{1b}[2Jname");
        assert_eq!(failure.render(), "portcullis: bad \\u{1b}[2Jname");
    }
}
