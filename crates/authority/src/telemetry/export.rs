//! Export of telemetry: Prometheus reads it over HTTP, and OTLP sends it.

use std::{sync::Arc, time::Duration};

use opentelemetry::{metrics::MeterProvider, trace::TracerProvider};
use opentelemetry_otlp::{
    ExporterBuildError, MetricExporter, SpanExporter, WithExportConfig, WithTonicConfig,
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkError,
    metrics::SdkMeterProvider,
    trace::{Sampler, SdkTracer, SdkTracerProvider},
};
use prometheus::{Registry, TextEncoder};
use tokio::sync::oneshot;

use super::{
    instruments::Instruments,
    native::NativeHistogram,
    otlp,
    protobuf::{self, Native},
};
use crate::config::{ConfigError, TelemetryConfig};

/// The longest export, and the longest wait for the last one, so that a dead or hanging receiver delays nothing.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(1);
/// The name of the instruments' and the spans' scope.
const SCOPE: &str = "portcullis-authority";
/// The name in Prometheus of the histogram that is a native one too, and the label of its series.
const NATIVE: (&str, &str) = (
    "portcullis_enforcement_delay_seconds",
    "portcullis_enforcement_source",
);

/// Why telemetry cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The exporter cannot be set up.
    #[error("telemetry.otlp_endpoint: {0}")]
    Otlp(#[from] ExporterBuildError),
    /// A file of the connection to the receiver cannot be used.
    #[error(transparent)]
    File(#[from] ConfigError),
    /// The registry that Prometheus reads cannot be set up.
    #[error("metrics: {0}")]
    Prometheus(#[from] OTelSdkError),
}

/// The metrics of one authority.
pub(crate) struct Telemetry {
    registry: Registry,
    provider: SdkMeterProvider,
    enforcement: Arc<NativeHistogram>,
}

/// A format of Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    /// Has native histograms too.
    Protobuf,
}

impl Format {
    /// Finds the format for an `Accept` header. Prometheus likes messages best only if it reads native histograms.
    pub(crate) fn accepted(accept: Option<&str>) -> Self {
        // Its own list begins with what it likes best.
        let best = accept.and_then(|list| list.split(',').next());
        match best {
            Some(best) if best.contains("io.prometheus.client.MetricFamily") => Self::Protobuf,
            _ => Self::Text,
        }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4",
            Self::Protobuf => protobuf::CONTENT_TYPE,
        }
    }
}

impl Telemetry {
    /// Sets up the instruments and their readers. It needs a Tokio runtime.
    pub(crate) fn start(
        config: &TelemetryConfig,
        system: &'static str,
    ) -> Result<(Self, Instruments), TelemetryError> {
        let registry = Registry::new();
        let prometheus = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .build()?;
        let mut builder = SdkMeterProvider::builder()
            .with_resource(resource(config))
            .with_reader(prometheus);
        if let Some(endpoint) = &config.otlp_endpoint {
            builder = builder.with_periodic_exporter(metric_exporter(config, endpoint)?);
        }
        let provider = builder.build();
        let instruments = Instruments::new(provider.meter(SCOPE), system);
        let telemetry = Self {
            registry,
            provider,
            enforcement: instruments.enforcement.native(),
        };
        Ok((telemetry, instruments))
    }

    /// All metrics.
    pub(crate) fn metrics(&self, format: Format) -> Option<Vec<u8>> {
        let families = self.registry.gather();
        if format == Format::Protobuf {
            let (name, label) = NATIVE;
            let histogram = &self.enforcement;
            let native = Native {
                name,
                label,
                histogram,
            };
            return Some(protobuf::encode(&families, &native));
        }
        let text = TextEncoder::new().encode_to_string(&families);
        text.map(String::into_bytes)
            .inspect_err(|error| tracing::error!(%error, "metrics cannot be written"))
            .ok()
    }

