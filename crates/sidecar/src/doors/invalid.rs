//! Checks that a gateway sends wrongly.

use portcullis_gate::{Deny, HeadProblem, Refused};

/// A check that does not describe a request. It is refused, because nothing tells which rule it is about.
///
/// The message is for the operator: the configuration of the gateway lacks something, or lets a client's header through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidCheck {
    #[error("the check has no attributes of an HTTP request")]
    NoAttributes,
    #[error("the check has no {0}")]
    Missing(&'static str),
    #[error("the check has more than one {0}: the gateway must replace the client's")]
    Several(&'static str),
    #[error("the {0} of the check has bytes that it must not have")]
    Malformed(&'static str),
    #[error("the check has too many headers")]
    TooLarge,
}

impl InvalidCheck {
    /// Returns the answer.
    pub(crate) fn deny(self) -> Deny {
        let problem = match self {
            // Only this one a client can mend, by fewer headers. All others are between the gateway
            // and the sidecar, and the log has them.
            Self::TooLarge => HeadProblem::TooLarge,
            _ => HeadProblem::Unreadable,
        };
        Deny::new(&Refused::Head(problem))
    }
}

/// Returns the refusal of a door that failed. The decision is not known, so nobody is let in.
pub(crate) fn failed() -> Deny {
    Deny::new(&Refused::Failed)
}
