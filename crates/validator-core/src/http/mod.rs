//! HTTP: the credential of a request, and the answer to one that is refused.
//!
//! Credentials and answers follow RFC 6750. Nothing here needs a server: a sidecar, a filter and the tower layer answer
//! alike.

mod credential;
mod refusal;

pub use self::{
    credential::{cookies_without, find_token, has_bearer},
    refusal::Refusal,
};
