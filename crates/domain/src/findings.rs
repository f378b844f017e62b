//! Findings: rules for suspicious sign-ins and sessions.
//!
//! A finding states an observation, not that something is wrong: people buy phones and travel. Its level says how rarely
//! the observation is innocent. A tenant may switch off each rule.

mod networks;
mod session;
mod sign_in;

use serde::{Deserialize, Serialize};

pub use self::{
    networks::{DeviceNetworks, SEEN_LATELY},
    session::{OLD_SESSION_AGE, SessionObservation},
    sign_in::{
        Footprint, FootprintKind, History, LastPlace, SignInObservation, TRAVEL_KM_MIN,
        TRAVEL_KM_PER_HOUR_MAX,
    },
};

/// The kind of a finding. The names are stable: they are in policies, audit rows and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingCode {
    /// The user never signed in on this device. Facts: `device`, `device_id`, `ip`.
    NewDevice,
    /// The user never signed in from this country, nor from this network. Facts: `country`, `country_name`, `ip`.
    NewCountry,
    /// The user never signed in from this city, nor from this network. Facts: `city`, `country`, `ip`.
    NewCity,
    /// The user never signed in from this public network ([`network`](super::place::network)). Facts: `network`,
    /// `network_operator`, `ip`.
    NewNetwork,
    /// The user would have had to travel faster than [`TRAVEL_KM_PER_HOUR_MAX`] since the last sign-in whose place is
    /// known. Facts: `from`, `to`, `distance_km`, `elapsed_seconds`, `ip`.
    ImpossibleTravel,
    /// The session is older than [`OLD_SESSION_AGE`]. Facts: `age_days`.
    OldSession,
    /// The session's address moved to another country. Facts: `from`, `to` (countries), `ip`.
    CountryChanged,
    /// A refresh token came back after it was exchanged: somebody has a copy. No facts.
    RefreshTokenReused,
    /// Two clients presented the same refresh token. Facts, in the audit trail only: `differs` (`ip`, `user_agent`,
    /// `device_id`), `ip`, `first_ip`.
    RefreshTokenShared,
}

/// The rarity of an innocent finding.
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

/// A step to take about a finding.
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
    /// Check the recent changes to the account.
    CheckRecentChanges,
    /// Read the audit log.
    ReviewAuditLog,
}

/// A suspicious circumstance.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The kind.
    pub code: FindingCode,
    /// The level, in the circumstances of this finding.
    pub level: Level,
    /// The facts behind it, by the names that [`FindingCode`] lists. Unknown facts are absent.
    pub facts: Vec<(String, String)>,
}

impl FindingCode {
    /// Every code.
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

    /// The stable name in policies, audit rows and answers.
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

    /// The level of findings with this code, where `is_known_device` says whether the user signed in on the device
    /// before.
    #[must_use]
    pub fn level(self, is_known_device: bool) -> Level {
        match self {
            // A train ride: the device is the user's.
            Self::NewCity if is_known_device => Level::Low,
            // A journey or a VPN: the device is the user's.
            Self::NewCountry if is_known_device => Level::Medium,
            // A stolen password, until the user says that they bought a phone. Nothing but the password shows that it is
            // them.
            Self::NewDevice | Self::NewCountry | Self::NewCity => Level::High,
            // A café, a hotel, a thief around the corner: worth a look.
            Self::NewNetwork => Level::Medium,
            // A phone in a drawer, which anybody may find.
            Self::OldSession => Level::Medium,
            // The session began on the user's device, and may have been copied.
            Self::CountryChanged => Level::Medium,
            // A phone that changes its network between two tries looks the same.
            Self::RefreshTokenShared => Level::Medium,
            // Two people, unless one of them is a VPN; and a token that only its thief and its owner can both have.
            Self::ImpossibleTravel | Self::RefreshTokenReused => Level::High,
        }
    }

    /// The steps to take when it was not the user, the most important first.
    #[must_use]
    pub fn advice(self) -> &'static [Advice] {
        use Advice::{
            ChangePassword, CheckRecentChanges, EnableSecondFactor, EndAllSessions, EndSession,
            ReviewAuditLog,
        };
        match self {
            Self::OldSession => &[EndSession],
            Self::NewNetwork => &[CheckRecentChanges, ReviewAuditLog, EndSession],
            Self::NewDevice | Self::NewCountry | Self::NewCity => &[
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
    /// A finding about a device that is taken for the user's own.
    pub(super) fn new(
        code: FindingCode,
        facts: impl IntoIterator<Item = (&'static str, String)>,
    ) -> Self {
        let mut known = Vec::new();
        for (name, value) in facts {
            if !value.is_empty() {
                known.push((name.to_owned(), value));
            }
        }
        Self {
            code,
            level: code.level(true),
            facts: known,
        }
    }

    /// A finding without facts.
    #[must_use]
    pub fn without_facts(code: FindingCode) -> Self {
        Self::new(code, [])
    }
}

#[cfg(test)]
mod tests;
