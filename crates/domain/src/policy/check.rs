//! What types cannot say about a policy.

use std::{ops::RangeInclusive, time::Duration};

use super::{Limits, Policy, UserOverride};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The shortest duration that a policy may have.
pub const DURATION_MIN: Duration = Duration::from_secs(1);
/// The longest duration that a policy may have but for access tokens: ten years, as in the configuration.
pub const DURATION_MAX: Duration = Duration::from_secs(3660 * 24 * 60 * 60);
/// The longest life of an access token that a policy may have, as in the configuration.
pub const ACCESS_TOKEN_LIFETIME_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// The highest limit of concurrent sessions; who wants more wants no limit.
pub const SESSIONS_MAX: u32 = 10_000;
/// The most values of `required_acr`.
pub const ACRS_MAX: usize = 16;
/// The longest value of `required_acr`, in bytes: as long as a session's own.
pub const ACR_BYTES_MAX: usize = 256;
/// The most users with stricter values of their own.
pub const USER_OVERRIDES_MAX: usize = 1_000;
/// The most problems that [`Policy::validate`] lists; an answer has to fit into an error.
pub const PROBLEMS_MAX: usize = 32;

/// What is wrong with a policy: a field (`idle_timeout`, `user_overrides[ann].idle_timeout`), and a description.
pub type Problem = (String, String);

impl Policy {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// The first [`PROBLEMS_MAX`] problems, each with the path of its field.
    pub fn validate(&self) -> Result<(), Vec<Problem>> {
        let mut problems = Vec::new();
        self.limits.check(&mut problems);
        if self.user_overrides.len() > USER_OVERRIDES_MAX {
            let problem = format!("must have at most {USER_OVERRIDES_MAX} entries");
            problems.push(("user_overrides".into(), problem));
        }
        for (user, stricter) in self.user_overrides.iter().take(USER_OVERRIDES_MAX) {
            stricter.check(
                &format!("user_overrides[{user}]"),
                &self.limits,
                &mut problems,
            );
        }
        problems.truncate(PROBLEMS_MAX);
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems)
        }
    }
}

impl Limits {
    fn check(&self, problems: &mut Vec<Problem>) {
        let mut wrong = |field: &str, problem: String| problems.push((field.to_owned(), problem));
        for (field, duration, range) in self.durations() {
            check_duration(duration, &range).unwrap_or_else(|problem| wrong(field, problem));
        }
        for (field, lifetime) in [
            ("session_lifetime", self.session_lifetime),
            ("remember_me_lifetime", self.remember_me_lifetime),
        ] {
            if lifetime > self.session_lifetime_max {
                wrong(field, "must be at most session_lifetime_max".into());
            }
        }
        check_sessions_max(self.sessions_max)
            .unwrap_or_else(|problem| wrong("sessions_max", problem));
        check_acrs(&self.required_acr).unwrap_or_else(|problem| wrong("required_acr", problem));
    }

    /// Each duration with its field and the range it may be in.
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
    fn check(&self, path: &str, tenant: &Limits, problems: &mut Vec<Problem>) {
        let mut wrong =
            |field: &str, problem: String| problems.push((format!("{path}.{field}"), problem));
        for (own, (field, limit, range)) in self.durations().into_iter().zip(tenant.durations()) {
            check_duration(own, &range).unwrap_or_else(|problem| wrong(field, problem));
            if is_looser(own, limit) {
                wrong(field, LOOSER.into());
            }
        }
        for (field, own) in [
            ("session_lifetime", self.session_lifetime),
            ("remember_me_lifetime", self.remember_me_lifetime),
        ] {
            if let (Some(own), Some(max)) = (own, self.session_lifetime_max)
                && own > max
            {
                wrong(
                    field,
                    "must be at most the user's session_lifetime_max".into(),
                );
            }
        }
        check_sessions_max(self.sessions_max)
            .unwrap_or_else(|problem| wrong("sessions_max", problem));
        if is_looser(self.sessions_max, tenant.sessions_max) {
            wrong("sessions_max", LOOSER.into());
        }
        check_acrs(&self.required_acr).unwrap_or_else(|problem| wrong("required_acr", problem));
        if !self.required_acr.iter().all(|acr| tenant.accepts_acr(acr)) {
            wrong("required_acr", "must be among the tenant's".into());
        }
    }

    /// In the order of [`Limits::durations`].
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

const LOOSER: &str = "must not be looser than the tenant's";

fn is_looser<T: Ord>(own: Option<T>, limit: Option<T>) -> bool {
    own.zip(limit).is_some_and(|(own, limit)| own > limit)
}

fn check_duration(
    duration: Option<Duration>,
    range: &RangeInclusive<Duration>,
) -> Result<(), String> {
    match duration {
        Some(duration) if !range.contains(&duration) => {
            let (seconds, days) = (
                range.start().as_secs(),
                range.end().as_secs() / DAY.as_secs(),
            );
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
    let fits = |acr: &String| {
        (1..=ACR_BYTES_MAX).contains(&acr.len()) && !acr.chars().any(char::is_control)
    };
    if acrs.iter().all(fits) {
        return Ok(());
    }
    Err(format!(
        "entries must be 1 to {ACR_BYTES_MAX} bytes without control characters"
    ))
}
