//! The head of a request, as a door sees it.

use std::net::IpAddr;

use http::{HeaderMap, Method};

/// The head of a request before anything has changed it.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// The method.
    pub method: &'a Method,
    /// The host with its port, if any: `:authority`, or the `Host` header. Empty when the request names none.
    pub authority: &'a str,
    /// The target as the client sent it, with the query: `/orders?page=2`. Neither decoded nor normalized.
    pub target: &'a str,
    /// The headers, with the client's own ones that look like identity headers.
    pub headers: &'a HeaderMap,
    /// The address that the connection came from.
    pub peer: Option<IpAddr>,
}
