//! The differences between two policies, field by field, for the audit trail.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Policy;
use crate::Details;

/// The most changed fields that are listed. A policy has about 20 of its own, and up to a thousand overrides of users.
const FIELDS_MAX: usize = 64;

/// The most bytes of one value that are listed.
const VALUE_BYTES_MAX: usize = 256;

/// The name of the detail that counts the fields beyond [`FIELDS_MAX`].
const MORE: &str = "more_fields";

impl Policy {
    /// The fields that differ in `next`, by their names in the contract: `<old> -> <new>`. A value that is not set is
    /// `unset`.
    #[must_use]
    pub fn changes(&self, next: &Self) -> Details {
        let old = self.fields();
        let new = next.fields();
        // From both: a field that is unset on one side is in one list only.
        let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();

        let mut changes = Details::new();
        let mut unlisted = 0_usize;
        for name in names {
            let (before, after) = (old.get(name), new.get(name));
            if before == after {
                continue;
            }
            if changes.len() < FIELDS_MAX {
                let change = format!("{} -> {}", text(before), text(after));
                changes.insert(name.clone(), change);
            } else {
                unlisted += 1;
            }
        }
        // A reader must see that the list is not whole.
        if unlisted > 0 {
            changes.insert(MORE.to_owned(), unlisted.to_string());
        }
        changes
    }

    /// The fields of the policy by their paths in the contract.
    fn fields(&self) -> BTreeMap<String, Value> {
        // By the stored form, so that a new field cannot be forgotten here.
        let stored = serde_json::to_value(self).expect("a policy has only text keys");
        let mut fields = BTreeMap::new();
        flatten("", stored, &mut fields);
        fields
    }
}

/// Adds the fields of a value under their paths. Lists are values.
fn flatten(path: &str, value: Value, fields: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                flatten(&join(path, &name), member, fields);
            }
        }
        // Unset, as if the field were not there.
        Value::Null => {}
        value => {
            fields.insert(path.to_owned(), value);
        }
    }
}

/// The path of a member. The limits stand in the policy itself there, and overrides under the name `users`.
fn join(path: &str, name: &str) -> String {
    match (path, name) {
        ("", "limits") => String::new(),
        ("", "user_overrides") => "users".to_owned(),
        ("", name) => name.to_owned(),
        (path, "forbid_remember_me") => format!("{path}.remember_me_forbidden"),
        (path, name) => format!("{path}.{name}"),
    }
}

fn text(value: Option<&Value>) -> String {
    let mut text = match value {
        None => return "unset".to_owned(),
        Some(Value::String(text)) if text.is_empty() => return "unset".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    if text.len() > VALUE_BYTES_MAX {
        let mut end = VALUE_BYTES_MAX;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use portcullis_contract::id::UserId;

    use super::*;
    use crate::{
        FindingCode,
        policy::{AtLimit, UserOverride},
    };

    type Change = fn(&mut Policy);

    #[test]
    fn a_long_value_is_cut_off_between_two_letters() {
        let shown = |value: String| text(Some(&Value::String(value)));
        let longest = "x".repeat(VALUE_BYTES_MAX);
        assert_eq!(shown(longest.clone()), longest);
        assert_eq!(shown(format!("{longest}y")), format!("{longest}…"));

        // The letter of two bytes would end behind the bound.
        let before = "x".repeat(VALUE_BYTES_MAX - 1);
        assert_eq!(shown(format!("{before}é")), format!("{before}…"));
    }

    #[test]
    fn each_changed_field_is_named_as_the_contract_names_it() {
        let cases: [(Change, &[(&str, &str)]); 12] = [
            (|_| {}, &[]),
            (
                |policy| policy.limits.session_lifetime = Duration::from_secs(3_600),
                &[("session_lifetime", "7days -> 1h")],
            ),
            (
                |policy| policy.limits.idle_timeout = None,
                &[("idle_timeout", "7days -> unset")],
            ),
            (
                |policy| policy.limits.reauthenticate_within = Some(Duration::from_secs(600)),
                &[("reauthenticate_within", "unset -> 10m")],
            ),
            (
                |policy| policy.limits.sessions_max = Some(3),
                &[("sessions_max", "unset -> 3")],
            ),
            (
                |policy| policy.limits.at_limit = AtLimit::Refuse,
                &[("at_limit", "end_oldest -> refuse")],
            ),
            (
                |policy| policy.limits.required_acr = vec!["mfa".into(), "phr".into()],
                &[("required_acr", "[] -> [\"mfa\",\"phr\"]")],
            ),
            (
                |policy| policy.users_see_sessions = false,
                &[("users_see_sessions", "true -> false")],
            ),
            (
                |policy| {
                    policy.findings_disabled.insert(FindingCode::NewCity);
                },
                &[("findings_disabled", "[] -> [\"new_city\"]")],
            ),
            (
                |policy| policy.source = "NIST".into(),
                &[("source", "unset -> NIST")],
            ),
            (
                |policy| {
                    let stricter = UserOverride {
                        forbid_remember_me: true,
                        sessions_max: Some(1),
                        ..UserOverride::default()
                    };
                    let user = UserId::parse("ada").expect("an id");
                    policy.user_overrides.insert(user, stricter);
                },
                &[
                    ("users.ada.remember_me_forbidden", "unset -> true"),
                    ("users.ada.required_acr", "unset -> []"),
                    ("users.ada.sessions_max", "unset -> 1"),
                ],
            ),
            (
                |policy| {
                    policy.keep_last_page = true;
                    policy.end_on_shared_refresh_token = true;
                },
                &[
                    ("end_on_shared_refresh_token", "false -> true"),
                    ("keep_last_page", "false -> true"),
                ],
            ),
        ];
        for (change, expected) in cases {
            let old = Policy::default();
            let mut new = old.clone();
            change(&mut new);
            let expected: Details = expected
                .iter()
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
                .collect();
            assert_eq!(old.changes(&new), expected);
        }
    }

    #[test]
    fn so_many_fields_and_bytes_are_listed_and_the_rest_is_counted() {
        let old = Policy::default();
        let mut new = old.clone();
        new.limits.required_acr = vec!["ä".repeat(200)];
        for user in 0..100 {
            let user = UserId::parse(format!("u{user:03}")).expect("an id");
            let stricter = UserOverride {
                sessions_max: Some(1),
                ..UserOverride::default()
            };
            new.user_overrides.insert(user, stricter);
        }
        let changes = old.changes(&new);
        assert_eq!(changes.len(), FIELDS_MAX + 1);
        let all = 1 + 100 * 3;
        assert_eq!(changes[MORE], (all - FIELDS_MAX).to_string());
        let acr = &changes["required_acr"];
        assert!(
            acr.len() <= VALUE_BYTES_MAX + 20 && acr.ends_with('…'),
            "{acr}"
        );
    }
}
