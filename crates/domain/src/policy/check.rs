//! Validation of policies: the rules that types cannot express.

use std::{ops::RangeInclusive, time::Duration};

use super::{Limits, Policy, UserOverride};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The shortest duration of a policy.
pub const DURATION_MIN: Duration = Duration::from_secs(1);
/// The longest duration of a policy, except for access tokens: ten years, as in the configuration.
pub const DURATION_MAX: Duration = Duration::from_secs(3660 * 24 * 60 * 60);
/// The longest lifetime of an access token in a policy, as in the configuration.
pub const ACCESS_TOKEN_LIFETIME_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// The highest limit of concurrent sessions. A policy without a limit leaves the field unset.
pub const SESSIONS_MAX: u32 = 10_000;
/// The most values of `required_acr`.
pub const ACRS_MAX: usize = 16;
/// The longest value of `required_acr`, in bytes: as long as a session's own.
pub const ACR_BYTES_MAX: usize = 256;
/// The most users with an override.
pub const USER_OVERRIDES_MAX: usize = 1_000;
/// The most problems that [`Policy::validate`] lists. The answer has to fit into an error.
pub const PROBLEMS_MAX: usize = 32;

const LOOSER: &str = "must not be looser than the tenant's";

/// A problem with a policy: a field (`idle_timeout`, `user_overrides[ann].idle_timeout`) and a description.
pub type Problem = (String, String);

/// The problems found so far, and the path of the part that is checked.
struct Problems {
    path: String,
    found: Vec<Problem>,
}

impl Problems {
    fn add(&mut self, field: &str, problem: impl Into<String>) {
        let field = format!("{}{field}", self.path);
        self.found.push((field, problem.into()));
    }

    fn add_error(&mut self, field: &str, checked: Result<(), String>) {
        if let Err(problem) = checked {
            self.add(field, problem);
        }
    }
}

impl Policy {
    /// Checks the rules that types cannot express.
    ///
    /// # Errors
    /// The first [`PROBLEMS_MAX`] problems, each with the path of its field.
    pub fn validate(&self) -> Result<(), Vec<Problem>> {
        let mut problems = Problems {
            path: String::new(),
            found: Vec::new(),
        };
        self.limits.check(&mut problems);
        if self.user_overrides.len() > USER_OVERRIDES_MAX {
            let problem = format!("must have at most {USER_OVERRIDES_MAX} entries");
            problems.add("user_overrides", problem);
        }
        // Bounded, because the policy comes from a caller and may have any number of them.
        for (user, stricter) in self.user_overrides.iter().take(USER_OVERRIDES_MAX) {
            problems.path = format!("user_overrides[{user}].");
            stricter.check(&self.limits, &mut problems);
        }

        // One cut at the end keeps the order, and the number of problems is bounded by that of overrides.
        let mut found = problems.found;
        found.truncate(PROBLEMS_MAX);
        if found.is_empty() { Ok(()) } else { Err(found) }
    }
}

impl Limits {
    fn check(&self, problems: &mut Problems) {
        for (field, duration, range) in self.durations() {
            problems.add_error(field, check_duration(duration, &range));
        }
        for (field, lifetime) in [
            ("session_lifetime", self.session_lifetime),
            ("remember_me_lifetime", self.remember_me_lifetime),
        ] {
            if lifetime > self.session_lifetime_max {
                problems.add(field, "must be at most session_lifetime_max");
            }
        }
        problems.add_error("sessions_max", check_sessions_max(self.sessions_max));
        problems.add_error("required_acr", check_acrs(&self.required_acr));
    }

    /// Each duration with its field and its allowed range.
    fn durations(&self) -> [(&'static str, Option<Duration>, RangeInclusive<Duration>); 6] {
        let any = DURATION_MIN..=DURATION_MAX;
        [
            ("idle_timeout", self.idle_timeout, any.clone()),
            (
                "session_lifetime_max",
                Some(self.session_lifetime_max),
                any.clone(),
            ),
            ("session_lifetime", Some(self.session_lifetime), any.clone()),
            (
                "remember_me_lifetime",
                Some(self.remember_me_lifetime),
                any.clone(),
            ),
            (
                "access_token_lifetime",
                self.access_token_lifetime,
                DURATION_MIN..=ACCESS_TOKEN_LIFETIME_MAX,
            ),
            ("reauthenticate_within", self.reauthenticate_within, any),
        ]
    }
}

impl UserOverride {
    fn check(&self, tenant: &Limits, problems: &mut Problems) {
        self.check_durations(tenant, problems);
        problems.add_error("sessions_max", check_sessions_max(self.sessions_max));
        if is_looser(self.sessions_max, tenant.sessions_max) {
            problems.add("sessions_max", LOOSER);
        }
        problems.add_error("required_acr", check_acrs(&self.required_acr));
        // `tightened` replaces the list, so a foreign value would admit what the tenant refuses.
        if !self.required_acr.iter().all(|acr| tenant.accepts_acr(acr)) {
            problems.add("required_acr", "must be among the tenant's");
        }
    }

    fn check_durations(&self, tenant: &Limits, problems: &mut Problems) {
        for (own, (field, limit, range)) in self.durations().into_iter().zip(tenant.durations()) {
            problems.add_error(field, check_duration(own, &range));
            if is_looser(own, limit) {
                problems.add(field, LOOSER);
            }
        }

        let Some(lifetime_max) = self.session_lifetime_max else {
            return;
        };
        for (field, lifetime) in [
            ("session_lifetime", self.session_lifetime),
            ("remember_me_lifetime", self.remember_me_lifetime),
        ] {
            // An unset lifetime compares as less than any other, so it passes.
            if lifetime > Some(lifetime_max) {
                problems.add(field, "must be at most the user's session_lifetime_max");
            }
        }
    }

    /// The durations, in the order of [`Limits::durations`].
    fn durations(&self) -> [Option<Duration>; 6] {
        [
            self.idle_timeout,
            self.session_lifetime_max,
            self.session_lifetime,
            self.remember_me_lifetime,
            self.access_token_lifetime,
            self.reauthenticate_within,
        ]
    }
}

fn is_looser<T: Ord>(own: Option<T>, limit: Option<T>) -> bool {
    match (own, limit) {
        (Some(own), Some(limit)) => own > limit,
        // Unset: the override keeps the tenant's limit, or the tenant has none.
        _ => false,
    }
}

fn check_duration(
    duration: Option<Duration>,
    range: &RangeInclusive<Duration>,
) -> Result<(), String> {
    match duration {
        Some(duration) if !range.contains(&duration) => {
            let seconds = range.start().as_secs();
            let days = range.end().as_secs() / DAY.as_secs();
            Err(format!("must be from {seconds} second to {days} days"))
        }
        _ => Ok(()),
    }
}

fn check_sessions_max(max: Option<u32>) -> Result<(), String> {
    match max {
        Some(max) if !(1..=SESSIONS_MAX).contains(&max) => {
            Err(format!("must be from 1 to {SESSIONS_MAX}"))
        }
        _ => Ok(()),
    }
}

fn check_acrs(acrs: &[String]) -> Result<(), String> {
    if acrs.len() > ACRS_MAX {
        return Err(format!("must have at most {ACRS_MAX} entries"));
    }
    for acr in acrs {
        let fits = (1..=ACR_BYTES_MAX).contains(&acr.len());
        if !fits || acr.chars().any(char::is_control) {
            return Err(format!(
                "entries must be 1 to {ACR_BYTES_MAX} bytes without control characters"
            ));
        }
    }
    Ok(())
}
