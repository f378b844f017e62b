//! The causes of a session's end.

/// The cause of a session's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The user signed out with the session itself, or a service did for the user.
    User,
    /// The user ended the session from another one, or all sessions at once.
    AnotherDevice,
    /// An administrator or a service ended it.
    Administrator,
    /// The user was disabled.
    UserDisabled,
    /// An old refresh token was presented.
    RefreshTokenReused,
    /// A new session on the same device replaced it.
    Replaced,
    /// The history was recovered with everyone signed out, or the database's clock was set back.
    Recovery,
    /// The tenant's policy changed, and the session violated it.
    Policy,
    /// The session was not used for the policy's idle timeout.
    Idle,
    /// The user's password was changed.
    PasswordChanged,
    /// The user's second factor was changed.
    SecondFactorChanged,
    /// A newer session exceeded the policy's number of sessions.
    SessionLimit,
    /// The user was logged out at the identity provider by which the session was opened.
    IdentityProvider,
}

impl Cause {
    /// The causes that only a session's own user has.
    pub const BY_USER: [Self; 2] = [Self::User, Self::AnotherDevice];

    const ALL: [Self; 13] = [
        Self::User,
        Self::AnotherDevice,
        Self::Administrator,
        Self::UserDisabled,
        Self::RefreshTokenReused,
        Self::Replaced,
        Self::Recovery,
        Self::Policy,
        Self::Idle,
        Self::PasswordChanged,
        Self::SecondFactorChanged,
        Self::SessionLimit,
        Self::IdentityProvider,
    ];

    /// The stable number in the stores.
    #[must_use]
    pub fn code(self) -> i64 {
        match self {
            // Rows of ended sessions keep these numbers: never reuse one.
            Self::User => 1,
            Self::Administrator => 2,
            Self::UserDisabled => 3,
            Self::RefreshTokenReused => 4,
            Self::Replaced => 5,
            Self::Recovery => 6,
            Self::Policy => 7,
            Self::Idle => 8,
            Self::PasswordChanged => 9,
            Self::SecondFactorChanged => 10,
            Self::SessionLimit => 11,
            Self::AnotherDevice => 12,
            Self::IdentityProvider => 13,
        }
    }

    /// The cause with a stored number.
    #[must_use]
    pub fn from_code(code: i64) -> Option<Self> {
        // A cause that is missing in `ALL` would make every session that ended by it unreadable.
        Self::ALL.into_iter().find(|cause| cause.code() == code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_read_back_by_numbers_that_no_two_share() {
        for cause in Cause::ALL {
            assert_eq!(Cause::from_code(cause.code()), Some(cause));
        }
        assert_eq!(Cause::from_code(0), None);
        assert_eq!(Cause::from_code(14), None);
        // Stored rows have these numbers.
        let codes = [Cause::User, Cause::AnotherDevice, Cause::Idle].map(Cause::code);
        assert_eq!(codes, [1, 12, 8]);
    }
}
