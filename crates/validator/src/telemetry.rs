//! What a validator tells OpenTelemetry, through its interface alone: the gateway decides whether anything listens.

use std::{
    sync::{Arc, Weak},
    time::SystemTime,
};

use opentelemetry::{
    Context, KeyValue, global,
    metrics::Meter,
    trace::{Span, SpanContext, SpanKind, TraceContextExt, TraceFlags, TraceState, Tracer},
};
use portcullis_contract::{delta::trace_parents, trace::TraceParent, view::Frame};

use crate::{Statistics, validator::Shared};

const NAME: &str = "portcullis.validator.name";

/// For each sampled call that caused a delta, a span from its reception until now.
pub(crate) fn trace_applied(name: &str, frame: &Frame, received: SystemTime) {
    for parent in trace_parents(&frame.delta) {
        let tracer = global::tracer("portcullis-validator");
        let revision = i64::try_from(frame.revision.0).unwrap_or(i64::MAX);
        let attributes = [
            KeyValue::new("portcullis.revision", revision),
            KeyValue::new(NAME, name.to_owned()),
        ];
        tracer
            .span_builder("portcullis.validator.apply")
            .with_kind(SpanKind::Consumer)
            .with_start_time(received)
            .with_attributes(attributes)
            .start_with_context(&tracer, &caused_by(parent))
            .end();
    }
}

fn caused_by(parent: TraceParent) -> Context {
    let (trace, span) = (parent.trace_id.into(), parent.span_id.into());
    let context = SpanContext::new(
        trace,
        span,
        TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    );
    Context::new().with_remote_span_context(context)
}

/// Registers a validator's counts. They are read when the meter is; the meter does not keep the validator alive.
pub(crate) fn observe(shared: &Arc<Shared>, meter: &Meter) {
    let source = Source {
        shared: Arc::downgrade(shared),
        name: KeyValue::new(NAME, shared.name.clone()),
    };
    observe_requests(&source, meter);
    observe_activity(&source, meter);
    observe_view(&source, meter);
}

#[derive(Clone)]
struct Source {
    shared: Weak<Shared>,
    name: KeyValue,
}

impl Source {
    fn read(&self) -> Option<Statistics> {
        Some(self.shared.upgrade()?.statistics())
    }

    fn attributes(&self, key: &'static str, value: &'static str) -> [KeyValue; 2] {
        [self.name.clone(), KeyValue::new(key, value)]
    }
}

fn observe_requests(source: &Source, meter: &Meter) {
    let reader = source.clone();
    meter
        .u64_observable_counter("portcullis.validator.verdicts")
        .with_unit("{request}")
        .with_description("Requests by verdict.")
        .with_callback(move |observer| {
            let Some(statistics) = reader.read() else {
                return;
            };
            for (verdict, count) in statistics.verdicts.iter() {
                observer.observe(count, &reader.attributes("portcullis.verdict", verdict));
            }
        })
        .build();
    let reader = source.clone();
    meter
        .u64_observable_counter("portcullis.validator.cache.lookups")
        .with_unit("{lookup}")
        .with_description("Tokens that the cache knew, and that it did not.")
        .with_callback(move |observer| {
            let Some(statistics) = reader.read() else {
                return;
            };
            observer.observe(
                statistics.cache_hits,
                &reader.attributes("portcullis.cache.result", "hit"),
            );
            observer.observe(
                statistics.cache_misses,
                &reader.attributes("portcullis.cache.result", "miss"),
            );
        })
        .build();
}

fn observe_activity(source: &Source, meter: &Meter) {
    let reader = source.clone();
    meter
        .u64_observable_counter("portcullis.validator.activity.requests")
        .with_unit("{request}")
        .with_description(
            "Admitted requests that were reported as use of their session, and that never will be.",
        )
        .with_callback(move |observer| {
            let Some(statistics) = reader.read() else {
                return;
            };
            let result = |result| reader.attributes("portcullis.activity.result", result);
            observer.observe(statistics.activity_reported, &result("reported"));
            observer.observe(statistics.activity_dropped, &result("dropped"));
        })
        .build();
}

fn observe_view(source: &Source, meter: &Meter) {
    let gauge = |name: &'static str,
                 unit: &'static str,
                 about: &'static str,
                 read: fn(&Statistics) -> Option<f64>| {
        let reader = source.clone();
        let gauge = meter
            .f64_observable_gauge(name)
            .with_unit(unit)
            .with_description(about);
        gauge
            .with_callback(move |observer| {
                if let Some(value) = reader.read().and_then(|statistics| read(&statistics)) {
                    observer.observe(value, std::slice::from_ref(&reader.name));
                }
            })
            .build();
    };
    #[allow(
        clippy::cast_precision_loss,
        reason = "a gauge of a revision needs no more than 2^53"
    )]
    gauge(
        "portcullis.validator.revision",
        "{revision}",
        "The revision in force.",
        |read| read.applied_revision.map(|revision| revision as f64),
    );
    gauge(
        "portcullis.validator.freshness",
        "s",
        "Since the last proof of freshness.",
        |read| read.freshness_age.map(|age| age.as_secs_f64()),
    );
    gauge(
        "portcullis.validator.clock.skew",
        "s",
        "How far the gate's clock is ahead of the database's.",
        |read| read.clock_skew_micros.map(|skew| skew as f64 / 1e6),
    );
    gauge(
        "portcullis.validator.cache.size",
        "{token}",
        "Tokens in the cache.",
        |read| Some(read.cached_tokens as f64),
    );
    gauge(
        "portcullis.validator.forks",
        "{fork}",
        "Times that another history was met.",
        |read| Some(read.forks as f64),
    );
}
