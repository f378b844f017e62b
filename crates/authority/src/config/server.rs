//! `[server]`: addresses, TLS, and bounds of the edge.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use portcullis_contract::id::TenantId;
use serde::{Deserialize, Serialize};

use super::{
    ConfigError,
    bounds::{DAY, HOUR, MILLISECOND, MINUTE, SECOND, YEAR, check_counts, check_durations},
    web_origin,
};

/// `[server]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Address of the gRPC server.
    pub grpc_listen: SocketAddr,
    /// Address of the HTTP server (JWKS, health, and metrics without a listener of their own).
    pub http_listen: SocketAddr,
    /// Address of a listener for the metrics alone. Unset: the HTTP server has them.
    pub metrics_listen: Option<SocketAddr>,
    /// The HTTP server, and the listener of the metrics, speak TLS with the files below.
    pub http_tls: bool,
    /// PEM file with the certificate chain. With `tls_key_file`, the gRPC server speaks TLS.
    pub tls_certificate_file: Option<PathBuf>,
    /// PEM file with the private key.
    pub tls_key_file: Option<PathBuf>,
    /// PEM file with the certificates that sign those of clients. A client may then show one.
    pub tls_client_ca_file: Option<PathBuf>,
    /// Allows addresses beyond loopback without TLS.
    pub insecure: bool,
    /// Serves gRPC reflection.
    pub reflection: bool,
    /// The origins whose pages may call by gRPC-Web with their users' own tokens. Empty: none, and no gRPC-Web.
    pub web_origins: Vec<String>,
    /// The tenant whose administrators may list the gates and verify the audit trail with their own tokens. Unset: none.
    pub operators_tenant: Option<String>,
    /// Longest time that calls may take to finish after SIGTERM.
    #[serde(with = "humantime_serde")]
    pub drain_timeout: Duration,
    /// Calls running at a time; more are shed. Calls that revoke have as many places again.
    pub calls_max: usize,
    /// Reports of gates being recorded at a time; more are shed, and gates send them again.
    pub reports_max: usize,
    /// Calls of one user at a time, counted before their messages are read.
    pub calls_per_user_max: usize,
    /// Streams without credentials (health, reflection) at a time.
    pub public_streams_max: usize,
    /// Calls and streams of one connection at a time; more wait at the client.
    pub streams_per_connection_max: u32,
    /// Connections of the gRPC port. Unset: as many as the limit of open files allows.
    pub connections_max: Option<usize>,
    /// Connections of the HTTP port. Unset: an eighth of the limit of open files, at most 256.
    pub http_connections_max: Option<usize>,
    /// Connections of one address at a port. Unset: half of the port's.
    pub connections_per_address_max: Option<usize>,
    /// Longest time for a TLS handshake, an HTTP/2 preface, the header of an HTTP/1 request, or a message to arrive.
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
    /// Longest time for a call. A caller's earlier deadline holds instead.
    #[serde(with = "humantime_serde")]
    pub call_timeout: Duration,
    /// Longest time that a connection may have no call.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// Age, plus or minus a tenth, at which a connection's peer is asked to reconnect.
    #[serde(with = "humantime_serde")]
    pub connection_age_max: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            // Loopback, because a default must not expose a server without TLS.
            grpc_listen: ([127, 0, 0, 1], 7400).into(),
            http_listen: ([127, 0, 0, 1], 7480).into(),
            metrics_listen: None,
            http_tls: false,
            tls_certificate_file: None,
            tls_key_file: None,
            tls_client_ca_file: None,
            insecure: false,
            reflection: false,
            web_origins: Vec::new(),
            operators_tenant: None,
            drain_timeout: 10 * SECOND,
            calls_max: 4096,
            reports_max: 1024,
            calls_per_user_max: 16,
            public_streams_max: 1024,
            streams_per_connection_max: 100,
            connections_max: None,
            http_connections_max: None,
            connections_per_address_max: None,
            request_timeout: 10 * SECOND,
            call_timeout: MINUTE,
            idle_timeout: 5 * MINUTE,
            connection_age_max: DAY / 2,
        }
    }
}

