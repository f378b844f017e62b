//! The edges of the authority: each parses requests, calls a use case, and renders the answer. `access` admits the calls
//! of all of them.

pub(crate) mod access;
pub(crate) mod grpc;
pub(crate) mod http;
