//! Envoy: without a filter, with the module, and with an `ext_authz` service. All but the filter is the same.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use portcullis_tests::{
    authority::{AUDIENCE, GATEWAY, ISSUER},
    gateways::{Launch, Running, program},
    ports::free_address,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Settings, beside_this};

/// The module's file.
const MODULE: &str = "libportcullis_envoy.so";

const MANAGER: &str = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
const DYNAMIC_MODULE: &str =
    "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter";
const EXT_AUTHZ: &str = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz";
const HTTP_OPTIONS: &str =
    "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// The door that decides about requests.
#[derive(Clone, Debug)]
pub(crate) enum Filter {
    /// Nothing: every request is forwarded.
    None,
    /// The module of this project.
    Module,
    /// A service at this Unix socket, over gRPC.
    ExtAuthz(PathBuf),
}

/// A running Envoy.
pub(crate) struct Envoy {
    running: Running,
    _directory: TempDir,
}

impl Envoy {
    /// Starts the newest Envoy that is supported, and waits until it listens.
    pub(crate) async fn start(
        filter: &Filter,
        settings: &Settings,
        workers: usize,
    ) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let program = program::envoys().remove(0);
        let module = match filter {
            Filter::Module => beside_this(MODULE)?,
            // There is none to find.
            _ => directory.path().join(MODULE),
        };
        let modules = module.parent().context("a directory")?;
        let file = directory.path().join("envoy.json");
        let running = Running::start(|| {
            let address = free_address();
            let config = config(address, filter, settings);
            fs::write(&file, config.to_string()).expect("a file in a directory of our own");
            let mut command = Command::new(&program.path);
            command
                .arg("--config-path")
                .arg(&file)
                .args(["--concurrency", &workers.to_string()])
                .args(["--use-dynamic-base-id", "--log-level", "error"])
                .env("ENVOY_DYNAMIC_MODULES_SEARCH_PATH", modules);
            Launch { command, address }
        })
        .await;
        Ok(Self {
            running,
            _directory: directory,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running.address
    }

    pub(crate) fn id(&self) -> u32 {
        self.running.id()
    }
}

fn config(listen: SocketAddr, filter: &Filter, settings: &Settings) -> Value {
    let mut filters = Vec::new();
    let endpoint = json!({ "socket_address": address(settings.upstream) });
    let mut clusters = vec![cluster("application", &endpoint)];
    match filter {
        Filter::None => {}
        Filter::Module => filters.push(module_filter(settings)),
        Filter::ExtAuthz(socket) => {
            filters.push(ext_authz_filter());
            clusters.push(authorization_cluster(socket));
        }
    }
    filters.push(json!({
        "name": "envoy.filters.http.router",
        "typed_config": { "@type": ROUTER },
    }));
    let manager = json!({
        "@type": MANAGER,
        "stat_prefix": "edge",
        "use_remote_address": true,
        "normalize_path": true,
        "merge_slashes": true,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "delayed_close_timeout": "0s",
        "upgrade_configs": [{ "upgrade_type": "websocket" }],
        "common_http_protocol_options": { "headers_with_underscores_action": "DROP_HEADER" },
        "route_config": { "virtual_hosts": [{
            "name": "application",
            "domains": ["*"],
            "routes": [{
                "match": { "prefix": "/" },
                "route": { "cluster": "application", "timeout": "0s" },
            }],
        }] },
        "http_filters": filters,
    });
    json!({ "static_resources": {
        "listeners": [{
            "name": "edge",
            "address": { "socket_address": address(listen) },
            "filter_chains": [{ "filters": [{
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": manager,
            }] }],
        }],
        "clusters": clusters,
    } })
}

fn address(address: SocketAddr) -> Value {
    json!({ "address": address.ip(), "port_value": address.port() })
}

fn cluster(name: &str, endpoint: &Value) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        // The default of 1,024 connections is too few for the rows with many streams.
        "circuit_breakers": { "thresholds": [{
            "max_connections": 100_000,
            "max_pending_requests": 100_000,
            "max_requests": 100_000,
        }] },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": endpoint } }] }],
        },
    })
}

fn module_filter(settings: &Settings) -> Value {
    json!({
        "name": "portcullis",
        "typed_config": {
            "@type": DYNAMIC_MODULE,
            "dynamic_module_config": { "name": "portcullis_envoy", "do_not_close": true },
            "filter_name": "portcullis",
            "filter_config": {
                "@type": "type.googleapis.com/google.protobuf.Struct",
                "value": {
                    "authority": {
                        "endpoints": [settings.endpoint],
                        "bearer": GATEWAY,
                        "issuer": ISSUER,
                        "audience": AUDIENCE,
                        "max_staleness": format!("{}ms", settings.max_staleness.as_millis()),
                    },
                },
            },
        },
    })
}

fn ext_authz_filter() -> Value {
    json!({
        "name": "envoy.filters.http.ext_authz",
        "typed_config": {
            "@type": EXT_AUTHZ,
            "transport_api_version": "V3",
            "grpc_service": {
                "envoy_grpc": { "cluster_name": "authorization" },
                "timeout": "1s",
            },
            "status_on_error": { "code": "ServiceUnavailable" },
            "validate_mutations": true,
        },
    })
}

fn authorization_cluster(socket: &Path) -> Value {
    let mut cluster = cluster("authorization", &json!({ "pipe": { "path": socket } }));
    cluster["typed_extension_protocol_options"] = json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": HTTP_OPTIONS,
            "explicit_http_config": { "http2_protocol_options": {} },
        },
    });
    cluster
}
