//! The form of a new key.

use std::time::{Duration, SystemTime};

use portcullis_contract::v1;
use serde::Deserialize;

/// The choices of an expiry: the value, its words, and the days. None: the key does not expire.
pub(super) const EXPIRIES: [(&str, &str, Option<u64>); 4] = [
    ("30", "api-sessions-expires-30", Some(30)),
    ("90", "api-sessions-expires-90", Some(90)),
    ("365", "api-sessions-expires-365", Some(365)),
    ("never", "api-sessions-expires-never", None),
];

// The bounds below are the authority's. The form has them too, so that it names every wrong field
// at once and in the reader's language.
const DAY_SECONDS: u64 = 86_400;
const ID_BYTES_MAX: usize = 128;
const NAME_BYTES_MAX: usize = 128;
const SCOPES_MAX: usize = 64;
const SCOPE_BYTES_MAX: usize = 128;
const AUDIENCES_MAX: usize = 16;
const AUDIENCE_BYTES_MAX: usize = 256;
const REASON_BYTES_MAX: usize = 1_024;

/// The form as a browser sends it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct CreateForm {
    /// The number of the form.
    pub(super) once: String,
    pub(super) owner: String,
    pub(super) name: String,
    pub(super) scopes: String,
    pub(super) audiences: String,
    pub(super) expires: String,
    pub(super) reason: String,
}

impl CreateForm {
    /// The request that the form asks for. Otherwise a message for each wrong field.
    pub(super) fn request(
        &self,
        tenant_id: &str,
    ) -> Result<v1::CreateApiKeyRequest, Vec<&'static str>> {
        let faults = self.faults();
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(v1::CreateApiKeyRequest {
            tenant_id: tenant_id.to_owned(),
            owner_user_id: trimmed(&self.owner),
            name: trimmed(&self.name),
            scopes: words_of(&self.scopes),
            audiences: words_of(&self.audiences),
            expire_time: self.expire_time(),
            reason: trimmed(&self.reason),
            ..Default::default()
        })
    }

    /// A message for each wrong field, in the order of the form.
    fn faults(&self) -> Vec<&'static str> {
        let checks = [
            (self.has_good_owner(), "api-sessions-wrong-owner"),
            (self.has_good_name(), "api-sessions-wrong-name"),
            (self.has_good_scopes(), "api-sessions-wrong-scopes"),
            (self.has_good_audiences(), "api-sessions-wrong-audiences"),
            // An unknown value must not pass for `never`, which has no days either.
            (self.expiry().is_some(), "api-sessions-wrong-expires"),
            (
                is_good_reason(self.reason.trim()),
                "api-sessions-wrong-reason",
            ),
        ];
        let mut faults = Vec::new();
        for (is_good, fault) in checks {
            if !is_good {
                faults.push(fault);
            }
        }
        faults
    }

    fn has_good_owner(&self) -> bool {
        let owner = self.owner.trim();
        !owner.is_empty() && !is_too_long(owner, ID_BYTES_MAX)
    }

    fn has_good_name(&self) -> bool {
        let name = self.name.trim();
        !name.is_empty() && !is_too_long(name, NAME_BYTES_MAX)
    }

    fn has_good_scopes(&self) -> bool {
        let scopes = words_of(&self.scopes);
        scopes.len() <= SCOPES_MAX && scopes.iter().all(|scope| is_scope(scope))
    }

    fn has_good_audiences(&self) -> bool {
        let audiences = words_of(&self.audiences);
        audiences.len() <= AUDIENCES_MAX && audiences.iter().all(|name| is_audience(name))
    }

    /// The end of the key. None: it does not expire.
    fn expire_time(&self) -> Option<prost_types::Timestamp> {
        let (.., days) = self.expiry()?;
        let days = (*days)?;
        Some(in_days(SystemTime::now(), days))
    }

    /// The chosen expiry. None: the value is no choice of the form.
    fn expiry(&self) -> Option<&'static (&'static str, &'static str, Option<u64>)> {
        EXPIRIES.iter().find(|(value, ..)| *value == self.expires)
    }
}

/// A reason that may be empty.
pub(super) fn is_good_reason(reason: &str) -> bool {
    !is_too_long(reason, REASON_BYTES_MAX)
}

fn is_too_long(text: &str, bytes_max: usize) -> bool {
    text.len() > bytes_max || text.contains(char::is_control)
}

fn trimmed(text: &str) -> String {
    text.trim().to_owned()
}

fn words_of(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// RFC 6749, section 3.3.
fn is_scope(scope: &str) -> bool {
    scope.len() <= SCOPE_BYTES_MAX && scope.bytes().all(is_scope_byte)
}

fn is_scope_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'"' && byte != b'\\'
}

fn is_audience(name: &str) -> bool {
    !is_too_long(name, AUDIENCE_BYTES_MAX)
}

/// In whole seconds, as the authority wants it.
fn in_days(now: SystemTime, days: u64) -> prost_types::Timestamp {
    // By this machine's clock: an error of seconds means nothing to a key that lives for days.
    let since = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let later = since + Duration::from_secs(days * DAY_SECONDS);
    prost_types::Timestamp {
        seconds: i64::try_from(later.as_secs()).unwrap_or(i64::MAX),
        nanos: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form() -> CreateForm {
        CreateForm {
            owner: " ada ".into(),
            name: "nightly import".into(),
            scopes: "read write\nlist".into(),
            expires: "90".into(),
            ..CreateForm::default()
        }
    }

    #[test]
    fn a_form_asks_for_a_key() {
        let request = form().request("acme").expect("a request");
        assert_eq!(
            (request.tenant_id.as_str(), request.owner_user_id.as_str()),
            ("acme", "ada")
        );
        assert_eq!(request.scopes, ["read", "write", "list"]);
        let expires = request.expire_time.expect("it expires");
        let days = expires.seconds - in_days(SystemTime::now(), 0).seconds;
        assert!((90 * 86_400 - 60..=90 * 86_400).contains(&days), "{days}");
        assert_eq!(expires.nanos, 0);

        let never = CreateForm {
            expires: "never".into(),
            ..form()
        };
        assert_eq!(never.request("acme").expect("a request").expire_time, None);
    }

    #[test]
    fn what_no_key_can_have_is_named() {
        type Change = fn(&mut CreateForm);
        let cases: [(Change, &str); 10] = [
            (|form| form.owner = " ".into(), "api-sessions-wrong-owner"),
            (
                |form| form.owner = "a".repeat(129),
                "api-sessions-wrong-owner",
            ),
            (|form| form.name = String::new(), "api-sessions-wrong-name"),
            (
                |form| form.name = "a\u{1}b".into(),
                "api-sessions-wrong-name",
            ),
            (
                |form| form.scopes = "x ".repeat(65),
                "api-sessions-wrong-scopes",
            ),
            (|form| form.scopes = "ä".into(), "api-sessions-wrong-scopes"),
            (
                |form| form.scopes = "a\"b".into(),
                "api-sessions-wrong-scopes",
            ),
            (
                |form| form.audiences = "x ".repeat(17),
                "api-sessions-wrong-audiences",
            ),
            (
                |form| form.expires = "soon".into(),
                "api-sessions-wrong-expires",
            ),
            (
                |form| form.reason = "x".repeat(1_025),
                "api-sessions-wrong-reason",
            ),
        ];
        for (change, fault) in cases {
            let mut form = form();
            change(&mut form);
            assert_eq!(form.request("acme").expect_err(fault), [fault]);
        }
    }
}
