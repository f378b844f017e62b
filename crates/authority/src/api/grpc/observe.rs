//! The outermost layer: one span and one measurement for each call, also for a call that is refused or cancelled.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use axum::{
    Error,
    body::{Body, Bytes},
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use opentelemetry_semantic_conventions::attribute;
use portcullis_contract::trace::TraceParent;
use tonic::Code;
use tracing::{Instrument, Span, field::Empty};

use crate::{
    api::access::{Access, served},
    net::Peer,
    telemetry::{CallStatus, Instruments, Rpc, set_parent},
};

/// Measures one call. Only its path, the trace context of a service and the status code are read.
pub(crate) async fn observe(
    State((instruments, access)): State<(Arc<Instruments>, Arc<Access>)>,
    request: Request,
    next: Next,
) -> Response {
    // A path that is not served is measured under one name: callers could fill the metrics with paths otherwise.
    let rpc = Rpc::from_path(served(request.uri().path()));
    let peer = request.extensions().get();
    let span = server_span(rpc, trace_parent(&access, request.headers(), peer));
    let mut measurement = Measurement {
        instruments,
        rpc,
        begun: Instant::now(),
        span: span.clone(),
        code: Code::Cancelled,
    };
    let response = next.run(request).instrument(span).await;

    // A call that is refused has its code in the headers. All others have it in the trailers.
    if let Some(code) = code(response.headers()) {
        measurement.code = code;
        return response;
    }
    response.map(|body| {
        Body::new(Observed {
            body,
            measurement: Some(measurement),
        })
    })
}

/// The trace that a service says its call belongs to. Users may not say so, because a sampled trace makes the authority
/// export spans.
fn trace_parent(access: &Access, headers: &HeaderMap, peer: Option<&Peer>) -> Option<TraceParent> {
    let header = headers.get("traceparent")?;
    let parent = TraceParent::parse(header.to_str().ok()?)?;
    access.is_service(headers, peer).then_some(parent)
}

fn server_span(rpc: Rpc, parent: Option<TraceParent>) -> Span {
    let span = tracing::info_span!(
        // A call belongs to the trace of its caller, never to a span that is open on this thread.
        parent: None,
        "rpc",
        otel.name = rpc.0,
        otel.kind = "server",
        otel.status_code = Empty,
        { attribute::RPC_SYSTEM_NAME } = "grpc",
        { attribute::RPC_METHOD } = rpc.0,
        { attribute::RPC_RESPONSE_STATUS_CODE } = Empty,
        { attribute::ERROR_TYPE } = Empty,
    );
    if let Some(parent) = parent {
        set_parent(&span, parent);
    }
    span
}

/// The measurement of a call, recorded when dropped. A call that is dropped before it has a code was cancelled by its
/// caller.
struct Measurement {
    instruments: Arc<Instruments>,
    rpc: Rpc,
    begun: Instant,
    span: Span,
    code: Code,
}

impl Drop for Measurement {
    fn drop(&mut self) {
        let status = call_status(self.code);
        let elapsed = self.begun.elapsed();
        self.instruments.calls.record(self.rpc, status, elapsed);
        tracing::debug!(parent: &self.span, code = status.code, ?elapsed, "call ended");

        self.span
            .record(attribute::RPC_RESPONSE_STATUS_CODE, status.code);
        if status.is_server_fault {
            self.span.record(attribute::ERROR_TYPE, status.code);
            self.span.record("otel.status_code", "ERROR");
        }
    }
}

fn call_status(code: Code) -> CallStatus {
    CallStatus {
        code: code_name(code),
        is_server_fault: is_server_fault(code),
    }
}

/// The name of a status code in the specification of gRPC, which the semantic conventions ask for.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// The codes for which the server is at fault. The caller causes the others.
fn is_server_fault(code: Code) -> bool {
    use Code::{DataLoss, DeadlineExceeded, Internal, Unavailable, Unimplemented, Unknown};
    matches!(
        code,
        Unknown | DeadlineExceeded | Unimplemented | Internal | Unavailable | DataLoss
    )
}

fn code(headers: &HeaderMap) -> Option<Code> {
    headers
        .get("grpc-status")
        .map(|value| Code::from_bytes(value.as_bytes()))
}

/// An answer that is being sent. Its trailers have the code.
struct Observed {
    body: Body,
    measurement: Option<Measurement>,
}

impl http_body::Body for Observed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(code) = frame.trailers_ref().and_then(code)
            && let Some(mut measurement) = self.measurement.take()
        {
            // Dropped here, which records the call when its status is sent and not when the connection lets go of the
            // body.
            measurement.code = code;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_servers_faults_are_errors() {
        let faults: Vec<_> = (0..17)
            .map(Code::from)
            .filter(|code| is_server_fault(*code))
            .collect();
        let expected = [
            Code::Unknown,
            Code::DeadlineExceeded,
            Code::Unimplemented,
            Code::Internal,
            Code::Unavailable,
            Code::DataLoss,
        ];
        assert_eq!(faults, expected);
    }
}
