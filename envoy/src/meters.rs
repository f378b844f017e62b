//! The counters in Envoy's own stats.

use http::StatusCode;

use crate::envoy::ConfigHost;

/// The number that Envoy gave to a counter or gauge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MeterId(pub(crate) usize);

/// The counters and gauges of a filter configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meters {
    /// Requests that went on to the upstream.
    pub(crate) admitted: MeterId,
    /// Streams that were ended because their session had ended, or because the gate could not know any more.
    pub(crate) cut: MeterId,
    /// Panics in a hook.
    pub(crate) panics: MeterId,
    /// Milliseconds since the newest proof of freshness. The largest value when there is none.
    pub(crate) freshness_age_ms: MeterId,
    redirected: MeterId,
    refused_bad_request: MeterId,
    refused_unauthenticated: MeterId,
    refused_forbidden: MeterId,
    refused_unavailable: MeterId,
    /// Preflights and what else the gate answers by itself.
    answered: MeterId,
}

impl Meters {
    /// Defines them. `None` when Envoy refuses to.
    pub(crate) fn define(envoy: &mut impl ConfigHost) -> Option<Self> {
        Some(Self {
            admitted: envoy.define_counter("portcullis_admitted")?,
            cut: envoy.define_counter("portcullis_cut")?,
            panics: envoy.define_counter("portcullis_panics")?,
            freshness_age_ms: envoy.define_gauge("portcullis_freshness_age_ms")?,
            redirected: envoy.define_counter("portcullis_redirected")?,
            refused_bad_request: envoy.define_counter("portcullis_refused_bad_request")?,
            refused_unauthenticated: envoy.define_counter("portcullis_refused_unauthenticated")?,
            refused_forbidden: envoy.define_counter("portcullis_refused_forbidden")?,
            refused_unavailable: envoy.define_counter("portcullis_refused_unavailable")?,
            answered: envoy.define_counter("portcullis_answered")?,
        })
    }

    /// The counter of answers with this status.
    pub(crate) fn of_answer(&self, status: StatusCode) -> MeterId {
        match status {
            StatusCode::UNAUTHORIZED => self.refused_unauthenticated,
            StatusCode::FORBIDDEN => self.refused_forbidden,
            _ if status.is_server_error() => self.refused_unavailable,
            _ if status.is_client_error() => self.refused_bad_request,
            _ if status.is_redirection() => self.redirected,
            _ => self.answered,
        }
    }
}
