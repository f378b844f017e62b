//! What one user's sessions are held to, and when one of them is past it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Micros;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What sessions are held to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// A session that was not active for this long ends; none: never. A background refresh is not activity.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Option<Duration>,
    /// The longest that any session lives, however active and however remembered.
    #[serde(with = "humantime_serde")]
    pub session_lifetime_max: Duration,
    /// How long a session lives without "remember me".
    #[serde(with = "humantime_serde")]
    pub session_lifetime: Duration,
    /// Whether a sign-in may ask to be remembered.
    pub remember_me_allowed: bool,
    /// How long a remembered session lives.
    #[serde(with = "humantime_serde")]
    pub remember_me_lifetime: Duration,
    /// How long an access token lives, where that is less than the installation's; none: as long as the installation's.
    #[serde(with = "humantime_serde")]
    pub access_token_lifetime: Option<Duration>,
    /// The most active sessions of one user; none: no limit.
    pub sessions_max: Option<u32>,
    /// What a sign-in does at that limit.
    pub at_limit: AtLimit,
    /// A session's `acr` has to be one of these; empty: any will do.
    pub required_acr: Vec<String>,
    /// Ending sessions needs an authentication that is at most this old; none: any age will do.
    #[serde(with = "humantime_serde")]
    pub reauthenticate_within: Option<Duration>,
}

/// What a sign-in does when the user has as many sessions as allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AtLimit {
    /// It is refused.
    Refuse,
    /// It ends the oldest, so that nobody is locked out by a device they lost.
    #[default]
    EndOldest,
}

/// Stricter limits for one user. What is absent is as the tenant has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct UserOverride {
    /// See [`Limits::idle_timeout`].
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Option<Duration>,
    /// See [`Limits::session_lifetime_max`].
    #[serde(with = "humantime_serde")]
    pub session_lifetime_max: Option<Duration>,
    /// See [`Limits::session_lifetime`].
    #[serde(with = "humantime_serde")]
    pub session_lifetime: Option<Duration>,
    /// The user's sessions are never remembered.
    pub forbid_remember_me: bool,
    /// See [`Limits::remember_me_lifetime`].
    #[serde(with = "humantime_serde")]
    pub remember_me_lifetime: Option<Duration>,
    /// See [`Limits::access_token_lifetime`].
    #[serde(with = "humantime_serde")]
    pub access_token_lifetime: Option<Duration>,
    /// See [`Limits::sessions_max`].
    pub sessions_max: Option<u32>,
    /// See [`Limits::required_acr`]; some of the tenant's, or any where the tenant requires none.
    pub required_acr: Vec<String>,
    /// See [`Limits::reauthenticate_within`].
    #[serde(with = "humantime_serde")]
    pub reauthenticate_within: Option<Duration>,
}

/// What a policy asks about a session that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionFacts<'a> {
    /// When it was opened.
    pub created: Micros,
    /// Whether it is remembered.
    pub remember_me: bool,
    /// Its authentication context class.
    pub acr: &'a str,
    /// When a gate last saw it used; its opening when none did.
    pub last_active: Micros,
    /// How much of the time since then the authority was not there to hear of use. That is not idleness.
    pub unheard: Duration,
}

/// A rule for sessions that does not depend on their use.
///
/// The sweep applies these rules here to each session. The store applies them in SQL, where it counts the sessions that a
/// user has beyond [`Limits::sessions_max`]: a session that breaks a rule ends for that, and does not count. The store
/// matches on this type without a wildcard, so that a new rule does not compile before both sides have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule<'a> {
    /// The authentication context class is one of these.
    RequiredAcr(&'a [String]),
    /// The session is not remembered.
    NotRemembered,
    /// The session is younger than this.
    LifetimeMax(Duration),
    /// The session is younger than this. Remembered sessions have a lifetime of their own.
    Lifetime {
        /// That of a remembered session.
        remembered: Duration,
        /// That of any other session.
        other: Duration,
    },
}

impl Rule<'_> {
    /// Whether a session breaks the rule at `now`.
    #[must_use]
    pub fn is_broken_by(&self, session: &SessionFacts<'_>, now: Micros) -> bool {
        let age = now.since(session.created);
        match self {
            Self::RequiredAcr(acrs) => !acrs.iter().any(|acr| acr == session.acr),
            Self::NotRemembered => session.remember_me,
            Self::LifetimeMax(longest) => age >= *longest,
            Self::Lifetime { remembered, other } => {
                let lifetime = if session.remember_me {
                    remembered
                } else {
                    other
                };
                age >= *lifetime
            }
        }
    }

    /// The violation of a session that breaks the rule.
    #[must_use]
    pub fn violation(&self) -> PolicyViolation {
        match self {
            Self::RequiredAcr(_) => PolicyViolation::AcrMissing,
            Self::NotRemembered => PolicyViolation::RememberMeForbidden,
            Self::LifetimeMax(_) => PolicyViolation::TooOld,
            Self::Lifetime { .. } => PolicyViolation::LifetimeShortened,
        }
    }
}

