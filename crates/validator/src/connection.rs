//! Connections to the authority: endpoints, TLS and the gate's credential.

use std::time::Duration;

use portcullis_validator_core::BuildError;
use tonic::{
    metadata::{Ascii, MetadataValue},
    transport::{Certificate, ClientTlsConfig, Endpoint, Error},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest interval between two HTTP/2 pings.
const PING_INTERVAL_MAX: Duration = Duration::from_secs(2);
/// The time within which a ping must be answered.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Parses the credential into the metadata of every call.
pub(crate) fn authorization(bearer: &str) -> Result<MetadataValue<Ascii>, BuildError> {
    let Ok(mut authorization) = format!("Bearer {bearer}").parse::<MetadataValue<Ascii>>() else {
        return Err(BuildError {
            setting: "bearer",
            problem: "must be visible ASCII".into(),
        });
    };
    // Debug output of a request then leaves the credential out.
    authorization.set_sensitive(true);
    Ok(authorization)
}

/// Parses an endpoint and sets its timeouts and its TLS.
pub(crate) fn endpoint(
    address: &str,
    ca_certificate: Option<&[u8]>,
    max_staleness: Duration,
) -> Result<Endpoint, BuildError> {
    // A dead connection has to be noticed before the gate is stale: pings are no rarer than the staleness.
    let ping_interval = PING_INTERVAL_MAX.min(max_staleness);
    let endpoint = Endpoint::from_shared(address.to_owned())
        .map_err(invalid_endpoint)?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(ping_interval)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true);
    if !address.starts_with("https:") {
        return Ok(endpoint);
    }

    let mut tls = ClientTlsConfig::new();
    if let Some(pem) = ca_certificate {
        tls = tls.ca_certificate(Certificate::from_pem(pem));
    }
    endpoint.tls_config(tls).map_err(invalid_endpoint)
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "map_err hands the error over"
)]
fn invalid_endpoint(error: Error) -> BuildError {
    BuildError {
        setting: "endpoint",
        problem: error.to_string(),
    }
}
