//! The limits for one user's sessions, and the ways to violate them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Micros;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The limits for the sessions of a user.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The time without activity after which a session ends. None: never. A background refresh is not activity.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Option<Duration>,
    /// The longest lifetime of any session, however active and however remembered.
    #[serde(with = "humantime_serde")]
    pub session_lifetime_max: Duration,
    /// The lifetime of a session without "remember me".
    #[serde(with = "humantime_serde")]
    pub session_lifetime: Duration,
    /// Whether a sign-in may ask to be remembered.
    pub remember_me_allowed: bool,
    /// The lifetime of a remembered session.
    #[serde(with = "humantime_serde")]
    pub remember_me_lifetime: Duration,
    /// The lifetime of an access token, where it is shorter than the installation's. None: the installation's.
    #[serde(with = "humantime_serde")]
    pub access_token_lifetime: Option<Duration>,
    /// The most active sessions of a user. None: no limit.
    pub sessions_max: Option<u32>,
    /// The action of a sign-in at that number.
    pub at_limit: AtLimit,
    /// The accepted values of a session's `acr`. Empty: any.
    pub required_acr: Vec<String>,
    /// The greatest age of an authentication that may end sessions. None: any age.
    #[serde(with = "humantime_serde")]
    pub reauthenticate_within: Option<Duration>,
}

/// The action of a sign-in when the user has as many sessions as allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AtLimit {
    /// The sign-in is refused.
    Refuse,
    /// The sign-in ends the oldest session. A lost device then locks nobody out.
    #[default]
    EndOldest,
}

/// The number of active sessions that a user may have, and the effect of a sign-in at that number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimit {
    /// The most active sessions, the new one included.
    pub sessions_max: u32,
    /// The action at that number.
    pub at_limit: AtLimit,
}

/// Stricter limits for one user. An unset field keeps the tenant's limit.
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
    /// Forbids remembered sessions.
    pub forbid_remember_me: bool,
    /// See [`Limits::remember_me_lifetime`].
    #[serde(with = "humantime_serde")]
    pub remember_me_lifetime: Option<Duration>,
    /// See [`Limits::access_token_lifetime`].
    #[serde(with = "humantime_serde")]
    pub access_token_lifetime: Option<Duration>,
    /// See [`Limits::sessions_max`].
    pub sessions_max: Option<u32>,
    /// See [`Limits::required_acr`]. A subset of the tenant's, or any values where the tenant requires none.
    pub required_acr: Vec<String>,
    /// See [`Limits::reauthenticate_within`].
    #[serde(with = "humantime_serde")]
    pub reauthenticate_within: Option<Duration>,
}

/// An existing session as a policy judges it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionFacts<'a> {
    /// The time of the sign-in.
    pub created: Micros,
    /// Whether the session has the longer lifetime of "remember me".
    pub remember_me: bool,
    /// The authentication context class.
    pub acr: &'a str,
    /// The last use that a gate reported. The time of the sign-in before the first use.
    pub last_active: Micros,
    /// The part of the time since then in which use may have gone unreported. It does not count as idleness.
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
    /// The session is younger than the lifetime of its kind.
    Lifetime {
        /// The lifetime of a remembered session.
        remembered: Duration,
        /// The lifetime of any other session.
        other: Duration,
    },
}

