//! Suspicious sessions: rules over what a sign-in or a session shows and what is known of its user.
//!
//! A rule says what it saw, not that something is wrong: people buy phones and travel. The level says how seldom that
//! is innocent. A tenant may switch each rule off.

mod session;
mod sign_in;

use serde::{Deserialize, Serialize};

pub use self::{
    session::{OLD_SESSION_AGE, SessionObservation},
    sign_in::{
        Footprint, FootprintKind, History, SignInObservation, TRAVEL_KM_MIN, TRAVEL_KM_PER_HOUR_MAX,
    },
};

/// What was found. The names are stable: they are in policies, audit rows and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingCode {
    /// The user never signed in on this device. Facts: `device`, `device_id`, `ip`.
    NewDevice,
    /// The user never signed in from this country. Facts: `country`, `country_name`, `ip`.
    NewCountry,
    /// The user never signed in from this city. Facts: `city`, `country`, `ip`.
    NewCity,
    /// The user never signed in from this public network ([`network`](super::place::network)). Facts: `network`, `network_operator`, `ip`.
    NewNetwork,
    /// From the last sign-in to this one nobody travels so fast ([`TRAVEL_KM_PER_HOUR_MAX`]). Facts: `from`, `to`,
    /// `distance_km`, `elapsed_seconds`, `ip`.
    ImpossibleTravel,
    /// The session is older than [`OLD_SESSION_AGE`]. Facts: `age_days`.
    OldSession,
    /// The session's address moved to another country. Facts: `from`, `to` (countries), `ip`.
    CountryChanged,
    /// A refresh token of the session came back after it was exchanged: someone has a copy. No facts.
    RefreshTokenReused,
    /// Two clients presented the same refresh token. Facts, in the audit trail only: `differs` (`ip`, `user_agent`,
    /// `device_id`), `ip`, `first_ip`.
    RefreshTokenShared,
}

/// How seldom a finding is innocent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Worth a line: every traveller causes it.
    Low,
    /// Worth asking the user.
    Medium,
    /// Worth acting before asking.
    High,
}

/// What to do about a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Advice {
    /// End this session.
    EndSession,
    /// End all of the user's sessions.
    EndAllSessions,
    /// Change the password.
    ChangePassword,
    /// Turn on a second factor.
    EnableSecondFactor,
    /// Look at what was changed of late.
    CheckRecentChanges,
    /// Read the audit log.
    ReviewAuditLog,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// What.
    pub code: FindingCode,
    /// What it rests on, by the names that [`FindingCode`] lists. One that is not known is not there.
    pub facts: Vec<(String, String)>,
}

impl FindingCode {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::NewDevice,
        Self::NewCountry,
        Self::NewCity,
        Self::NewNetwork,
        Self::ImpossibleTravel,
        Self::OldSession,
        Self::CountryChanged,
        Self::RefreshTokenReused,
        Self::RefreshTokenShared,
    ];

    /// The stable name, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NewDevice => "new_device",
            Self::NewCountry => "new_country",
            Self::NewCity => "new_city",
            Self::NewNetwork => "new_network",
            Self::ImpossibleTravel => "impossible_travel",
            Self::OldSession => "old_session",
            Self::CountryChanged => "country_changed",
            Self::RefreshTokenReused => "refresh_token_reused",
            Self::RefreshTokenShared => "refresh_token_shared",
        }
    }

    /// The level of its findings.
    #[must_use]
    pub fn level(self) -> Level {
        match self {
            // A train ride, another café, an old phone in a drawer.
            Self::NewCity | Self::NewNetwork | Self::OldSession => Level::Low,
            // Once a year or so it is the user's new phone, a journey, or a VPN; a stolen password looks the same.
            Self::NewDevice | Self::NewCountry | Self::CountryChanged => Level::Medium,
            // A phone that changes its network between two tries looks the same.
            Self::RefreshTokenShared => Level::Medium,
            // Two people, unless one of them is a VPN; and a token that only its thief and its owner can both have.
            Self::ImpossibleTravel | Self::RefreshTokenReused => Level::High,
        }
    }

    /// What to do about it when it was not the user, the first thing first.
    #[must_use]
    pub fn advice(self) -> &'static [Advice] {
        use Advice::{
            ChangePassword, CheckRecentChanges, EnableSecondFactor, EndAllSessions, EndSession,
            ReviewAuditLog,
        };
        match self {
            Self::OldSession => &[EndSession],
            Self::NewCity | Self::NewNetwork => &[EndSession, CheckRecentChanges],
            Self::NewDevice | Self::NewCountry => &[
                EndSession,
                ChangePassword,
                EnableSecondFactor,
                CheckRecentChanges,
            ],
            // The password may be safe: it is the session that is somewhere else.
            Self::CountryChanged | Self::RefreshTokenShared => {
                &[EndSession, CheckRecentChanges, ReviewAuditLog]
            }
            Self::ImpossibleTravel => &[
                EndAllSessions,
                ChangePassword,
                EnableSecondFactor,
                CheckRecentChanges,
                ReviewAuditLog,
            ],
            Self::RefreshTokenReused => &[
                EndAllSessions,
                ChangePassword,
                CheckRecentChanges,
                ReviewAuditLog,
            ],
        }
    }
}

impl Finding {
    pub(super) fn new(
        code: FindingCode,
        facts: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Self {
        let known = facts.into_iter().filter(|(_, value)| !value.is_empty());
        Self {
            code,
            facts: known
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests;
