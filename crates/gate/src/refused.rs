//! The reasons for which a gate does not let a request through.

use portcullis_validator_core::Rejection;

use crate::path::PathProblem;

/// The reason for which a request does not go on to the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The head of the request is unusable, or could be read in two ways.
    #[error(transparent)]
    Head(#[from] HeadProblem),
    /// The path could be read in two ways, and no rule says how the upstream reads it.
    #[error(transparent)]
    Path(#[from] PathProblem),
    /// The credential is missing, dead, or cannot be judged now.
    #[error(transparent)]
    Credential(#[from] Rejection),
    /// The credential is good, and does not meet the demands of the rule.
    #[error(transparent)]
    Demand(#[from] UnmetDemand),
    /// The door itself failed. It refuses, because it never fails open.
    #[error("the gate failed")]
    Failed,
}

/// A problem with the head of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadProblem {
    /// The request names no host.
    #[error("the request names no host")]
    NoHost,
    /// The host is not a name or address with an optional port.
    #[error("the host is not a name or an address")]
    InvalidHost,
    /// The request names several hosts.
    #[error("the request names several hosts")]
    SeveralHosts,
    /// The target is not a path with an optional query: an absolute URL, an authority, `*`.
    #[error("the target is not a path")]
    TargetNotAPath,
    /// The target has a control character, a space or a fragment.
    #[error("the target has a character that no target may have")]
    InvalidTarget,
    /// The head has more bytes than [`HEAD_BYTES_MAX`](crate::HEAD_BYTES_MAX).
    #[error("the head of the request is too large")]
    TooLarge,
    /// The method has a small letter. Servers differ in whether `get` is `GET`.
    #[error("the method is not in capitals")]
    InvalidMethod,
    /// `Connection` names a header that only the gate may set, so that a proxy behind it would remove it.
    #[error("the Connection header names a header of the gate")]
    ConnectionHeader,
    /// The door cannot read the request at all: bytes that are not UTF-8, attributes that are missing.
    #[error("the request cannot be read")]
    Unreadable,
}

/// A demand of a rule that a good credential does not meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnmetDemand {
    /// The tenant is not one of the rule's.
    #[error("the tenant may not pass here")]
    Tenant,
    /// The API key lacks a scope.
    #[error("the API key lacks a scope")]
    Scope,
    /// The session's `acr` is below the rule's.
    #[error("the session's authentication is too weak")]
    Acr,
    /// The session's `amr` lack a method.
    #[error("the session's authentication lacks a method")]
    Amr,
    /// The user authenticated too long ago.
    #[error("the session's authentication is too old")]
    Age,
}

impl UnmetDemand {
    /// Returns whether the user can meet the demand by authenticating again.
    #[must_use]
    pub fn is_step_up(self) -> bool {
        matches!(self, Self::Acr | Self::Amr | Self::Age)
    }
}

impl Refused {
    /// All reasons but those of credentials, which are [`Rejection`]'s.
    pub const ALL: [Self; 29] = [
        Self::Head(HeadProblem::NoHost),
        Self::Head(HeadProblem::InvalidHost),
        Self::Head(HeadProblem::SeveralHosts),
        Self::Head(HeadProblem::TargetNotAPath),
        Self::Head(HeadProblem::InvalidTarget),
        Self::Head(HeadProblem::TooLarge),
        Self::Head(HeadProblem::InvalidMethod),
        Self::Head(HeadProblem::ConnectionHeader),
        Self::Head(HeadProblem::Unreadable),
        Self::Path(PathProblem::EncodedSlash),
        Self::Path(PathProblem::EncodedDot),
        Self::Path(PathProblem::EncodedDelimiter),
        Self::Path(PathProblem::DoubleSlash),
        Self::Path(PathProblem::DotSegment),
        Self::Path(PathProblem::Backslash),
        Self::Path(PathProblem::Semicolon),
        Self::Path(PathProblem::Lookalike),
        Self::Path(PathProblem::SpaceAtEdge),
        Self::Path(PathProblem::InvalidPercent),
        Self::Path(PathProblem::ControlCharacter),
        Self::Path(PathProblem::NotAscii),
        Self::Path(PathProblem::NotUtf8),
        Self::Path(PathProblem::AboveRoot),
        Self::Demand(UnmetDemand::Tenant),
        Self::Demand(UnmetDemand::Scope),
        Self::Demand(UnmetDemand::Acr),
        Self::Demand(UnmetDemand::Amr),
        Self::Demand(UnmetDemand::Age),
        Self::Failed,
    ];

    /// Returns the machine-readable reason: `reason` of the body.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Head(problem) => match problem {
                HeadProblem::NoHost => "no_host",
                HeadProblem::InvalidHost => "invalid_host",
                HeadProblem::SeveralHosts => "several_hosts",
                HeadProblem::TargetNotAPath => "target_not_a_path",
                HeadProblem::InvalidTarget => "invalid_target",
                HeadProblem::TooLarge => "head_too_large",
                HeadProblem::InvalidMethod => "invalid_method",
                HeadProblem::ConnectionHeader => "connection_header",
                HeadProblem::Unreadable => "unreadable",
            },
            Self::Path(problem) => problem.reason(),
            Self::Credential(rejection) => rejection.reason(),
            Self::Demand(demand) => match demand {
                UnmetDemand::Tenant => "tenant",
                UnmetDemand::Scope => "scope",
                UnmetDemand::Acr => "acr",
                UnmetDemand::Amr => "amr",
                UnmetDemand::Age => "max_age",
            },
            Self::Failed => "gate_failed",
        }
    }
}
