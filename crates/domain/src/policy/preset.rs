//! Policies that standards ask for, by name.

use std::time::Duration;

use super::Limits;

/// A policy of a standard, as far as a policy can say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// Its name in requests.
    pub name: &'static str,
    /// What it is taken from.
    pub source: &'static str,
    /// The standard's limit "regardless of user activity".
    pub session_lifetime_max: Duration,
    /// The standard's limit of inactivity, if it has one.
    pub idle_timeout: Option<Duration>,
    /// Whether the standard wants two factors. Which `acr` says so is for the tenant to put into `required_acr`.
    pub two_factors: bool,
}

/// The presets: NIST SP 800-63B of June 2017 (revision 3), where 4.1.3, 4.2.3 and 4.3.3 are "Reauthentication" of the
/// assurance levels 1 to 3, and OWASP ASVS 4.0.3, requirement 3.3.2, whose "12 hours or 30 minutes of inactivity" is
/// read as both limits, whichever is reached first, like that of NIST, which it refers to. Revision 4 of SP 800-63B
/// (2025) is laxer at level 2 (24 hours, 1 hour); what fulfils these fulfils it.
pub const PRESETS: [Preset; 6] = [
    Preset {
        name: "nist_800_63b_aal1",
        source: "NIST SP 800-63B (revision 3), section 4.1.3: reauthentication at least once per 30 days",
        session_lifetime_max: days(30),
        idle_timeout: None,
        two_factors: false,
    },
    Preset {
        name: "nist_800_63b_aal2",
        source: "NIST SP 800-63B (revision 3), section 4.2.3: reauthentication at least once per 12 hours, \
                 and after 30 minutes of inactivity",
        session_lifetime_max: hours(12),
        idle_timeout: Some(minutes(30)),
        two_factors: true,
    },
    Preset {
        name: "nist_800_63b_aal3",
        source: "NIST SP 800-63B (revision 3), section 4.3.3: reauthentication at least once per 12 hours, \
                 and after 15 minutes of inactivity, with both factors",
        session_lifetime_max: hours(12),
        idle_timeout: Some(minutes(15)),
        two_factors: true,
    },
    Preset {
        name: "owasp_asvs_l1",
        source: "OWASP ASVS 4.0.3, requirement 3.3.2, level 1: re-authentication after 30 days",
        session_lifetime_max: days(30),
        idle_timeout: None,
        two_factors: false,
    },
    Preset {
        name: "owasp_asvs_l2",
        source: "OWASP ASVS 4.0.3, requirement 3.3.2, level 2: re-authentication after 12 hours or \
                 30 minutes of inactivity, 2FA optional",
        session_lifetime_max: hours(12),
        idle_timeout: Some(minutes(30)),
        two_factors: false,
    },
    Preset {
        name: "owasp_asvs_l3",
        source: "OWASP ASVS 4.0.3, requirement 3.3.2, level 3: re-authentication after 12 hours or \
                 15 minutes of inactivity, with 2FA",
        session_lifetime_max: hours(12),
        idle_timeout: Some(minutes(15)),
        two_factors: true,
    },
];

impl Preset {
    /// The preset of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == name)
    }

    /// `limits` with what the standard says: its lifetime and idle timeout take the place of what was there, looser or
    /// stricter, and the other lifetimes are lowered to fit. What the standard does not speak of stays.
    #[must_use]
    pub fn apply(&self, limits: Limits) -> Limits {
        Limits {
            idle_timeout: self.idle_timeout.or(limits.idle_timeout),
            session_lifetime_max: self.session_lifetime_max,
            session_lifetime: limits.session_lifetime.min(self.session_lifetime_max),
            remember_me_lifetime: limits.remember_me_lifetime.min(self.session_lifetime_max),
            ..limits
        }
    }
}

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

const fn hours(hours: u64) -> Duration {
    minutes(60 * hours)
}

const fn days(days: u64) -> Duration {
    hours(24 * days)
}
