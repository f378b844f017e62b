//! HTTP/3: what a door needs for it, and a client.

use std::{fs, net::SocketAddr, path::Path, process::Command};

use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

use crate::{
    gateways::{Https, Launch, Running, program::envoys},
    ports::free_address,
};

/// The host of the doors under test, which their certificate names.
const HOST: &str = "service.test";

/// A certificate of a door under test, with its key.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate as PEM.
    pub pem: String,
    /// The key as PEM.
    pub key: String,
}

impl Certificate {
    /// Makes one that no test outlives.
    ///
    /// # Panics
    /// Never: the name is good.
    #[must_use]
    pub fn generate() -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([HOST.to_owned()]).expect("a name");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self {
            pem: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// Writes it into a directory, for a gateway that listens at a free port of its own.
    ///
    /// # Panics
    /// When the files cannot be written.
    #[must_use]
    pub fn write(&self, directory: &Path) -> Https {
        let https = Https {
            address: free_address(),
            certificate: directory.join("tls.crt"),
            key: directory.join("tls.key"),
        };
        fs::write(&https.certificate, &self.pem).expect("written");
        fs::write(&https.key, &self.key).expect("written");
        https
    }
}

/// Adds a listener for HTTP/3 to a configuration of Envoy: a copy of the first one, on a free port, which it returns.
///
/// # Panics
/// When the configuration has no listener.
pub fn listen_in_envoy(config: &mut Value, certificate: &Certificate) -> SocketAddr {
    let address = free_address();
    let listeners = config["static_resources"]["listeners"].as_array_mut();
    let listeners = listeners.expect("listeners");
    let mut quic = listeners[0].clone();
    quic["name"] = json!("edge-http3");
    quic["address"]["socket_address"] =
        json!({ "protocol": "UDP", "address": "127.0.0.1", "port_value": address.port() });
    quic["udp_listener_config"] = json!({ "quic_options": {} });
    let chain = &mut quic["filter_chains"][0];
    chain["filters"][0]["typed_config"]["codec_type"] = json!("HTTP3");
    chain["filters"][0]["typed_config"]["http3_protocol_options"] = json!({});
    chain["transport_socket"] = json!({
        "name": "envoy.transport_sockets.quic",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.quic.v3.QuicDownstreamTransport",
            "downstream_tls_context": { "common_tls_context": { "tls_certificates": [{
                "certificate_chain": { "inline_string": certificate.pem },
                "private_key": { "inline_string": certificate.key },
            }] } },
        },
    });
    listeners.push(quic);
    address
}

/// A client in HTTP/3: an Envoy that takes requests in HTTP/1.1, and sends them in HTTP/3. It cleans nothing that
/// HTTP/3 can carry.
pub struct Http3Client(Running);

impl Http3Client {
    /// Starts one for the door at `door`.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(door: SocketAddr, certificate: &Certificate) -> Self {
        let envoy = &envoys()[0];
        let running = Running::start(|| {
            let address = free_address();
            let mut command = Command::new(&envoy.path);
            command
                .arg("--config-yaml")
                .arg(client_config(address, door, certificate).to_string())
                .args(["--concurrency", "1", "--use-dynamic-base-id"])
                .args(["--log-level", "warn"]);
            Launch { command, address }
        });
        Self(running.await)
    }

    /// Where it takes requests.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }
}

fn client_config(address: SocketAddr, door: SocketAddr, certificate: &Certificate) -> Value {
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "client",
        "http_protocol_options": { "enable_trailers": true },
        "route_config": { "virtual_hosts": [{
            "name": "door",
            "domains": ["*"],
            "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": "door", "timeout": "0s" } }],
        }] },
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            },
        }],
    });
    let cluster = json!({
        "name": "door",
        "type": "STATIC",
        "load_assignment": { "cluster_name": "door", "endpoints": [{ "lb_endpoints": [{
            "endpoint": { "address": socket_address(door) },
        }] }] },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": { "http3_protocol_options": {} },
            },
        },
        "transport_socket": {
            "name": "envoy.transport_sockets.quic",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.quic.v3.QuicUpstreamTransport",
                "upstream_tls_context": {
                    "sni": HOST,
                    "common_tls_context": { "validation_context": {
                        "trusted_ca": { "inline_string": certificate.pem },
                    } },
                },
            },
        },
    });
    json!({ "static_resources": {
        "listeners": [{
            "name": "client",
            "address": socket_address(address),
            "filter_chains": [{ "filters": [{
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": manager,
            }] }],
        }],
        "clusters": [cluster],
    } })
}

fn socket_address(address: SocketAddr) -> Value {
    json!({ "socket_address": { "address": address.ip().to_string(), "port_value": address.port() } })
}
