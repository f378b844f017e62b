//! Presets: policies by the name of a standard.

use std::time::Duration;

use super::Limits;

/// The limits that a standard asks for, as far as a policy can express them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// The name in requests.
    pub name: &'static str,
    /// The document and section.
    pub source: &'static str,
    /// The standard's limit "regardless of user activity".
    pub session_lifetime_max: Duration,
    /// The standard's limit of inactivity, if it has one.
    pub idle_timeout: Option<Duration>,
    /// Whether the standard asks for two factors. The tenant then puts its own `acr` values for that into
    /// [`Limits::required_acr`].
    pub two_factors: bool,
}

/// The presets.
///
/// - **NIST SP 800-63B** of June 2017 (revision 3): 4.1.3, 4.2.3 and 4.3.3 are "Reauthentication" of the assurance levels 1
///   to 3. Revision 4 (2025) is laxer at level 2 (24 hours, 1 hour), so these presets fulfil it too.
/// - **OWASP ASVS 4.0.3**, requirement 3.3.2. Its "12 hours or 30 minutes of inactivity" is read as both limits, whichever
///   is reached first, like those of NIST, to which it refers.
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
    /// The preset with that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == name)
    }

    /// Replaces the maximum lifetime and the idle timeout of `limits` by the standard's, whether stricter or not, and lowers
    /// the other lifetimes to fit. Everything else stays.
    #[must_use]
    pub fn apply(&self, limits: Limits) -> Limits {
        Limits {
            // A standard that asks for no idle timeout must not switch off the one of the tenant.
            idle_timeout: self.idle_timeout.or(limits.idle_timeout),
            session_lifetime_max: self.session_lifetime_max,
            // A lifetime beyond the maximum would make the policy invalid.
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
