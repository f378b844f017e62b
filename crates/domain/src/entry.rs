//! Entries of the log: the only changes that revoke anything.

mod cause;
mod mutation;
mod signed_out;

use std::collections::BTreeMap;

use portcullis_contract::{id::EventId, position::Revision};

pub use self::{cause::Cause, mutation::Mutation, signed_out::SignedOut};
use super::Actor;

/// Details of a change or an event for the audit trail, by name.
pub type Details = BTreeMap<String, String>;

/// One caller's change, with everything that the audit trail keeps of it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// A unique id. An entry whose id the log knows is answered, not applied again.
    pub event_id: EventId,
    /// The author.
    pub actor: Actor,
    /// The administrator's text. Never shown to users.
    pub reason: String,
    /// The text for the user.
    pub user_message: String,
    /// Details for the audit trail, by name. The user concerned sees them.
    pub details: Details,
    /// Whether the sessions that a sign-out ends are counted ([`SignedOut`]). Counting reads rows, so that only callers
    /// who are told the number ask for it.
    pub counts_sessions: bool,
    /// The W3C trace parent of the call, when it was sampled.
    pub trace_parent: Option<String>,
    /// The change.
    pub mutation: Mutation,
}

impl Entry {
    /// An entry of the authority itself, without a reason or a message.
    #[must_use]
    pub fn internal(mutation: Mutation) -> Self {
        let mut details = Details::new();
        if let Some(cause) = mutation.internal_cause() {
            details.insert("cause".to_owned(), cause.to_owned());
        }
        Self {
            // Drawn once, before the first try: the log knows a repeated append of this entry by it.
            event_id: EventId::generate(),
            actor: Actor::authority(),
            reason: String::new(),
            user_message: String::new(),
            details,
            counts_sessions: false,
            trace_parent: None,
            mutation,
        }
    }
}

/// The outcome of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The revision that enforces the entry, at every validator that has applied it.
    pub revision: Revision,
    /// The number of targets that changed. 0 when nothing had to change.
    pub changed: u32,
}

/// A reason why an entry cannot be applied. Nothing of it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// A session does not exist, or belongs to another user than the named owner.
    #[error("no such session")]
    SessionNotFound,
    /// The user does not exist.
    #[error("no such user")]
    UserNotFound,
    /// The API key does not exist.
    #[error("no such API key")]
    ApiKeyNotFound,
    /// The tenant would have no administrator left.
    #[error("the last administrator of the tenant")]
    LastAdministrator,
    /// A disabled user gets no API keys.
    #[error("the user is disabled")]
    UserDisabled,
    /// The signing key does not exist.
    #[error("no such signing key")]
    KeyNotFound,
    /// The current policy is not the version to be replaced.
    #[error("the policy was changed meanwhile")]
    PolicyChanged,
    /// The signing key signs.
    #[error("the key is in use")]
    KeyInUse,
    /// A secret of this name was added meanwhile.
    #[error("there is a secret of this name")]
    SecretExists,
    /// The secret does not exist.
    #[error("no such secret")]
    SecretNotFound,
    /// The secret makes tokens.
    #[error("the secret is in use")]
    SecretInUse,
    /// The store refuses the entry however often it is tried. The store's log has the reason.
    #[error("the entry cannot be stored")]
    Refused,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_entry_of_the_authority_says_why() {
        let entry = Entry::internal(Mutation::ForgetApiKeys(Duration::ZERO));
        assert!(entry.actor.is_authority());
        assert_eq!(entry.details["cause"], "expired");
    }
}
