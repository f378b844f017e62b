//! The context of traces, passed between calls, spans and the log.

use opentelemetry::{
    Context,
    trace::{SpanContext, TraceContextExt, TraceFlags, TraceState},
};
use opentelemetry_semantic_conventions::attribute;
use portcullis_contract::{delta::TRACE_PARENTS_MAX, trace::TraceParent};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::domain::Entry;

fn remote_context(parent: TraceParent) -> SpanContext {
    let flags = if parent.sampled {
        TraceFlags::SAMPLED
    } else {
        TraceFlags::default()
    };
    SpanContext::new(
        parent.trace_id.into(),
        parent.span_id.into(),
        flags,
        true,
        TraceState::default(),
    )
}

/// Makes the span a child of the caller's span. It has no effect unless spans are exported.
pub(crate) fn set_parent(span: &Span, parent: TraceParent) {
    let _ = span.set_parent(Context::new().with_remote_span_context(remote_context(parent)));
}

/// The trace parent that an entry of this call carries: the current span, or the caller's own if nothing records spans
/// here. None: it is not sampled. `header` is the call's `traceparent`.
pub(crate) fn sampled_parent(header: Option<&str>) -> Option<String> {
    let context = Span::current().context();
    let here = context.span().span_context().clone();
    let parent = if here.is_valid() {
        TraceParent {
            trace_id: u128::from_be_bytes(here.trace_id().to_bytes()),
            span_id: u64::from_be_bytes(here.span_id().to_bytes()),
            sampled: here.is_sampled(),
        }
    } else {
        TraceParent::parse(header?)?
    };
    parent.sampled.then(|| parent.to_string())
}

/// The span of a batch's commit: a child of the first sampled call in it, with links to the other ones. It is disabled
/// if no call of the batch is sampled.
pub(super) fn commit_span(system: &'static str, entries: &[Entry]) -> Span {
    let parents = entries
        .iter()
        .filter_map(|entry| TraceParent::parse(entry.trace_parent.as_deref()?));
    // Bounded, because each link travels with the span.
    let mut parents = parents.take(TRACE_PARENTS_MAX);
    let Some(first) = parents.next() else {
        return Span::none();
    };
    let span = tracing::info_span!(
        // The parent is a remote span and is set below. Without this the span that is current here would be taken.
        parent: None,
        "commit log",
        otel.kind = "client",
        otel.status_code = tracing::field::Empty,
        { attribute::DB_SYSTEM_NAME } = system,
        { attribute::DB_OPERATION_NAME } = "commit",
        { attribute::DB_COLLECTION_NAME } = "log",
        { attribute::DB_OPERATION_BATCH_SIZE } = entries.len(),
        portcullis.revision = tracing::field::Empty,
    );
    set_parent(&span, first);
    for parent in parents {
        span.add_link(remote_context(parent));
    }
    span
}
