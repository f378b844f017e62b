//! The headers that tell the upstream who calls.

use http::{HeaderName, HeaderValue};

use crate::decision::{HeaderChanges, Subject};

/// The identity headers. Each has a twin with underscores, because some upstreams read both as one variable.
const NAMES: [(&str, &str); 8] = [
    ("x-portcullis-tenant", "x_portcullis_tenant"),
    ("x-portcullis-user", "x_portcullis_user"),
    ("x-portcullis-session", "x_portcullis_session"),
    ("x-portcullis-api-key", "x_portcullis_api_key"),
    ("x-portcullis-roles", "x_portcullis_roles"),
    ("x-portcullis-scopes", "x_portcullis_scopes"),
    ("x-portcullis-acr", "x_portcullis_acr"),
    ("x-portcullis-amr", "x_portcullis_amr"),
];

/// Returns the changes that leave exactly the identity of `subject` in a request.
pub(crate) fn identity_headers(subject: &Subject) -> HeaderChanges {
    let mut changes = HeaderChanges::default();
    for (name, twin) in NAMES {
        changes.remove.push(HeaderName::from_static(name));
        changes.remove.push(HeaderName::from_static(twin));
    }
    match subject {
        Subject::Anyone => {}
        Subject::Session(identity) => {
            changes.add("x-portcullis-tenant", identity.tenant_id.as_str());
            changes.add("x-portcullis-user", identity.user_id.as_str());
            changes.add("x-portcullis-session", &identity.session_id.to_string());
            changes.add("x-portcullis-acr", &identity.acr);
            changes.add("x-portcullis-amr", &identity.amr.join(" "));
        }
        Subject::ApiKey(identity) => {
            changes.add("x-portcullis-tenant", identity.tenant_id.as_str());
            changes.add("x-portcullis-user", identity.owner_id.as_str());
            changes.add("x-portcullis-api-key", &identity.api_key_id.to_string());
            changes.add("x-portcullis-scopes", &identity.scopes.join(" "));
        }
    }
    changes
}

impl HeaderChanges {
    /// Sets a header, unless the value is empty.
    fn add(&mut self, name: &'static str, value: &str) {
        if value.is_empty() {
            return;
        }
        if let Ok(value) = HeaderValue::from_str(value) {
            self.set.push((HeaderName::from_static(name), value));
        }
    }
}
