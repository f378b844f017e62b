//! Calls: their durations and results.

use std::time::Duration;

use http::StatusCode;
use opentelemetry::{
    KeyValue,
    metrics::{Histogram, Meter},
};
use opentelemetry_semantic_conventions::{attribute, metric};

use super::histogram::{self, DURATION_BUCKETS};

/// The name of an rpc by the semantic conventions: `package.Service/Method`. It comes from the table of served rpcs,
/// because a name from the caller could create any number of series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rpc(pub(crate) &'static str);

impl Rpc {
    /// The shared name of all rpcs that are not served.
    const UNKNOWN: Self = Self("_OTHER");

    /// Names the rpc of a served path.
    pub(crate) fn from_path(path: Option<&'static str>) -> Self {
        match path.and_then(|path| path.strip_prefix('/')) {
            Some(name) => Self(name),
            None => Self::UNKNOWN,
        }
    }
}

/// The result of a call, in the words of the semantic conventions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallStatus {
    /// The gRPC status: `OK`, `UNAVAILABLE`.
    pub(crate) code: &'static str,
    /// True if the server is at fault, so that the call counts as an error.
    pub(crate) is_server_fault: bool,
}

/// The durations of calls.
pub(crate) struct Calls(Histogram<f64>);

impl Calls {
    pub(super) fn new(meter: &Meter) -> Self {
        Self(histogram::of_seconds(
            meter,
            metric::RPC_SERVER_CALL_DURATION,
            DURATION_BUCKETS,
            "How long calls take; streams until they end.",
        ))
    }

    /// Records the end of a call.
    pub(crate) fn record(&self, rpc: Rpc, status: CallStatus, duration: Duration) {
        let mut attributes = vec![
            KeyValue::new(attribute::RPC_SYSTEM_NAME, "grpc"),
            KeyValue::new(attribute::RPC_METHOD, rpc.0),
            KeyValue::new(attribute::RPC_RESPONSE_STATUS_CODE, status.code),
        ];
        // A call that the client got wrong is no error of the server, and must not wake anybody.
        if status.is_server_fault {
            attributes.push(KeyValue::new(attribute::ERROR_TYPE, status.code));
        }
        self.0.record(duration.as_secs_f64(), &attributes);
    }
}

/// The durations of calls of the HTTP port's endpoints. Pages that nobody authenticates to are not measured.
pub(crate) struct HttpCalls(Histogram<f64>);

impl HttpCalls {
    pub(super) fn new(meter: &Meter) -> Self {
        Self(histogram::of_seconds(
            meter,
            metric::HTTP_SERVER_REQUEST_DURATION,
            DURATION_BUCKETS,
            "How long calls of the endpoints of OAuth and OpenID Connect take.",
        ))
    }

    /// Records the end of a call. The route comes from the router, never from the caller.
    pub(crate) fn record(&self, route: &'static str, status: StatusCode, duration: Duration) {
        let mut attributes = vec![
            KeyValue::new(attribute::HTTP_REQUEST_METHOD, "POST"),
            KeyValue::new(attribute::HTTP_ROUTE, route),
            KeyValue::new(
                attribute::HTTP_RESPONSE_STATUS_CODE,
                i64::from(status.as_u16()),
            ),
        ];
        if status.is_server_error() {
            attributes.push(KeyValue::new(
                attribute::ERROR_TYPE,
                status.as_str().to_owned(),
            ));
        }
        self.0.record(duration.as_secs_f64(), &attributes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_named_by_the_table_only() {
        let rpc = Rpc::from_path(Some("/portcullis.v1.SessionService/GetSession"));
        assert_eq!(rpc, Rpc("portcullis.v1.SessionService/GetSession"));
        assert_eq!(Rpc::from_path(None), Rpc::UNKNOWN);
    }
}
