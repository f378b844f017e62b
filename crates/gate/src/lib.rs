//! The decision about a request, which every door of Portcullis shares. No I/O, no runtime.
//!
//! A door translates: it makes a [`RequestHead`] of a request, asks [`Gate::decide`], and carries out the [`Decision`].
//! The tower layer, the Envoy module, `ext_authz` and forward-auth are doors. All of them run the same table of cases.
//!
//! - [`Decision::Allow`] has the headers to remove and to set, and the [`Subject`] whose end cuts a live stream.
//! - [`Decision::Deny`] has the whole answer: status, headers and body.

mod decision;
mod gate;
mod identity_headers;
mod request;
mod rules;

pub use self::{
    decision::{Allow, Decision, Deny, HeaderChanges, Subject},
    gate::Gate,
    request::RequestHead,
    rules::Rules,
};
