//! OpenTelemetry, through its interface alone: the gateway decides whether anything listens.

use std::{
    slice,
    sync::{Arc, Weak},
    time::SystemTime,
};

use opentelemetry::{
    Context, KeyValue, global,
    metrics::Meter,
    trace::{Span, SpanContext, SpanKind, TraceContextExt, TraceFlags, TraceState, Tracer},
};
use portcullis_contract::{delta::trace_parents, trace::TraceParent, view::Frame};
use portcullis_validator_core::{Engine, Statistics};

const NAME: &str = "portcullis.validator.name";

/// Records a span for each sampled call that caused a delta, from the delta's reception until now.
pub(crate) fn trace_applied(name: &str, frame: &Frame, received: SystemTime) {
    // Only sampled calls have a parent in the delta, and their number is bounded there.
    for parent in trace_parents(&frame.delta) {
        let tracer = global::tracer("portcullis-validator");
        // Attributes are signed. A saturated number is better than a span that is missing.
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
            .start_with_context(&tracer, &remote_context(parent))
            .end();
    }
}

fn remote_context(parent: TraceParent) -> Context {
    let context = SpanContext::new(
        parent.trace_id.into(),
        parent.span_id.into(),
        TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    );
    Context::new().with_remote_span_context(context)
}

/// Registers a validator's counts. They are read when the meter is; the meter does not keep the validator alive.
pub(crate) fn observe(engine: &Arc<Engine>, name: &str, meter: &Meter) {
    let reader = StatisticsReader {
        engine: Arc::downgrade(engine),
        name: KeyValue::new(NAME, name.to_owned()),
    };
    observe_verdicts(reader.clone(), meter);
    observe_cache(reader.clone(), meter);
    observe_activity(reader.clone(), meter);
    for gauge in &GAUGES {
        observe_gauge(reader.clone(), meter, gauge);
    }
}

/// Reads the counts of a validator for as long as it lives.
#[derive(Clone)]
struct StatisticsReader {
    /// Weak, because a meter lives as long as the process and would keep a dropped validator's memory.
    engine: Weak<Engine>,
    name: KeyValue,
}

impl StatisticsReader {
    fn read(&self) -> Option<Statistics> {
        Some(self.engine.upgrade()?.statistics())
    }

    fn attributes(&self, key: &'static str, value: &'static str) -> [KeyValue; 2] {
        [self.name.clone(), KeyValue::new(key, value)]
    }
}

fn observe_verdicts(reader: StatisticsReader, meter: &Meter) {
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
}

fn observe_cache(reader: StatisticsReader, meter: &Meter) {
    meter
        .u64_observable_counter("portcullis.validator.cache.lookups")
        .with_unit("{lookup}")
        .with_description("Look-ups in the cache that found the token, and that did not.")
        .with_callback(move |observer| {
            let Some(statistics) = reader.read() else {
                return;
            };
            let hit = reader.attributes("portcullis.cache.result", "hit");
            observer.observe(statistics.cache_hits, &hit);
            let miss = reader.attributes("portcullis.cache.result", "miss");
            observer.observe(statistics.cache_misses, &miss);
        })
        .build();
}

fn observe_activity(reader: StatisticsReader, meter: &Meter) {
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
            let reported = reader.attributes("portcullis.activity.result", "reported");
            observer.observe(statistics.activity_reported, &reported);
            let dropped = reader.attributes("portcullis.activity.result", "dropped");
            observer.observe(statistics.activity_dropped, &dropped);
        })
        .build();
}

/// A gauge of one reading.
struct Gauge {
    name: &'static str,
    unit: &'static str,
    description: &'static str,
    read: fn(&Statistics) -> Option<f64>,
}

const GAUGES: [Gauge; 7] = [
    Gauge {
        name: "portcullis.validator.revision",
        unit: "{revision}",
        description: "The revision in force.",
        #[allow(
            clippy::cast_precision_loss,
            reason = "a gauge of a revision needs no more than 2^53"
        )]
        read: |statistics| Some(statistics.applied_revision? as f64),
    },
    Gauge {
        name: "portcullis.validator.freshness",
        unit: "s",
        description: "Time since the last proof of freshness.",
        read: |statistics| Some(statistics.freshness_age?.as_secs_f64()),
    },
    Gauge {
        name: "portcullis.validator.staleness.max",
        unit: "s",
        description: "The age up to which a proof of freshness counts.",
        read: |statistics| Some(statistics.max_staleness.as_secs_f64()),
    },
    Gauge {
        name: "portcullis.validator.clock.skew",
        unit: "s",
        description: "Time by which the gate's clock is ahead of the database's.",
        read: |statistics| Some(statistics.clock_skew_micros? as f64 / 1e6),
    },
    Gauge {
        name: "portcullis.validator.cache.size",
        unit: "{token}",
        description: "Tokens in the cache.",
        read: |statistics| Some(statistics.cached_tokens as f64),
    },
    Gauge {
        name: "portcullis.validator.streams",
        unit: "{stream}",
        description: "Streams that wait for the end of their identity.",
        read: |statistics| Some(statistics.streams as f64),
    },
    Gauge {
        name: "portcullis.validator.forks",
        unit: "{fork}",
        description: "Times that the authority's history was another.",
        read: |statistics| Some(statistics.forks as f64),
    },
];

fn observe_gauge(reader: StatisticsReader, meter: &Meter, gauge: &'static Gauge) {
    meter
        .f64_observable_gauge(gauge.name)
        .with_unit(gauge.unit)
        .with_description(gauge.description)
        .with_callback(move |observer| {
            let Some(statistics) = reader.read() else {
                return;
            };
            // A reading that does not exist yet gives no point: zero would be a false one.
            if let Some(value) = (gauge.read)(&statistics) {
                observer.observe(value, slice::from_ref(&reader.name));
            }
        })
        .build();
}
