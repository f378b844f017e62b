//! The form of the settings, and the policy that it asks for.

use portcullis_contract::v1;
use serde::{Deserialize, Serialize};

/// The idle timeouts that have a choice of their own, in days.
pub(super) const IDLE_DAYS: [(&str, i64); 3] = [("1d", 1), ("7d", 7), ("30d", 30)];
/// The choices beside them.
pub(super) const IDLE_NEVER: &str = "never";
pub(super) const IDLE_OWN: &str = "own";
/// The kinds of findings that a policy may switch off, by their numbers in the contract.
pub(super) const FINDINGS: std::ops::RangeInclusive<i32> = 1..=9;
/// The units of a length of time, and their seconds.
pub(super) const UNITS: [(&str, i64); 4] = [
    ("seconds", 1),
    ("minutes", 60),
    ("hours", 3_600),
    ("days", DAY_SECONDS),
];

const DAY_SECONDS: i64 = 86_400;
/// The longest length of time in a policy, in seconds: ten years, as the authority has it.
const LENGTH_SECONDS_MAX: i64 = 3_660 * DAY_SECONDS;
/// The highest number of sessions of a person.
const SESSIONS_MAX: u32 = 10_000;
/// The most values of `acr`.
const ACRS_MAX: usize = 16;
/// The longest value of `acr`, in bytes.
const ACR_BYTES_MAX: usize = 256;

/// A field of the form that asks for something that no policy can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Idle,
    Lifetime,
    Remember,
    Longest,
    Token,
    SessionsMax,
    AtLimit,
    Acr,
    Recent,
}

impl Fault {
    /// The message about it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Idle => "settings-wrong-idle",
            Self::Lifetime => "settings-wrong-lifetime",
            Self::Remember => "settings-wrong-remember",
            Self::Longest => "settings-wrong-longest",
            Self::Token => "settings-wrong-token",
            Self::SessionsMax => "settings-wrong-sessions-max",
            Self::AtLimit => "settings-wrong-at-limit",
            Self::Acr => "settings-wrong-acr",
            Self::Recent => "settings-wrong-recent",
        }
    }
}

/// The form as a browser sends it. A box that is not checked is not sent at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct SettingsForm {
    /// The version that the person saw.
    pub(super) etag: String,
    /// The name of a standard. Then only the etag counts beside it.
    pub(super) preset: String,
    /// Of the page before saving.
    pub(super) reason: String,
    pub(super) idle: String,
    pub(super) idle_value: String,
    pub(super) idle_unit: String,
    pub(super) remember: String,
    pub(super) remember_value: String,
    pub(super) remember_unit: String,
    pub(super) lifetime_value: String,
    pub(super) lifetime_unit: String,
    pub(super) longest_value: String,
    pub(super) longest_unit: String,
    pub(super) token_value: String,
    pub(super) token_unit: String,
    pub(super) sessions_max: String,
    pub(super) at_limit: String,
    pub(super) users_see: String,
    pub(super) last_page: String,
    pub(super) shared: String,
    pub(super) acr: String,
    pub(super) recent_value: String,
    pub(super) recent_unit: String,
    /// The kinds of findings that are reported.
    pub(super) finding: Vec<String>,
}

/// The lengths of time in a form.
struct Lengths {
    idle: Option<prost_types::Duration>,
    lifetime: Option<prost_types::Duration>,
    remember: Option<prost_types::Duration>,
    longest: Option<prost_types::Duration>,
    token: Option<prost_types::Duration>,
    recent: Option<prost_types::Duration>,
}

fn take(
    read: Result<Option<i64>, ()>,
    fault: Fault,
    faults: &mut Vec<Fault>,
) -> Option<prost_types::Duration> {
    match read {
        Ok(seconds) => seconds.map(length),
        Err(()) => {
            faults.push(fault);
            None
        }
    }
}

