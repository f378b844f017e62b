//! The decision about a request.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use portcullis_validator_core::{ApiKeyIdentity, Ended, Identity};

/// The decision about a request.
#[derive(Debug)]
pub enum Decision {
    /// The request goes on to the upstream, with these changes.
    Allow(Allow),
    /// The request is answered here.
    Deny(Deny),
}

/// A request that goes on to the upstream.
#[derive(Debug)]
pub struct Allow {
    /// The headers to change before the upstream sees the request.
    pub headers: HeaderChanges,
    /// The holder of the credential.
    pub subject: Subject,
    /// Whether the rule is strict: [`ended`](Self::ended) follows it.
    pub strict: bool,
}

impl Allow {
    /// Waits for the end of the credential, for a stream that outlives its request. `None` for a public route.
    #[must_use]
    pub fn ended(&self) -> Option<Ended> {
        self.subject.ended(self.strict)
    }
}

/// The changes of a request's headers. A door removes first, and sets then.
#[derive(Debug, Default)]
pub struct HeaderChanges {
    /// The headers to remove, all values of each: those of the head that the upstream must not see.
    ///
    /// A door that does not show the whole head to the gate removes [`IDENTITY_HEADERS`](crate::IDENTITY_HEADERS) as
    /// well. Every door removes trailers by [`is_identity_header`](crate::is_identity_header).
    pub remove: Vec<HeaderName>,
    /// The headers to set, each to this one value.
    pub set: Vec<(HeaderName, HeaderValue)>,
}

impl HeaderChanges {
    /// Makes the changes.
    pub fn apply(self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in self.set {
            // `insert` and not `append`: the upstream must find exactly one value.
            headers.insert(name, value);
        }
    }
}

/// The holder of an admitted credential.
#[derive(Clone, Debug)]
pub enum Subject {
    /// The rule is public: nobody was asked for a credential.
    Anyone,
    /// A person.
    Session(Arc<Identity>),
    /// A program.
    ApiKey(Arc<ApiKeyIdentity>),
}

impl Subject {
    /// Waits for the end of the credential. `strict` is that of the [`Allow`] it came with. `None` for anyone.
    #[must_use]
    pub fn ended(&self, strict: bool) -> Option<Ended> {
        match (self, strict) {
            (Self::Anyone, _) => None,
            (Self::Session(identity), false) => Some(identity.ended()),
            (Self::Session(identity), true) => Some(identity.ended_strictly()),
            (Self::ApiKey(identity), false) => Some(identity.ended()),
            (Self::ApiKey(identity), true) => Some(identity.ended_strictly()),
        }
    }
}

/// The answer to a request that is refused or redirected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deny {
    /// The status.
    pub status: StatusCode,
    /// The headers, `Cache-Control: no-store` among them.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body; its type is in the headers.
    pub body: String,
    /// The code for clients: `error` of the body.
    pub error: &'static str,
    /// The reason: `reason` of the body. For counters and logs too.
    pub reason: &'static str,
}