impl Rule<'_> {
    /// Whether a session breaks the rule at `now`. A limit is reached at exactly its duration (NIST SP 800-63B, 4.2.3: "30
    /// minutes or longer").
    #[must_use]
    pub fn is_broken_by(&self, session: &SessionFacts<'_>, now: Micros) -> bool {
        let age = now.since(session.created);
        match self {
            Self::RequiredAcr(acrs) => !acrs.iter().any(|acr| acr == session.acr),
            Self::NotRemembered => session.remember_me,
            Self::LifetimeMax(longest) => age >= *longest,
            Self::Lifetime { remembered, .. } if session.remember_me => age >= *remembered,
            Self::Lifetime { other, .. } => age >= *other,
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

/// The way in which an existing session violates its policy. The first that applies, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PolicyViolation {
    /// The `acr` is not among the required ones.
    AcrMissing,
    /// The session is remembered, which is no longer allowed. It ends at once, because the device keeps its token.
    RememberMeForbidden,
    /// The session is older than any session may be.
    TooOld,
    /// The session is older than the current lifetime of its kind, remembered or not.
    LifetimeShortened,
    /// The session was not used for the idle timeout.
    Idle,
    /// The user has as many newer sessions as the policy allows.
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
    /// The lifetime of access tokens, where the installation allows at most `longest`.
    #[must_use]
    pub fn access_token_lifetime(&self, longest: Duration) -> Duration {
        least(longest, self.access_token_lifetime)
    }

    /// The number of sessions that a user may have, and the effect of a sign-in at that number. None: any number.
    #[must_use]
    pub fn session_limit(&self) -> Option<SessionLimit> {
        let sessions_max = self.sessions_max?;
        Some(SessionLimit {
            sessions_max,
            at_limit: self.at_limit,
        })
    }

    /// The lifetime of a session that opens now. A forbidden wish to be remembered is ignored.
    #[must_use]
    pub fn lifetime(&self, remember_me: bool) -> Duration {
        let lifetime = if remember_me && self.remember_me_allowed {
            self.remember_me_lifetime
        } else {
            self.session_lifetime
        };
        // The maximum holds for remembered sessions too.
        lifetime.min(self.session_lifetime_max)
    }

    /// Whether a session may open with this `acr`.
    #[must_use]
    pub fn accepts_acr(&self, acr: &str) -> bool {
        self.required_acr.is_empty() || self.required_acr.iter().any(|required| required == acr)
    }

    /// Whether a user that authenticated at `auth_time` has to do so again before ending sessions.
    #[must_use]
    pub fn needs_reauthentication(&self, auth_time: Micros, now: Micros) -> bool {
        match self.reauthenticate_within {
            Some(within) => now.since(auth_time) >= within,
            None => false,
        }
    }

    /// The rules that do not depend on a session's use, in the order in which violations are named.
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

    /// The violation of a session at `now`, if any.
    #[must_use]
    pub fn violation(&self, session: &SessionFacts<'_>, now: Micros) -> Option<PolicyViolation> {
        // Idleness comes last: it is the one violation that a late report may still disprove.
        for rule in self.rules() {
            if rule.is_broken_by(session, now) {
                return Some(rule.violation());
            }
        }
        if self.is_idle(session, now) {
            return Some(PolicyViolation::Idle);
        }
        None
    }

    fn is_idle(&self, session: &SessionFacts<'_>, now: Micros) -> bool {
        let Some(timeout) = self.idle_timeout else {
            return false;
        };
        let last_active = session.last_active.max(session.created);
        let idle = now.since(last_active).saturating_sub(session.unheard);
        idle >= timeout
    }

    /// The time at which a session within these limits will violate them if it is not used. None: not before it expires.
    ///
    /// Only the store knows when a sign-in opens. Its due time is that of a session that opens at 0, added to the opening.
    #[must_use]
    pub fn due(&self, session: &SessionFacts<'_>, expires: Micros) -> Option<Micros> {
        // Only limits that time alone reaches. The walk after a change of the policy finds all other violations.
        let mut due = session.created.after(self.lifetime(session.remember_me));
        // Use moves the idle timeout and never the lifetime.
        if let Some(timeout) = self.idle_timeout {
            let last_active = session.last_active.max(session.created);
            due = due.min(last_active.after(session.unheard).after(timeout));
        }
        // The index of the sweep leaves out sessions without a due time, so those that expire first cost it nothing.
        (due < expires).then_some(due)
    }

    /// The stricter of these limits and an override, field by field.
    pub(super) fn tightened(self, stricter: &UserOverride) -> Self {
        // A shorter maximum shortens the other lifetimes too: the override need not repeat them.
        let lifetime_max = least(self.session_lifetime_max, stricter.session_lifetime_max);
        let session_lifetime = least(self.session_lifetime, stricter.session_lifetime);
        let remembered = least(self.remember_me_lifetime, stricter.remember_me_lifetime);
        // Replaced and not intersected: an empty intersection would accept every value. The check of the policy makes
        // sure that the override is a subset.
        let required_acr = if stricter.required_acr.is_empty() {
            self.required_acr
        } else {
            stricter.required_acr.clone()
        };

        Self {
            idle_timeout: strictest(self.idle_timeout, stricter.idle_timeout),
            session_lifetime_max: lifetime_max,
            session_lifetime: session_lifetime.min(lifetime_max),
            remember_me_allowed: self.remember_me_allowed && !stricter.forbid_remember_me,
            remember_me_lifetime: remembered.min(lifetime_max),
            access_token_lifetime: strictest(
                self.access_token_lifetime,
                stricter.access_token_lifetime,
            ),
            sessions_max: strictest(self.sessions_max, stricter.sessions_max),
            // Neither action is the stricter one, so no override can change it.
            at_limit: self.at_limit,
            required_acr,
            reauthenticate_within: strictest(
                self.reauthenticate_within,
                stricter.reauthenticate_within,
            ),
        }
    }
}

impl PolicyViolation {
    /// The field of the contract's policy that the session violates, for programs that read the audit trail.
    #[must_use]
    pub fn rule(self) -> &'static str {
        match self {
            Self::AcrMissing => "required_acr",
            Self::RememberMeForbidden => "remember_me_allowed",
            Self::TooOld => "session_lifetime_max",
            Self::LifetimeShortened => "session_lifetime",
            Self::Idle => "idle_timeout",
            Self::TooMany => "sessions_max",
        }
    }

    /// The text in the audit trail.
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

/// The lesser of two limits. None is no limit.
fn strictest<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

fn least(limit: Duration, own: Option<Duration>) -> Duration {
    match own {
        Some(own) => own.min(limit),
        None => limit,
    }
}