impl SettingsForm {
    /// The form that asks for a policy as it is.
    pub(super) fn of(policy: &v1::Policy) -> Self {
        let idle = policy.idle_timeout.map(|length| length.seconds);
        let (idle_value, idle_unit) = amount(idle);
        let (remember_value, remember_unit) = amount(seconds(policy.remember_me_lifetime));
        let (lifetime_value, lifetime_unit) = amount(seconds(policy.session_lifetime));
        let (longest_value, longest_unit) = amount(seconds(policy.session_lifetime_max));
        let (token_value, token_unit) = amount(seconds(policy.access_token_lifetime));
        let (recent_value, recent_unit) = amount(seconds(policy.reauthenticate_within));
        let sessions_max = match policy.sessions_max {
            0 => String::new(),
            most => most.to_string(),
        };
        let at_limit = match policy.at_limit() {
            v1::SessionLimitAction::Refuse => "refuse",
            _ => "end_oldest",
        };
        Self {
            etag: policy.etag.clone(),
            preset: String::new(),
            reason: String::new(),
            idle: idle_choice(idle).to_owned(),
            idle_value,
            idle_unit,
            remember: checked(policy.remember_me_allowed),
            remember_value,
            remember_unit,
            lifetime_value,
            lifetime_unit,
            longest_value,
            longest_unit,
            token_value,
            token_unit,
            sessions_max,
            at_limit: at_limit.to_owned(),
            users_see: checked(policy.users_see_sessions),
            last_page: checked(policy.keep_last_page),
            shared: checked(policy.end_on_shared_refresh_token),
            acr: policy.required_acr.join("\n"),
            recent_value,
            recent_unit,
            finding: FINDINGS
                .filter(|code| !policy.findings_disabled.contains(code))
                .map(|code| code.to_string())
                .collect(),
        }
    }

    pub(super) fn remember(&self) -> bool {
        !self.remember.is_empty()
    }

    pub(super) fn users_see(&self) -> bool {
        !self.users_see.is_empty()
    }

    pub(super) fn last_page(&self) -> bool {
        !self.last_page.is_empty()
    }

    pub(super) fn shared(&self) -> bool {
        !self.shared.is_empty()
    }

    pub(super) fn reports(&self, code: i32) -> bool {
        self.finding.iter().any(|sent| *sent == code.to_string())
    }

    /// The policy that the form asks for. Values that the form does not show stay as in `current`.
    pub(super) fn policy(&self, current: &v1::Policy) -> Result<v1::Policy, Vec<Fault>> {
        // The button of a standard sends no other field. The authority applies the standard to the
        // policy in force.
        if !self.preset.is_empty() {
            return Ok(current.clone());
        }
        let mut faults = Vec::new();
        let lengths = self.parse_lengths(&mut faults);
        let sessions_max = self.parse_sessions_max().unwrap_or_else(|fault| {
            faults.push(fault);
            0
        });
        let at_limit = self.parse_at_limit().unwrap_or_else(|fault| {
            faults.push(fault);
            v1::SessionLimitAction::Unspecified
        });
        let required_acr = self.parse_acr().unwrap_or_else(|fault| {
            faults.push(fault);
            Vec::new()
        });
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(v1::Policy {
            idle_timeout: lengths.idle,
            session_lifetime_max: lengths.longest,
            remember_me_allowed: self.remember(),
            remember_me_lifetime: lengths.remember,
            session_lifetime: lengths.lifetime,
            access_token_lifetime: lengths.token,
            sessions_max,
            at_limit: at_limit.into(),
            users_see_sessions: self.users_see(),
            keep_last_page: self.last_page(),
            required_acr,
            reauthenticate_within: lengths.recent,
            // The form asks which kinds are reported, and the contract which ones are not.
            findings_disabled: FINDINGS.filter(|code| !self.reports(*code)).collect(),
            end_on_shared_refresh_token: self.shared(),
            ..current.clone()
        })
    }

    /// Reads the lengths of time. A field without a valid value adds its fault, and has no length.
    fn parse_lengths(&self, faults: &mut Vec<Fault>) -> Lengths {
        let lifetime = required(&self.lifetime_value, &self.lifetime_unit);
        let remember = required(&self.remember_value, &self.remember_unit);
        let longest = required(&self.longest_value, &self.longest_unit);
        let token = optional(&self.token_value, &self.token_unit);
        let recent = optional(&self.recent_value, &self.recent_unit);
        Lengths {
            idle: take(self.idle_seconds(), Fault::Idle, faults),
            lifetime: take(lifetime, Fault::Lifetime, faults),
            remember: take(remember, Fault::Remember, faults),
            longest: take(longest, Fault::Longest, faults),
            token: take(token, Fault::Token, faults),
            recent: take(recent, Fault::Recent, faults),
        }
    }

    fn idle_seconds(&self) -> Result<Option<i64>, ()> {
        if self.idle == IDLE_NEVER {
            return Ok(None);
        }
        if self.idle == IDLE_OWN {
            return required(&self.idle_value, &self.idle_unit);
        }
        let chosen = IDLE_DAYS.iter().find(|(name, _)| *name == self.idle);
        let (_, days) = chosen.ok_or(())?;
        Ok(Some(days * DAY_SECONDS))
    }