impl ServerConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.check_listeners()?;
        self.check_operators()?;
        web_origin::check(&self.web_origins, self.insecure)?;
        self.check_times()?;
        self.check_concurrency()?;
        self.check_connections()
    }

    fn check_listeners(&self) -> Result<(), ConfigError> {
        // With one file alone the server would start without TLS, although the operator meant to have it.
        if self.tls_certificate_file.is_some() != self.tls_key_file.is_some() {
            return Err(ConfigError::new(
                "server.tls_key_file",
                "needs tls_certificate_file, and the reverse",
            ));
        }
        let has_tls = self.tls_certificate_file.is_some();
        if self.tls_client_ca_file.is_some() && !has_tls {
            return Err(ConfigError::new(
                "server.tls_client_ca_file",
                "needs tls_certificate_file and tls_key_file",
            ));
        }
        // Credentials travel in every call. Plain text beyond this machine has to be asked for by name.
        if !has_tls && !self.insecure && !self.grpc_listen.ip().is_loopback() {
            let problem = "is not a loopback address: set TLS files, or server.insecure = true";
            return Err(ConfigError::new("server.grpc_listen", problem));
        }
        if self.http_tls && !has_tls {
            return Err(ConfigError::new(
                "server.http_tls",
                "needs tls_certificate_file and tls_key_file",
            ));
        }
        self.check_http_address("server.http_listen", self.http_listen)?;
        check_other_address("server.http_listen", self.http_listen, &[self.grpc_listen])?;
        let Some(metrics) = self.metrics_listen else {
            return Ok(());
        };
        self.check_http_address("server.metrics_listen", metrics)?;
        let others = [self.grpc_listen, self.http_listen];
        check_other_address("server.metrics_listen", metrics, &others)
    }

    /// Whoever changes the keys on their way makes verifiers trust forged tokens, and the metrics name the gates.
    fn check_http_address(&self, key: &str, address: SocketAddr) -> Result<(), ConfigError> {
        if self.http_tls || self.insecure || address.ip().is_loopback() {
            return Ok(());
        }
        let problem = "is not a loopback address and serves plain HTTP: set server.http_tls = true with the TLS files, \
             or server.insecure = true";
        Err(ConfigError::new(key, problem))
    }

    fn check_operators(&self) -> Result<(), ConfigError> {
        let Some(tenant) = &self.operators_tenant else {
            return Ok(());
        };
        match TenantId::parse(tenant.as_str()) {
            Ok(_) => Ok(()),
            Err(error) => Err(ConfigError::new(
                "server.operators_tenant",
                error.to_string(),
            )),
        }
    }

    fn check_times(&self) -> Result<(), ConfigError> {
        let moment = 100 * MILLISECOND;
        check_durations(&[
            (
                "server.drain_timeout",
                self.drain_timeout,
                Duration::ZERO..=DAY,
            ),
            (
                "server.request_timeout",
                self.request_timeout,
                moment..=HOUR,
            ),
            ("server.call_timeout", self.call_timeout, moment..=HOUR),
            ("server.idle_timeout", self.idle_timeout, SECOND..=DAY),
            (
                "server.connection_age_max",
                self.connection_age_max,
                SECOND..=YEAR,
            ),
        ])
    }

    fn check_concurrency(&self) -> Result<(), ConfigError> {
        let streams_max = usize::try_from(self.streams_per_connection_max).unwrap_or(usize::MAX);
        check_counts(&[
            ("server.calls_max", self.calls_max, 1_000_000),
            ("server.reports_max", self.reports_max, 1_000_000),
            (
                "server.calls_per_user_max",
                self.calls_per_user_max,
                1_000_000,
            ),
            (
                "server.public_streams_max",
                self.public_streams_max,
                1_000_000,
            ),
            ("server.streams_per_connection_max", streams_max, 65_536),
        ])
    }

    fn check_connections(&self) -> Result<(), ConfigError> {
        let bounds = [
            ("server.connections_max", self.connections_max),
            ("server.http_connections_max", self.http_connections_max),
            (
                "server.connections_per_address_max",
                self.connections_per_address_max,
            ),
        ];
        for (key, value) in bounds {
            // An unset bound follows from the limit of open files, at the start.
            if let Some(value) = value {
                check_counts(&[(key, value, 10_000_000)])?;
            }
        }
        Ok(())
    }
}

/// Refuses an address that another listener has. With port 0 each gets one of its own.
fn check_other_address(
    key: &str,
    address: SocketAddr,
    others: &[SocketAddr],
) -> Result<(), ConfigError> {
    if address.port() != 0 && others.contains(&address) {
        let problem = "must differ from the addresses of the other listeners";
        return Err(ConfigError::new(key, problem));
    }
    Ok(())
}