/// Why a session that exists is past the policy. The first that holds, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyViolation {
    /// Its `acr` is none of the required ones.
    AcrMissing,
    /// It is remembered, and that is no longer allowed. It ends at once: the device keeps what it was given.
    RememberMeForbidden,
    /// It is older than any session may be.
    TooOld,
    /// It is older than sessions of its kind, remembered or not, live by now.
    LifetimeShortened,
    /// It was not used for too long.
    Idle,
    /// Its user has as many newer ones as the policy allows.
    TooMany,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            idle_timeout: Some(7 * DAY),
            session_lifetime_max: 90 * DAY,
            session_lifetime: 7 * DAY,
            remember_me_allowed: true,
            remember_me_lifetime: 30 * DAY,
            access_token_lifetime: None,
            sessions_max: None,
            at_limit: AtLimit::default(),
            required_acr: Vec::new(),
            reauthenticate_within: None,
        }
    }
}

impl Limits {
    /// How long access tokens live where the installation lets them live for `longest`.
    #[must_use]
    pub fn access_token_lifetime(&self, longest: Duration) -> Duration {
        self.access_token_lifetime
            .map_or(longest, |lifetime| lifetime.min(longest))
    }

    /// How long a session that opens now lives. A wish to be remembered that is not allowed is no wish.
    #[must_use]
    pub fn lifetime(&self, remember_me: bool) -> Duration {
        let remembered = remember_me && self.remember_me_allowed;
        let lifetime = if remembered {
            self.remember_me_lifetime
        } else {
            self.session_lifetime
        };
        lifetime.min(self.session_lifetime_max)
    }

    /// Whether a session may open with this `acr`.
    #[must_use]
    pub fn accepts_acr(&self, acr: &str) -> bool {
        self.required_acr.is_empty() || self.required_acr.iter().any(|required| required == acr)
    }

    /// Whether a user who authenticated at `auth_time` has to do so again before ending sessions.
    #[must_use]
    pub fn needs_reauthentication(&self, auth_time: Micros, now: Micros) -> bool {
        self.reauthenticate_within
            .is_some_and(|within| now.since(auth_time) > within)
    }

    /// The rules for a session that do not depend on its use, in the order in which a violation is named.
    #[must_use]
    pub fn rules(&self) -> Vec<Rule<'_>> {
        let mut rules = Vec::new();
        if !self.required_acr.is_empty() {
            rules.push(Rule::RequiredAcr(&self.required_acr));
        }
        if !self.remember_me_allowed {
            rules.push(Rule::NotRemembered);
        }
        rules.push(Rule::LifetimeMax(self.session_lifetime_max));
        rules.push(Rule::Lifetime {
            remembered: self.lifetime(true),
            other: self.lifetime(false),
        });
        rules
    }

    /// How a session violates these limits at `now`, if it does. A session reaches a limit when it is as old as the limit
    /// says (NIST SP 800-63B, 4.2.3: "30 minutes or longer").
    #[must_use]
    pub fn violation(&self, session: &SessionFacts<'_>, now: Micros) -> Option<PolicyViolation> {
        for rule in self.rules() {
            if rule.is_broken_by(session, now) {
                return Some(rule.violation());
            }
        }
        let idle = now
            .since(session.last_active.max(session.created))
            .saturating_sub(session.unheard);
        if self.idle_timeout.is_some_and(|timeout| idle >= timeout) {
            return Some(PolicyViolation::Idle);
        }
        None
    }

    /// When a session that is within these limits will be past them if it is not used; none: not before it expires.
    /// That of a sign-in is as long after its opening, which only the store knows, as for one that opens at 0.
    #[must_use]
    pub fn due(&self, session: &SessionFacts<'_>, expires: Micros) -> Option<Micros> {
        let old = session.created.after(self.lifetime(session.remember_me));
        let heard = session
            .last_active
            .max(session.created)
            .after(session.unheard);
        let due = self
            .idle_timeout
            .map_or(old, |timeout| heard.after(timeout).min(old));
        (due < expires).then_some(due)
    }

    /// The stricter of these and `stricter`.
    pub(super) fn tightened(self, stricter: &UserOverride) -> Self {
        let acr_required = !stricter.required_acr.is_empty();
        let session_lifetime_max = least(self.session_lifetime_max, stricter.session_lifetime_max);
        Self {
            idle_timeout: strictest(self.idle_timeout, stricter.idle_timeout),
            session_lifetime_max,
            session_lifetime: least(self.session_lifetime, stricter.session_lifetime)
                .min(session_lifetime_max),
            remember_me_allowed: self.remember_me_allowed && !stricter.forbid_remember_me,
            remember_me_lifetime: least(self.remember_me_lifetime, stricter.remember_me_lifetime)
                .min(session_lifetime_max),
            access_token_lifetime: strictest(
                self.access_token_lifetime,
                stricter.access_token_lifetime,
            ),
            sessions_max: strictest(self.sessions_max, stricter.sessions_max),
            at_limit: self.at_limit,
            required_acr: if acr_required {
                stricter.required_acr.clone()
            } else {
                self.required_acr
            },
            reauthenticate_within: strictest(
                self.reauthenticate_within,
                stricter.reauthenticate_within,
            ),
        }
    }
}

impl PolicyViolation {
    /// What the audit trail says.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::AcrMissing => "the policy requires another authentication context class",
            Self::RememberMeForbidden => "the policy does not allow remembered sessions",
            Self::TooOld => "older than the policy's maximum lifetime",
            Self::LifetimeShortened => "older than the policy's lifetime",
            Self::Idle => "idle for the policy's timeout",
            Self::TooMany => "beyond the policy's number of sessions",
        }
    }
}

/// The lesser, where absent is no limit.
fn strictest<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    one.into_iter().chain(other).min()
}

fn least(limit: Duration, own: Option<Duration>) -> Duration {
    own.map_or(limit, |own| own.min(limit))
}
