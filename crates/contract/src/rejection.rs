//! Reasons for refusing a token.

use std::time::Duration;

/// The reason for which a token was refused.
///
/// A caller has two things to decide. Is the token dead, or is the gate unable to know
/// ([`is_unavailable`](Self::is_unavailable))? And which word goes to logs and clients ([`reason`](Self::reason))?
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The request carries no token.
    #[error("no token")]
    Missing,
    /// The text is larger than any token can be.
    #[error("the token is too large")]
    Oversized,
    /// The text is not a token of this issuer's profile.
    #[error("the token is malformed")]
    Malformed,
    /// The token is of another type, for example an API key in place of an access token.
    #[error("the token is of another type")]
    WrongType,
    /// The header names another algorithm than the key has.
    #[error("the token's algorithm is not its key's")]
    WrongAlgorithm,
    /// The key is not trusted, or not yet.
    #[error("the token's key is not known")]
    UnknownKey,
    /// The key was retired.
    #[error("the token's key is no longer trusted")]
    DistrustedKey,
    /// The token is forged or damaged.
    #[error("the token's signature does not match")]
    BadSignature,
    /// The token is from another issuer.
    #[error("the token is from another issuer")]
    WrongIssuer,
    /// The token is for another audience.
    #[error("the token is for another audience")]
    WrongAudience,
    /// `iat` is in the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// Its session or API key was revoked.
    #[error("the credential was revoked")]
    Revoked,
    /// Its user, its tenant or everyone was signed out after the session was opened, or an API key's owner was disabled.
    #[error("the credential was cut off")]
    SignedOut,
    /// The validator cannot prove that it knows the latest revocations.
    #[error("the validator is stale")]
    Stale {
        /// Time since its last proof of freshness.
        age: Duration,
    },
    /// The validator has no view yet, or no longer understands the log.
    #[error("the validator is not ready")]
    Unready,
    /// The clocks of the validator and the database differ by more than allowed, so the time is not known.
    #[error("the validator's clock differs from the database's")]
    ClockSkew,
    /// Too many forged tokens came from the same source; a token that was not seen before is not checked for now.
    #[error("too many forged tokens from this source: retry after 1 s")]
    Busy,
}

impl Rejection {
    /// Returns the machine-readable reason.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Oversized => "oversized",
            Self::Malformed => "malformed",
            Self::WrongType => "wrong_type",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::UnknownKey => "unknown_key",
            Self::DistrustedKey => "distrusted_key",
            Self::BadSignature => "bad_signature",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::NotYetValid => "not_yet_valid",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::SignedOut => "signed_out",
            Self::Stale { .. } => "stale",
            Self::Unready => "unready",
            Self::ClockSkew => "clock_skew",
            Self::Busy => "busy",
        }
    }

    /// Returns whether the gate cannot know, so that the fault is not the token's. HTTP gates answer 503 then, and 401
    /// otherwise.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(
            self,
            Self::Stale { .. } | Self::Unready | Self::ClockSkew | Self::Busy
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_word_and_says_whether_the_gate_cannot_know() {
        let age = Duration::from_secs(6);
        let cases = [
            (Rejection::Missing, "missing", false),
            (Rejection::Oversized, "oversized", false),
            (Rejection::Malformed, "malformed", false),
            (Rejection::WrongType, "wrong_type", false),
            (Rejection::WrongAlgorithm, "wrong_algorithm", false),
            (Rejection::UnknownKey, "unknown_key", false),
            (Rejection::DistrustedKey, "distrusted_key", false),
            (Rejection::BadSignature, "bad_signature", false),
            (Rejection::WrongIssuer, "wrong_issuer", false),
            (Rejection::WrongAudience, "wrong_audience", false),
            (Rejection::NotYetValid, "not_yet_valid", false),
            (Rejection::Expired, "expired", false),
            (Rejection::Revoked, "revoked", false),
            (Rejection::SignedOut, "signed_out", false),
            (Rejection::Stale { age }, "stale", true),
            (Rejection::Unready, "unready", true),
            (Rejection::ClockSkew, "clock_skew", true),
            (Rejection::Busy, "busy", true),
        ];
        for (rejection, word, is_unavailable) in cases {
            assert_eq!(rejection.reason(), word);
            assert_eq!(rejection.is_unavailable(), is_unavailable, "{word}");
        }
    }
}
