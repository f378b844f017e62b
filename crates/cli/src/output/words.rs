//! The words of the contract's enumerations, as people type and read them: `signed-out` for
//! `SESSION_STATE_SIGNED_OUT`.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use portcullis_contract::v1;

/// An enumeration of the contract.
pub(crate) trait Word: Copy + Send + Sync + TryFrom<i32> + 'static {
    /// The values that have a word.
    const ALL: &'static [Self];

    /// The prefix of every name.
    const PREFIX: &'static str;

    /// The name in the contract.
    fn contract_name(self) -> &'static str;

    /// The word.
    fn word(self) -> String {
        let name = self.contract_name();
        let name = name.strip_prefix(Self::PREFIX).unwrap_or(name);
        name.to_lowercase().replace('_', "-")
    }
}

/// The word of a value as it is on the wire. `-` stands for none, and for one of a newer authority.
pub(crate) fn word<W: Word>(value: i32) -> String {
    match W::try_from(value) {
        // The value 0 of every enumeration means that nothing was said.
        Ok(known) if known.contract_name() != format!("{}UNSPECIFIED", W::PREFIX) => known.word(),
        _ => "-".to_owned(),
    }
}

/// Reads the word of an enumeration from a command line.
pub(crate) fn parser<W: Word>() -> impl TypedValueParser<Value = W> {
    // Made of the contract's own names, so that help, parser and tables cannot differ.
    let words = W::ALL.iter().map(|value| value.word());
    PossibleValuesParser::new(words).map(|word| {
        let named = W::ALL.iter().find(|value| value.word() == word);
        *named.expect("clap lets no other word through")
    })
}

macro_rules! words {
    ($name:ident, $prefix:literal, [$($value:ident),+ $(,)?]) => {
        impl Word for v1::$name {
            const ALL: &'static [Self] = &[$(Self::$value),+];
            const PREFIX: &'static str = $prefix;

            fn contract_name(self) -> &'static str {
                self.as_str_name()
            }
        }
    };
}

words!(
    SessionState,
    "SESSION_STATE_",
    [Active, Expired, SignedOut, Revoked]
);
words!(
    SessionEndCause,
    "SESSION_END_CAUSE_",
    [
        User,
        Administrator,
        UserDisabled,
        RefreshTokenReused,
        Replaced,
        Recovery,
        Policy,
        Idle,
        PasswordChanged,
        SecondFactorChanged,
        SessionLimit,
        AnotherDevice,
        IdentityProvider,
    ]
);
words!(SessionOrder, "SESSION_ORDER_", [Start, User, LastActive]);
words!(
    DeviceType,
    "DEVICE_TYPE_",
    [Phone, Tablet, Desktop, Program, Tv]
);
words!(
    UserOrder,
    "USER_ORDER_",
    [SignIn, UserName, PersonName, Sessions, LastActive]
);
words!(UserRole, "USER_ROLE_", [Support, Admin]);
words!(
    SessionLimitAction,
    "SESSION_LIMIT_ACTION_",
    [Refuse, EndOldest]
);
words!(ApiKeyState, "API_KEY_STATE_", [Active, Expired, Revoked]);
words!(
    SigningKeyState,
    "SIGNING_KEY_STATE_",
    [Pending, Signing, Verifying, Retired]
);
words!(SecretKind, "SECRET_KIND_", [Refresh, Pages]);
words!(
    SecretState,
    "SECRET_STATE_",
    [Pending, Making, Accepted, Retired]
);
words!(
    MasterKeyState,
    "MASTER_KEY_STATE_",
    [Current, Other, Unknown]
);
words!(CredentialKind, "CREDENTIAL_KIND_", [Session, ApiKey]);
words!(ValidatorMode, "VALIDATOR_MODE_", [Strict, BestEffort]);
words!(FindingLevel, "FINDING_LEVEL_", [Low, Medium, High]);
words!(
    FindingCode,
    "FINDING_CODE_",
    [
        NewDevice,
        NewCountry,
        NewCity,
        NewNetwork,
        ImpossibleTravel,
        OldSession,
        CountryChanged,
        RefreshTokenReused,
        RefreshTokenShared,
    ]
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_words_and_unknown_ones_have_none() {
        assert_eq!(v1::SessionState::SignedOut.word(), "signed-out");
        assert_eq!(word::<v1::DeviceType>(5), "tv");
        assert_eq!(word::<v1::DeviceType>(0), "-");
        assert_eq!(word::<v1::DeviceType>(99), "-");
        assert_eq!(v1::SessionLimitAction::EndOldest.word(), "end-oldest");
    }
}
