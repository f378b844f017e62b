//! The head of a request, as a door sees it.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, Method};

use crate::refused::HeadProblem;

/// The largest head of a request that is looked at: its target and its headers, in bytes.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

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
    ///
    /// A `Host` header in them must name the same host as `authority`. A door that gets the request inside of another
    /// one (forward-auth) leaves the outer `Host` out.
    pub headers: &'a HeaderMap,
    /// The address that the connection came from.
    pub peer: Option<IpAddr>,
}

/// Returns the path of a target, without the query.
pub(crate) fn path_of(target: &str) -> Result<&str, HeadProblem> {
    // An absolute target would name a second host, and `*` names no resource.
    if !target.starts_with('/') {
        return Err(HeadProblem::TargetNotAPath);
    }
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, query),
        None => (target, ""),
    };
    // The query decides nothing. But a line break in it could end the request for another reader, and a fragment never
    // travels.
    if query.bytes().any(is_bad_in_query) || path.contains('#') {
        return Err(HeadProblem::InvalidTarget);
    }
    Ok(path)
}

fn is_bad_in_query(byte: u8) -> bool {
    byte <= b' ' || byte == 0x7f || byte == b'#'
}

/// Checks that a head is not too large.
pub(crate) fn check_size(head: &RequestHead<'_>) -> Result<(), HeadProblem> {
    // Summed before anything is parsed, so that a large head costs one pass and no memory.
    let mut bytes = head.target.len() + head.authority.len();
    for (name, value) in head.headers {
        bytes += HeaderName::as_str(name).len() + value.len();
    }
    if bytes > HEAD_BYTES_MAX {
        return Err(HeadProblem::TooLarge);
    }
    Ok(())
}

/// Checks that a method is in capitals.
pub(crate) fn check_method(method: &Method) -> Result<(), HeadProblem> {
    // Methods have a case: a rule for `GET` misses `get`, and some upstreams take it for `GET`.
    if method
        .as_str()
        .bytes()
        .any(|byte| byte.is_ascii_lowercase())
    {
        return Err(HeadProblem::InvalidMethod);
    }
    Ok(())
}
