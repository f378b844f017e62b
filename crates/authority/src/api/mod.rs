//! The edges of the authority: each parses requests, calls a use case, and renders the answer.

pub(crate) mod grpc;
pub(crate) mod http;
