//! `[telemetry]`: the export of traces and metrics.

use serde::{Deserialize, Serialize};

use super::{ConfigError, bounds::check_not_empty};

/// `[telemetry]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// `http://…` of an OTLP receiver (gRPC). Unset: traces are not exported, and metrics are at `/metrics` only.
    pub otlp_endpoint: Option<String>,
    /// `service.name` of exported traces and metrics.
    pub service_name: String,
    /// Part of the calls without a trace context that is sampled, from 0 to 1. A call with a context is sampled if its
    /// caller's span is.
    pub trace_sample_ratio: f64,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            service_name: "portcullis".into(),
            trace_sample_ratio: 0.01,
        }
    }
}

impl TelemetryConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if let Some(endpoint) = &self.otlp_endpoint
            // The exporter is built without TLS, so it could never reach an https endpoint.
            && !endpoint.starts_with("http://")
        {
            return Err(ConfigError::new(
                "telemetry.otlp_endpoint",
                "must begin with http://",
            ));
        }
        check_not_empty("telemetry.service_name", self.service_name.is_empty())?;
        // NaN is in no range, and so refused too.
        if !(0.0..=1.0).contains(&self.trace_sample_ratio) {
            return Err(ConfigError::new(
                "telemetry.trace_sample_ratio",
                "must be from 0 to 1",
            ));
        }
        Ok(())
    }
}
