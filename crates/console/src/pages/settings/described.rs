//! A policy in the reader's words, and the differences between two.

use std::{collections::BTreeMap, time::Duration};

use portcullis_contract::v1;

use super::form::FINDINGS;
use crate::{times::Times, words::Words};

/// The names of the kinds of findings, in the order of [`FINDINGS`].
const FINDING_WORDS: [&str; 9] = [
    "settings-finding-1",
    "settings-finding-2",
    "settings-finding-3",
    "settings-finding-4",
    "settings-finding-5",
    "settings-finding-6",
    "settings-finding-7",
    "settings-finding-8",
    "settings-finding-9",
];

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) label: String,
    pub(super) value: String,
}

/// A setting that two policies have in different ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) label: String,
    pub(super) before: String,
    pub(super) after: String,
}

/// The reader's language, for values.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) words: &'a Words,
    pub(super) times: &'a Times,
}

impl Reader<'_> {
    /// A length of time. Without one: the word for that.
    pub(super) fn length(self, length: Option<prost_types::Duration>, unset: &str) -> String {
        let Some(length) = length else {
            return self.words.text(unset);
        };
        let seconds = u64::try_from(length.seconds).unwrap_or_default();
        self.times.length(Duration::from_secs(seconds))
    }

    fn yes_or_no(self, is_so: bool) -> String {
        let word = if is_so {
            "settings-value-yes"
        } else {
            "settings-value-no"
        };
        self.words.text(word)
    }

    fn list(self, values: &[String]) -> String {
        if values.is_empty() {
            return self.words.text("settings-value-any");
        }
        values.join(", ")
    }

    fn limit(self, most: u32) -> String {
        match most {
            0 => self.words.text("settings-value-no-limit"),
            most => self.words.number(most),
        }
    }

    fn findings(self, disabled: &[i32]) -> String {
        let reported = FINDINGS.filter(|code| !disabled.contains(code));
        let labels: Vec<_> = reported.map(|code| self.finding(code)).collect();
        if labels.is_empty() {
            return self.words.text("settings-value-none");
        }
        labels.join(", ")
    }

    /// The name of a kind of finding.
    pub(super) fn finding(self, code: i32) -> String {
        let index = usize::try_from(code - FINDINGS.start()).ok();
        match index.and_then(|index| FINDING_WORDS.get(index)) {
            Some(word) => self.words.text(word),
            // A kind of a later version.
            None => self.words.number(code),
        }
    }

    /// All settings of a policy, in the order of the form.
    pub(super) fn settings(self, policy: &v1::Policy) -> Vec<Setting> {
        let at_limit = match policy.at_limit() {
            v1::SessionLimitAction::Refuse => "settings-at-limit-refuse",
            // In the contract an unspecified action is this one.
            _ => "settings-at-limit-oldest",
        };
        let own = [
            (
                "settings-idle",
                self.length(policy.idle_timeout, "settings-value-never"),
            ),
            (
                "settings-remember",
                self.yes_or_no(policy.remember_me_allowed),
            ),
            (
                "settings-remember-lifetime",
                self.length(policy.remember_me_lifetime, "settings-value-none"),
            ),
            (
                "settings-lifetime",
                self.length(policy.session_lifetime, "settings-value-none"),
            ),
            (
                "settings-longest",
                self.length(policy.session_lifetime_max, "settings-value-none"),
            ),
            (
                "settings-token",
                self.length(policy.access_token_lifetime, "settings-value-installation"),
            ),
            ("settings-sessions-max", self.limit(policy.sessions_max)),
            ("settings-at-limit", self.words.text(at_limit)),
            (
                "settings-users-see",
                self.yes_or_no(policy.users_see_sessions),
            ),
            ("settings-last-page", self.yes_or_no(policy.keep_last_page)),
            (
                "settings-recent",
                self.length(policy.reauthenticate_within, "settings-value-any-time"),
            ),
            ("settings-acr", self.list(&policy.required_acr)),
            (
                "settings-shared",
                self.yes_or_no(policy.end_on_shared_refresh_token),
            ),
            (
                "settings-findings",
                self.findings(&policy.findings_disabled),
            ),
        ];
        let mut settings = Vec::new();
        for (word, value) in own {
            let label = self.words.text(word);
            settings.push(Setting { label, value });
        }
        settings.extend(self.stricter(policy));
        settings
    }

    /// The stricter values of single users, in the order of their ids.
    fn stricter(self, policy: &v1::Policy) -> Vec<Setting> {
        // A map of a message has no order. Sorted, two versions of a policy list the same users
        // alike.
        let users: BTreeMap<_, _> = policy.users.iter().collect();
        let mut settings = Vec::new();
        for (user, own) in users {
            settings.push(Setting {
                label: self.words.with("settings-stricter", [("user", user)]),
                value: self.stricter_values(own),
            });
        }
        settings
    }

    fn stricter_values(self, own: &v1::UserPolicy) -> String {
        let lengths = [
            ("settings-idle", own.idle_timeout),
            ("settings-longest", own.session_lifetime_max),
            ("settings-remember-lifetime", own.remember_me_lifetime),
            ("settings-lifetime", own.session_lifetime),
            ("settings-token", own.access_token_lifetime),
            ("settings-recent", own.reauthenticate_within),
        ];
        let mut values = Vec::new();
        for (word, length) in lengths {
            if length.is_some() {
                values.push(self.pair(word, self.length(length, word)));
            }
        }
        if own.remember_me_forbidden {
            values.push(self.words.text("settings-stricter-remember"));
        }
        if own.sessions_max > 0 {
            values.push(self.pair("settings-sessions-max", self.limit(own.sessions_max)));
        }
        if !own.required_acr.is_empty() {
            values.push(self.pair("settings-acr", self.list(&own.required_acr)));
        }
        values.join("; ")
    }

    fn pair(self, word: &str, value: String) -> String {
        let setting = self.words.text(word);
        let values = [("setting", setting), ("value", value)];
        self.words.with("settings-stricter-value", values)
    }

    /// The settings that differ, in the order of the form.
    pub(super) fn differences(self, before: &v1::Policy, after: &v1::Policy) -> Vec<Difference> {
        let old = self.settings(before);
        let new = self.settings(after);
        let mut differences = Vec::new();
        for setting in &old {
            // By name and not by position: one of the two versions may have users that the other
            // one lacks.
            let other = find(&new, &setting.label);
            let other = other.unwrap_or_else(|| self.words.text("settings-value-none"));
            if other != setting.value {
                differences.push(Difference {
                    label: setting.label.clone(),
                    before: setting.value.clone(),
                    after: other,
                });
            }
        }
        // Stricter values of a user that only the second policy has.
        for setting in new {
            if find(&old, &setting.label).is_none() {
                differences.push(Difference {
                    label: setting.label,
                    before: self.words.text("settings-value-none"),
                    after: setting.value,
                });
            }
        }
        differences
    }
}

fn find(settings: &[Setting], label: &str) -> Option<String> {
    let found = settings.iter().find(|setting| setting.label == label)?;
    Some(found.value.clone())
}