    /// Sends the metrics that were not sent yet, within [`EXPORT_TIMEOUT`].
    pub(crate) async fn shut_down(&self) {
        let provider = self.provider.clone();
        within_bound(move || drop(provider.shutdown())).await;
    }
}

/// The exporter of this process's spans. The subscriber of `tracing` uses its tracer.
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Sets it up if an endpoint is configured. It needs a Tokio runtime.
    ///
    /// # Errors
    /// When the exporter cannot be set up. A receiver that cannot be reached is no error.
    pub fn start(config: &TelemetryConfig) -> Result<Option<Self>, TelemetryError> {
        let Some(endpoint) = &config.otlp_endpoint else {
            return Ok(None);
        };
        let exporter = span_exporter(config, endpoint)?;
        // A caller that samples decides for its own traces; the ratio is for traces that begin here.
        let roots = Sampler::TraceIdRatioBased(config.trace_sample_ratio);
        let provider = SdkTracerProvider::builder()
            .with_resource(resource(config))
            .with_sampler(Sampler::ParentBased(Box::new(roots)))
            .with_batch_exporter(exporter)
            .build();
        Ok(Some(Self(provider)))
    }

    /// The tracer that turns spans of `tracing` into spans of OpenTelemetry.
    #[must_use]
    pub fn tracer(&self) -> SdkTracer {
        self.0.tracer(SCOPE)
    }

    /// The provider that can be OpenTelemetry's global one, for validators in this process.
    #[must_use]
    pub fn provider(&self) -> SdkTracerProvider {
        self.0.clone()
    }

    /// Sends the spans that were not sent yet, within a second.
    pub async fn shut_down(self) {
        within_bound(move || drop(self.0.shutdown_with_timeout(EXPORT_TIMEOUT))).await;
    }
}

fn metric_exporter(
    config: &TelemetryConfig,
    endpoint: &str,
) -> Result<MetricExporter, TelemetryError> {
    let mut exporter = MetricExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(EXPORT_TIMEOUT);
    if let Some(tls) = otlp::read_tls(config)? {
        exporter = exporter.with_tls_config(tls);
    }
    Ok(exporter.build()?)
}

fn span_exporter(config: &TelemetryConfig, endpoint: &str) -> Result<SpanExporter, TelemetryError> {
    let mut exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(EXPORT_TIMEOUT);
    if let Some(tls) = otlp::read_tls(config)? {
        exporter = exporter.with_tls_config(tls);
    }
    Ok(exporter.build()?)
}

fn resource(config: &TelemetryConfig) -> Resource {
    Resource::builder()
        .with_service_name(config.service_name.clone())
        .build()
}

/// Runs blocking work of the SDK and waits for it, at most [`EXPORT_TIMEOUT`]. Some of that work has no bound, so it
/// runs in a thread of its own that is left behind if it takes longer.
async fn within_bound(work: impl FnOnce() + Send + 'static) {
    let (done, finished) = oneshot::channel();
    // Not `spawn_blocking`: the runtime waits for such work when it ends, and a receiver that hangs would keep the
    // process.
    std::thread::spawn(move || {
        work();
        // The receiver is gone if the bound passed before.
        let _ = done.send(());
    });
    if tokio::time::timeout(EXPORT_TIMEOUT, finished)
        .await
        .is_err()
    {
        tracing::warn!("the last telemetry was not taken in time");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_reader_that_likes_messages_best_gets_them() {
        // Two lists of a reader: with messages first, and with text first.
        let messages = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
                        encoding=delimited;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let text = "application/openmetrics-text;version=1.0.0;q=0.5,\
                    application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;q=0.4,\
                    text/plain;version=0.0.4;q=0.3";
        assert_eq!(Format::accepted(Some(messages)), Format::Protobuf);
        for accept in [Some(text), Some("*/*"), Some(""), None] {
            assert_eq!(Format::accepted(accept), Format::Text);
        }
    }
}
