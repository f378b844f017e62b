//! Identity providers: the session at a provider by which a user signed in, and the logouts that end it.

use portcullis_contract::{id::TenantId, position::sha256};
use serde::{Deserialize, Serialize};

/// The session at an identity provider by which a user signed in. It has a session id, a subject, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct ProviderSession {
    /// The issuer (`iss`).
    pub issuer: String,
    /// The provider's id of its session (`sid`). Empty: unknown.
    #[serde(default)]
    pub session_id: String,
    /// The provider's id of the user (`sub`). Empty: unknown.
    #[serde(default)]
    pub subject: String,
}

/// A key by which rows are found. It has one length, whatever the provider sends.
pub type ProviderKey = [u8; 16];

impl ProviderSession {
    /// The key of the provider's session. None: its id is unknown.
    #[must_use]
    pub fn session_key(&self) -> Option<ProviderKey> {
        key(&self.issuer, &self.session_id)
    }

    /// The key of the user at the provider. None: the subject is unknown.
    #[must_use]
    pub fn subject_key(&self) -> Option<ProviderKey> {
        key(&self.issuer, &self.subject)
    }
}

/// Computes the key of an id of a provider.
fn key(issuer: &str, id: &str) -> Option<ProviderKey> {
    // Without this, all sessions whose id is unknown would have one key, and one logout would end
    // them all.
    if id.is_empty() {
        return None;
    }
    // No issuer contains a zero byte, so no two pairs have one text.
    let digest = sha256(format!("{issuer}\0{id}").as_bytes());
    digest.first_chunk().copied()
}

/// The sessions that a logout at a provider ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderLogout {
    /// The session or the subject at the provider.
    pub named: ProviderSession,
    /// The only tenant whose sessions end. None: those of all tenants.
    pub tenant: Option<TenantId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(issuer: &str, session_id: &str, subject: &str) -> ProviderSession {
        ProviderSession {
            issuer: issuer.into(),
            session_id: session_id.into(),
            subject: subject.into(),
        }
    }

    #[test]
    fn a_key_is_of_one_issuer_and_one_id() {
        let first = named("https://a", "1", "");
        assert!(first.session_key().is_some() && first.subject_key().is_none());
        for other in [
            named("https://b", "1", ""),
            named("https://a", "2", ""),
            named("https://a1", "", ""),
        ] {
            assert_ne!(first.session_key(), other.session_key());
        }
        assert_eq!(
            named("i", "x", "").session_key(),
            named("i", "", "x").subject_key()
        );
    }
}