    fn parse_sessions_max(&self) -> Result<u32, Fault> {
        let text = self.sessions_max.trim();
        // The policy's 0, for no limit, is an empty field. A typed 0 is refused, because it reads
        // as nobody.
        if text.is_empty() {
            return Ok(0);
        }
        match text.parse() {
            Ok(most) if (1..=SESSIONS_MAX).contains(&most) => Ok(most),
            _ => Err(Fault::SessionsMax),
        }
    }

    fn parse_at_limit(&self) -> Result<v1::SessionLimitAction, Fault> {
        match self.at_limit.as_str() {
            "refuse" => Ok(v1::SessionLimitAction::Refuse),
            "end_oldest" => Ok(v1::SessionLimitAction::EndOldest),
            _ => Err(Fault::AtLimit),
        }
    }

    fn parse_acr(&self) -> Result<Vec<String>, Fault> {
        let values: Vec<_> = self.acr.lines().map(str::trim).collect();
        let values: Vec<_> = values
            .into_iter()
            .filter(|value| !value.is_empty())
            .collect();
        let is_bad = |value: &&str| value.len() > ACR_BYTES_MAX || value.contains(char::is_control);
        if values.len() > ACRS_MAX || values.iter().any(is_bad) {
            return Err(Fault::Acr);
        }
        Ok(values.into_iter().map(str::to_owned).collect())
    }

    /// The fields for the next page, which sends them again. The reason is not among them: each page asks for it.
    pub(super) fn hidden(&self) -> Vec<(&'static str, String)> {
        let fields = [
            ("etag", &self.etag),
            ("preset", &self.preset),
            ("idle", &self.idle),
            ("idle_value", &self.idle_value),
            ("idle_unit", &self.idle_unit),
            ("remember", &self.remember),
            ("remember_value", &self.remember_value),
            ("remember_unit", &self.remember_unit),
            ("lifetime_value", &self.lifetime_value),
            ("lifetime_unit", &self.lifetime_unit),
            ("longest_value", &self.longest_value),
            ("longest_unit", &self.longest_unit),
            ("token_value", &self.token_value),
            ("token_unit", &self.token_unit),
            ("sessions_max", &self.sessions_max),
            ("at_limit", &self.at_limit),
            ("users_see", &self.users_see),
            ("last_page", &self.last_page),
            ("shared", &self.shared),
            ("acr", &self.acr),
            ("recent_value", &self.recent_value),
            ("recent_unit", &self.recent_unit),
        ];
        // Empty fields are left out, as a browser leaves out a box that is not checked.
        let mut hidden = Vec::new();
        for (name, value) in fields {
            if !value.is_empty() {
                hidden.push((name, value.clone()));
            }
        }
        for code in &self.finding {
            hidden.push(("finding", code.clone()));
        }
        hidden
    }
}

fn checked(is_checked: bool) -> String {
    let value = if is_checked { "on" } else { "" };
    value.to_owned()
}

fn seconds(length: Option<prost_types::Duration>) -> Option<i64> {
    length.map(|length| length.seconds)
}

pub(super) fn length(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

fn idle_choice(seconds: Option<i64>) -> &'static str {
    let Some(seconds) = seconds else {
        return IDLE_NEVER;
    };
    let mut choices = IDLE_DAYS.iter();
    let choice = choices.find(|(_, days)| days * DAY_SECONDS == seconds);
    choice.map_or(IDLE_OWN, |(name, _)| name)
}

/// A length as a whole number of its largest unit. Without a length the number is empty.
fn amount(seconds: Option<i64>) -> (String, String) {
    let Some(seconds) = seconds else {
        return (String::new(), "days".to_owned());
    };
    let mut units = UNITS.iter().rev();
    // The largest unit that loses nothing: a form that nobody edits must ask for the very same
    // policy.
    let unit = units.find(|(_, length)| seconds % length == 0);
    let (unit, length) = unit.unwrap_or(&UNITS[0]);
    ((seconds / length).to_string(), (*unit).to_owned())
}

fn optional(value: &str, unit: &str) -> Result<Option<i64>, ()> {
    match value.trim() {
        "" => Ok(None),
        value => required(value, unit),
    }
}

