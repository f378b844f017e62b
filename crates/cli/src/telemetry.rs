//! Logs on standard error, and traces to an OpenTelemetry receiver when one is configured.

use portcullis_authority::{
    config::TelemetryConfig,
    telemetry::{TelemetryError, Traces},
};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{LevelFilter, Targets},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// Structured logs, one event a line; `RUST_LOG` chooses.
pub(crate) fn log(json: bool, default: &str) {
    tracing_subscriber::registry()
        .with(lines(json, default))
        .init();
}

/// The same, as JSON from `info` on, and traces. Within a Tokio runtime.
pub(crate) fn start(config: &TelemetryConfig) -> Result<Option<Traces>, TelemetryError> {
    let traces = Traces::start(config)?;
    // Only our own spans are of interest; those of the exporter's own calls would never end.
    let ours = Targets::new().with_target("portcullis", LevelFilter::INFO);
    let spans = traces.as_ref().map(|traces| {
        let layer = tracing_opentelemetry::layer().with_tracer(traces.tracer());
        layer
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(ours)
    });
    tracing_subscriber::registry()
        .with(lines(true, "info"))
        .with(spans)
        .init();
    Ok(traces)
}

fn lines(json: bool, default: &str) -> Box<dyn Layer<Registry> + Send + Sync> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    if json {
        lines.json().with_filter(filter).boxed()
    } else {
        lines.with_filter(filter).boxed()
    }
}
