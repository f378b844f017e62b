//! `[telemetry]`: the export of traces and metrics.

use std::path::PathBuf;

use http::Uri;
use serde::{Deserialize, Serialize};

use super::{ConfigError, bounds::check_not_empty, web_origin::LOOPBACK_HOSTS};

/// `[telemetry]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// `https://…` of an OTLP receiver (gRPC), or `http://…`. Unset: traces are not exported, and metrics are at
    /// `/metrics` only.
    pub otlp_endpoint: Option<String>,
    /// PEM file with the certificates that sign the receiver's. Needed for `https://`.
    pub otlp_ca_file: Option<PathBuf>,
    /// PEM file with the certificate that is shown to the receiver, and its chain.
    pub otlp_certificate_file: Option<PathBuf>,
    /// PEM file with its private key.
    pub otlp_key_file: Option<PathBuf>,
    /// Allows a receiver beyond loopback without TLS.
    pub otlp_insecure: bool,
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
            otlp_ca_file: None,
            otlp_certificate_file: None,
            otlp_key_file: None,
            otlp_insecure: false,
            service_name: "portcullis".into(),
            trace_sample_ratio: 0.01,
        }
    }
}

impl TelemetryConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.check_receiver()?;
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

    fn check_receiver(&self) -> Result<(), ConfigError> {
        let is_tls = match &self.otlp_endpoint {
            Some(endpoint) => self.check_endpoint(endpoint)?,
            None => false,
        };
        if is_tls && self.otlp_ca_file.is_none() {
            let problem =
                "is required for https://: the file with the certificates that sign the receiver's";
            return Err(ConfigError::new("telemetry.otlp_ca_file", problem));
        }
        // Settings of TLS that protect nothing would be taken for protection.
        if !is_tls && self.otlp_ca_file.is_some() {
            let problem = "needs an otlp_endpoint that begins with https://";
            return Err(ConfigError::new("telemetry.otlp_ca_file", problem));
        }
        if !is_tls && self.otlp_certificate_file.is_some() {
            let problem = "needs an otlp_endpoint that begins with https://";
            return Err(ConfigError::new("telemetry.otlp_certificate_file", problem));
        }
        if self.otlp_certificate_file.is_some() != self.otlp_key_file.is_some() {
            let problem = "must be set with otlp_certificate_file, and the reverse";
            return Err(ConfigError::new("telemetry.otlp_key_file", problem));
        }
        Ok(())
    }

    /// Whether the endpoint has TLS.
    fn check_endpoint(&self, endpoint: &str) -> Result<bool, ConfigError> {
        let refuse = |problem| Err(ConfigError::new("telemetry.otlp_endpoint", problem));
        let Ok(uri) = endpoint.parse::<Uri>() else {
            return refuse("must be the URL of an OTLP receiver");
        };
        let host = uri.host().unwrap_or_default();
        match uri.scheme_str() {
            Some("https") => Ok(true),
            // Traces show who calls what, and when.
            Some("http") if !self.otlp_insecure && !LOOPBACK_HOSTS.contains(&host) => refuse(
                "is plain http:// beyond this machine: use https:// with otlp_ca_file, or set telemetry.otlp_insecure = true",
            ),
            Some("http") => Ok(false),
            _ => refuse("must begin with https:// or http://"),
        }
    }
}
