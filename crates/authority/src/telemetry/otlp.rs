//! TLS of the connection to the OTLP receiver.

use std::path::Path;

use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig, Identity};
use portcullis_serving::tls::{read_certificates, read_file, read_private_key};

use crate::config::{ConfigError, TelemetryConfig};

const CA_FILE: &str = "telemetry.otlp_ca_file";
const CERTIFICATE_FILE: &str = "telemetry.otlp_certificate_file";
const KEY_FILE: &str = "telemetry.otlp_key_file";

/// Checks that the files can be used.
///
/// # Errors
/// When one cannot.
pub(crate) fn check_files(config: &TelemetryConfig) -> Result<(), ConfigError> {
    read_tls(config).map(drop)
}

/// Reads the files. None: the receiver has no TLS.
pub(super) fn read_tls(config: &TelemetryConfig) -> Result<Option<ClientTlsConfig>, ConfigError> {
    let Some(ca_file) = &config.otlp_ca_file else {
        return Ok(None);
    };
    let ca = read_file(CA_FILE, ca_file)?;
    // The transport leaves out what it cannot read, and would then trust nobody without a word.
    read_certificates(CA_FILE, &ca)?;
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
    if let (Some(certificate), Some(key)) = (&config.otlp_certificate_file, &config.otlp_key_file) {
        tls = tls.identity(read_identity(certificate, key)?);
    }
    Ok(Some(tls))
}

fn read_identity(certificate: &Path, key: &Path) -> Result<Identity, ConfigError> {
    let certificate = read_file(CERTIFICATE_FILE, certificate)?;
    let key = read_file(KEY_FILE, key)?;
    read_certificates(CERTIFICATE_FILE, &certificate)?;
    read_private_key(KEY_FILE, &key)?;
    Ok(Identity::from_pem(certificate, key))
}