fn required(value: &str, unit: &str) -> Result<Option<i64>, ()> {
    let (_, length) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(())?;
    let value = value.trim();
    // A parser of numbers would take `+1`, which no field of numbers sends.
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(());
    }
    let value: i64 = value.parse().map_err(drop)?;
    let seconds = value.checked_mul(*length).ok_or(())?;
    if !(1..=LENGTH_SECONDS_MAX).contains(&seconds) {
        return Err(());
    }
    Ok(Some(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> v1::Policy {
        v1::Policy {
            idle_timeout: Some(length(7 * DAY_SECONDS)),
            session_lifetime_max: Some(length(90 * DAY_SECONDS)),
            remember_me_allowed: true,
            remember_me_lifetime: Some(length(30 * DAY_SECONDS)),
            session_lifetime: Some(length(5_400)),
            sessions_max: 3,
            at_limit: v1::SessionLimitAction::Refuse.into(),
            users_see_sessions: true,
            required_acr: vec!["mfa".into(), "phr".into()],
            findings_disabled: vec![3, 9],
            users: [("ann".to_owned(), v1::UserPolicy::default())].into(),
            etag: "7".into(),
            ..v1::Policy::default()
        }
    }

    #[test]
    fn a_form_that_nobody_edits_asks_for_the_policy_it_was_made_of() {
        let mut others = vec![
            policy(),
            v1::Policy {
                idle_timeout: None,
                ..policy()
            },
        ];
        for seconds in [
            1,
            59,
            60,
            3_600,
            DAY_SECONDS,
            DAY_SECONDS + 1,
            LENGTH_SECONDS_MAX,
        ] {
            others.push(v1::Policy {
                idle_timeout: Some(length(seconds)),
                access_token_lifetime: Some(length(seconds)),
                reauthenticate_within: Some(length(seconds)),
                remember_me_allowed: false,
                users_see_sessions: false,
                keep_last_page: true,
                end_on_shared_refresh_token: true,
                ..policy()
            });
        }
        for policy in others {
            let form = SettingsForm::of(&policy);
            assert_eq!(form.policy(&policy).expect("a policy"), policy);
        }
    }

    #[test]
    fn the_fields_of_the_next_page_ask_for_the_same() {
        let form = SettingsForm::of(&policy());
        let hidden = form.hidden();
        let mut pairs = Vec::new();
        for (name, value) in &hidden {
            pairs.push((*name, value.as_str()));
        }
        let sent = serde_html_form::to_string(&pairs).expect("a form");
        let read: SettingsForm = serde_html_form::from_str(&sent).expect("a form");
        assert_eq!(read, form);
    }

    #[test]
    fn what_no_policy_can_have_is_named() {
        type Change = fn(&mut SettingsForm);
        let cases: [(Change, Fault); 14] = [
            (|form| form.idle = "2d".into(), Fault::Idle),
            (|form| form.idle = String::new(), Fault::Idle),
            (
                |form| (form.idle, form.idle_value) = (IDLE_OWN.into(), "0".into()),
                Fault::Idle,
            ),
            (
                |form| (form.idle, form.idle_value) = (IDLE_OWN.into(), "3661".into()),
                Fault::Idle,
            ),
            (|form| form.lifetime_value = String::new(), Fault::Lifetime),
            (|form| form.lifetime_value = "-1".into(), Fault::Lifetime),
            (|form| form.lifetime_unit = "moons".into(), Fault::Lifetime),
            (|form| form.remember_value = "1.5".into(), Fault::Remember),
            (
                |form| form.longest_value = "9999999999999999999".into(),
                Fault::Longest,
            ),
            (|form| form.token_value = "+1".into(), Fault::Token),
            (
                |form| form.sessions_max = "10001".into(),
                Fault::SessionsMax,
            ),
            (|form| form.at_limit = "explode".into(), Fault::AtLimit),
            (|form| form.acr = "x\n".repeat(17), Fault::Acr),
            (|form| form.recent_value = "soon".into(), Fault::Recent),
        ];
        for (change, fault) in cases {
            let mut form = SettingsForm::of(&policy());
            change(&mut form);
            assert_eq!(form.policy(&policy()), Err(vec![fault]), "{form:?}");
        }
        let everything = SettingsForm::default().policy(&policy());
        assert_eq!(everything.expect_err("empty").len(), 5);
    }

    #[test]
    fn a_standard_leaves_the_rest_to_the_authority() {
        let form = SettingsForm {
            preset: "owasp_asvs_l1".into(),
            ..SettingsForm::default()
        };
        assert_eq!(form.policy(&policy()), Ok(policy()));
    }
}
