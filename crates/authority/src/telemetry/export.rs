//! Where telemetry goes: Prometheus asks for it, OTLP is sent.

use std::time::Duration;

use opentelemetry::{metrics::MeterProvider, trace::TracerProvider};
use opentelemetry_otlp::{ExporterBuildError, MetricExporter, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkError,
    metrics::SdkMeterProvider,
    trace::{Sampler, SdkTracer, SdkTracerProvider},
};
use prometheus::{Registry, TextEncoder};
use tokio::sync::oneshot;

use super::instruments::Instruments;
use crate::config::TelemetryConfig;

/// How long an export may take, and the last one at the end too: a receiver that is dead or hangs holds nobody up.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(1);
/// The name of the instruments' and the spans' scope.
const SCOPE: &str = "portcullis-authority";

/// Why there is no telemetry.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The exporter cannot be set up.
    #[error("telemetry.otlp_endpoint: {0}")]
    Otlp(#[from] ExporterBuildError),
    /// The registry that Prometheus reads cannot be set up.
    #[error("metrics: {0}")]
    Prometheus(#[from] OTelSdkError),
}

/// The metrics of one authority.
pub(crate) struct Telemetry {
    registry: Registry,
    provider: SdkMeterProvider,
}

impl Telemetry {
    /// Sets up the one set of instruments. Within a Tokio runtime.
    pub(crate) fn start(
        config: &TelemetryConfig,
        system: &'static str,
    ) -> Result<(Self, Instruments), TelemetryError> {
        let registry = Registry::new();
        let prometheus = opentelemetry_prometheus::exporter().with_registry(registry.clone());
        let prometheus = prometheus.scope_info_enabled(false).build()?;
        let mut builder = SdkMeterProvider::builder()
            .with_resource(resource(config))
            .with_reader(prometheus);
        if let Some(endpoint) = &config.otlp_endpoint {
            let exporter = MetricExporter::builder().with_tonic();
            builder = builder.with_periodic_exporter(
                exporter
                    .with_endpoint(endpoint)
                    .with_timeout(EXPORT_TIMEOUT)
                    .build()?,
            );
        }
        let provider = builder.build();
        let instruments = Instruments::new(provider.meter(SCOPE), system);
        Ok((Self { registry, provider }, instruments))
    }

    /// All metrics as Prometheus reads them.
    pub(crate) fn text(&self) -> Option<String> {
        let text = TextEncoder::new().encode_to_string(&self.registry.gather());
        text.inspect_err(|error| tracing::error!(%error, "metrics cannot be written"))
            .ok()
    }

    /// Sends what is left. Takes at most [`EXPORT_TIMEOUT`].
    pub(crate) async fn shut_down(&self) {
        let provider = self.provider.clone();
        within_bound(move || drop(provider.shutdown())).await;
    }
}

/// The exporter of this process's spans. What subscribes to `tracing` uses its tracer.
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Sets it up, when an endpoint is configured. Within a Tokio runtime.
    ///
    /// # Errors
    /// When the exporter cannot be set up. A receiver that cannot be reached is none.
    pub fn start(config: &TelemetryConfig) -> Result<Option<Self>, TelemetryError> {
        let Some(endpoint) = &config.otlp_endpoint else {
            return Ok(None);
        };
        let exporter = SpanExporter::builder().with_tonic();
        let exporter = exporter
            .with_endpoint(endpoint)
            .with_timeout(EXPORT_TIMEOUT)
            .build()?;
        let roots = Sampler::TraceIdRatioBased(config.trace_sample_ratio);
        let provider = SdkTracerProvider::builder()
            .with_resource(resource(config))
            .with_sampler(Sampler::ParentBased(Box::new(roots)))
            .with_batch_exporter(exporter)
            .build();
        Ok(Some(Self(provider)))
    }

    /// What makes spans of those that `tracing` has.
    #[must_use]
    pub fn tracer(&self) -> SdkTracer {
        self.0.tracer(SCOPE)
    }

    /// What OpenTelemetry's global provider can be, for validators in this process.
    #[must_use]
    pub fn provider(&self) -> SdkTracerProvider {
        self.0.clone()
    }

    /// Sends what is left. Takes at most a second.
    pub async fn shut_down(self) {
        within_bound(move || drop(self.0.shutdown_with_timeout(EXPORT_TIMEOUT))).await;
    }
}

fn resource(config: &TelemetryConfig) -> Resource {
    Resource::builder()
        .with_service_name(config.service_name.clone())
        .build()
}

/// The SDK blocks, some of it without a bound: in a thread of its own, which nobody waits for longer than this.
async fn within_bound(work: impl FnOnce() + Send + 'static) {
    let (done, finished) = oneshot::channel();
    std::thread::spawn(move || {
        work();
        // Whoever waited may have gone on.
        let _ = done.send(());
    });
    if tokio::time::timeout(EXPORT_TIMEOUT, finished)
        .await
        .is_err()
    {
        tracing::warn!("the last telemetry was not taken in time");
    }
}
