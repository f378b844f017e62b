//! The layer outside of all others: one span and one measurement for each call, whatever becomes of it.

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
use portcullis_contract::trace::TraceParent;
use tonic::Code;
use tracing::{Instrument, Span, field::Empty};

use super::{access, authorize::Access};
use crate::telemetry::{Instruments, Rpc, set_parent};

/// The layer. It reads the path, the trace context of a service and the code, and nothing else of a call.
pub(crate) async fn observe(
    State((instruments, access)): State<(Arc<Instruments>, Arc<Access>)>,
    request: Request,
    next: Next,
) -> Response {
    let rpc = Rpc::of(access::served(request.uri().path()));
    let span = server_span(rpc, trace_parent(&access, request.headers()));
    let mut call = Call {
        instruments,
        rpc,
        begun: Instant::now(),
        span: span.clone(),
        code: Code::Cancelled,
    };
    let response = next.run(request).instrument(span).await;
    match code(response.headers()) {
        Some(code) => {
            call.code = code;
            response
        }
        None => response.map(|body| {
            Body::new(Observed {
                body,
                call: Some(call),
            })
        }),
    }
}

/// The trace that a call belongs to, if its caller may say so. A user's word is not taken: whoever says "sampled" makes
/// the authority export traces.
fn trace_parent(access: &Access, headers: &HeaderMap) -> Option<TraceParent> {
    let header = headers.get("traceparent")?;
    let parent = TraceParent::parse(header.to_str().ok()?)?;
    access.is_service(headers).then_some(parent)
}

fn server_span(rpc: Rpc, parent: Option<TraceParent>) -> Span {
    let span = tracing::info_span!(
        parent: None,
        "rpc",
        otel.name = rpc.name,
        otel.kind = "server",
        otel.status_code = Empty,
        rpc.system = "grpc",
        rpc.service = rpc.service,
        rpc.method = rpc.method,
        rpc.grpc.status_code = Empty,
    );
    if let Some(parent) = parent {
        set_parent(&span, parent);
    }
    span
}

/// A call, measured when dropped. One that is dropped before it has a code was cancelled by its caller.
struct Call {
    instruments: Arc<Instruments>,
    rpc: Rpc,
    begun: Instant,
    span: Span,
    code: Code,
}

impl Drop for Call {
    fn drop(&mut self) {
        let (code, elapsed) = (self.code as i32, self.begun.elapsed());
        self.instruments.call(self.rpc, code, elapsed);
        tracing::debug!(parent: &self.span, code, ?elapsed, "call ended");
        self.span.record("rpc.grpc.status_code", code);
        if is_server_fault(self.code) {
            self.span.record("otel.status_code", "ERROR");
        }
    }
}

/// The codes that say that the server is at fault; the others are the caller's affair.
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

/// An answer on its way out; its trailers have the code.
struct Observed {
    body: Body,
    call: Option<Call>,
}

impl http_body::Body for Observed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let trailers = frame
            .as_ref()
            .and_then(|frame| frame.as_ref().ok()?.trailers_ref());
        if let Some(code) = trailers.and_then(code)
            && let Some(mut call) = self.call.take()
        {
            call.code = code;
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
