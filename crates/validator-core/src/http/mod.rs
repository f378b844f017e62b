//! HTTP: the credential of a request, and the answer to one that is refused.
//!
//! Both follow RFC 6750, and nothing here needs a server: a sidecar, a filter and the tower layer answer alike.

mod credential;
mod refusal;

pub use self::{credential::find_token, refusal::Refusal};
