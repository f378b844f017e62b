//! Envoy as the module sees it, without pointers. `ffi` implements these traits, and so do the tests.

use std::net::IpAddr;

use http::{HeaderName, HeaderValue};

use crate::{meters::MeterId, route::RouteConfig};

/// A map of headers of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderKind {
    Request,
    RequestTrailers,
}

/// An answer that Envoy gives in place of the upstream.
#[derive(Clone, Copy)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) headers: &'a [(HeaderName, HeaderValue)],
    pub(crate) body: &'a str,
    /// For the access log: `%RESPONSE_CODE_DETAILS%`.
    pub(crate) details: &'a str,
}

/// The stream of a request, during a hook.
pub(crate) trait Stream {
    /// Shows every header in turn, pseudo headers too.
    fn visit_headers(&self, kind: HeaderKind, visit: &mut dyn FnMut(&[u8], &[u8]));

    /// Sets a header to one value.
    fn set_header(&mut self, kind: HeaderKind, name: &str, value: &[u8]);

    /// Removes all values of a header.
    fn remove_header(&mut self, kind: HeaderKind, name: &str);

    /// The address of the client, as Envoy knows it.
    fn client_address(&self) -> Option<IpAddr>;

    /// The configuration of the route, if it has its own.
    fn route(&self) -> Option<&RouteConfig>;

    /// Has Envoy choose the route anew, by the headers that the request has now.
    fn clear_route(&mut self);

    /// Answers the request. Envoy may run other hooks of the same filter before this returns.
    fn answer(&mut self, answer: &Answer<'_>);

    /// Resets the stream in both directions. Envoy may destroy the filter before this returns.
    fn reset(&mut self, details: &str);

    /// Makes a way to run a hook on the worker of this stream, from any thread.
    fn waker(&self) -> Box<dyn WakeUp>;

    /// Adds one to a counter.
    fn count(&self, counter: MeterId);
}

/// A way to run a hook on Envoy's thread, from any other thread.
pub(crate) trait WakeUp: Send {
    /// Asks Envoy to run the hook `scheduled` soon. Does nothing once its object has ended.
    fn wake_up(&self);
}

/// A filter configuration that Envoy is reading.
pub(crate) trait ConfigHost {
    /// Defines a counter of Envoy's stats.
    fn define_counter(&mut self, name: &str) -> Option<MeterId>;

    /// Defines a gauge of Envoy's stats.
    fn define_gauge(&mut self, name: &str) -> Option<MeterId>;

    /// Makes a way to run the hook `config_scheduled` on the main thread.
    fn waker(&self) -> Box<dyn WakeUp>;
}
