//! The decision about a request.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, StatusCode};
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
}

/// The changes of a request's headers. A door removes first, and sets then.
#[derive(Debug, Default)]
pub struct HeaderChanges {
    /// The headers to remove, all values of each. Trailers with these names are removed too.
    pub remove: Vec<HeaderName>,
    /// The headers to set, each to this one value.
    pub set: Vec<(HeaderName, HeaderValue)>,
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
    /// Waits for the end of the credential, for a stream that outlives its request. `None` for a public route.
    #[must_use]
    pub fn ended(&self) -> Option<Ended> {
        match self {
            Self::Anyone => None,
            Self::Session(identity) => Some(identity.ended()),
            Self::ApiKey(identity) => Some(identity.ended()),
        }
    }
}

/// The answer to a request that is refused or redirected.
#[derive(Clone, Debug)]
pub struct Deny {
    /// The status.
    pub status: StatusCode,
    /// The headers, `Cache-Control: no-store` among them.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body; its type is in the headers.
    pub body: String,
}
