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

/// The log filter of services without `RUST_LOG`. The migrations' library logs its own steps with paths of the machine
/// that built the binary; our own lines describe each migration.
pub(crate) const SERVICE_FILTER: &str = "info,refinery_core=warn";

/// How log lines are written.
#[derive(Clone, Copy)]
pub(crate) enum Format {
    /// For a person at a terminal.
    Text,
    /// One JSON object a line, for log collectors.
    Json,
}

/// Starts the log, one event a line. `RUST_LOG` overrides the default filter.
pub(crate) fn start_log(format: Format, default_filter: &str) {
    tracing_subscriber::registry()
        .with(log_layer(format, default_filter))
        .init();
}

/// Starts the log as JSON from level `info` on, and the export of traces. Must run within a Tokio runtime.
pub(crate) fn start(config: &TelemetryConfig) -> Result<Option<Traces>, TelemetryError> {
    let traces = Traces::start(config)?;
    // Only spans of this project: exporting the spans of the exporter's own calls would create more of them, forever.
    let ours = Targets::new().with_target("portcullis", LevelFilter::INFO);
    let spans = traces.as_ref().map(|traces| {
        tracing_opentelemetry::layer()
            .with_tracer(traces.tracer())
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(ours)
    });
    tracing_subscriber::registry()
        .with(log_layer(Format::Json, SERVICE_FILTER))
        .with(spans)
        .init();
    Ok(traces)
}

fn log_layer(format: Format, default_filter: &str) -> Box<dyn Layer<Registry> + Send + Sync> {
    // A malformed `RUST_LOG` counts as unset: a typo in it must not keep an authority from starting.
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default_filter));
    // Standard output belongs to the output of commands, which scripts read.
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match format {
        Format::Text => lines.with_filter(filter).boxed(),
        Format::Json => lines.json().with_filter(filter).boxed(),
    }
}
