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
        let mut faults = Vec::new();
        let owner = self.owner.trim();
        if owner.is_empty() || is_too_long(owner, ID_BYTES_MAX) {
            faults.push("api-sessions-wrong-owner");
        }
        let name = self.name.trim();
        if name.is_empty() || is_too_long(name, NAME_BYTES_MAX) {
            faults.push("api-sessions-wrong-name");
        }
        let scopes = words_of(&self.scopes);
        if scopes.len() > SCOPES_MAX || !scopes.iter().all(|scope| is_scope(scope)) {
            faults.push("api-sessions-wrong-scopes");
        }
        let audiences = words_of(&self.audiences);
        if audiences.len() > AUDIENCES_MAX || !audiences.iter().all(|name| is_audience(name)) {
            faults.push("api-sessions-wrong-audiences");
        }
        let expiry = EXPIRIES.iter().find(|(value, ..)| *value == self.expires);
        if expiry.is_none() {
            faults.push("api-sessions-wrong-expires");
        }
        let reason = self.reason.trim();
        if is_too_long(reason, REASON_BYTES_MAX) {
            faults.push("api-sessions-wrong-reason");
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let days = expiry.and_then(|(.., days)| *days);
        Ok(v1::CreateApiKeyRequest {
            tenant_id: tenant_id.to_owned(),
            owner_user_id: owner.to_owned(),
            name: name.to_owned(),
            scopes,
            audiences,
            expire_time: days.map(|days| in_days(SystemTime::now(), days)),
            reason: reason.to_owned(),
            ..v1::CreateApiKeyRequest::default()
        })
    }
}

/// A reason that may be empty.
pub(super) fn is_good_reason(reason: &str) -> bool {
    !is_too_long(reason, REASON_BYTES_MAX)
}

fn is_too_long(text: &str, bytes_max: usize) -> bool {
    text.len() > bytes_max || text.contains(char::is_control)
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
