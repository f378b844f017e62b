//! The options of `dev`.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;

use super::envoy::EnvoyOptions;

/// Options of `dev`.
#[derive(Args)]
pub(crate) struct Options {
    /// Directory of the database and the credentials.
    #[arg(long, default_value = "./portcullis-data", value_name = "DIR")]
    pub(super) data_dir: PathBuf,
    /// Address of the authority's gRPC server.
    #[arg(long, default_value = "127.0.0.1:7400", value_name = "ADDRESS")]
    pub(super) grpc_listen: SocketAddr,
    /// Address of the authority's HTTP server (JWKS, health).
    #[arg(long, default_value = "127.0.0.1:7480", value_name = "ADDRESS")]
    pub(super) http_listen: SocketAddr,
    /// Address of the example gateway.
    #[arg(long, default_value = "127.0.0.1:7490", value_name = "ADDRESS")]
    pub(super) gateway_listen: SocketAddr,
    /// Address of the demo upstream: a web application that trusts the gateway's identity headers.
    #[arg(long, default_value = "127.0.0.1:7491", value_name = "ADDRESS")]
    pub(super) upstream_listen: SocketAddr,
    /// Address of the console, with a sign-in that asks for no password.
    #[arg(long, default_value = "127.0.0.1:7470", value_name = "ADDRESS")]
    pub(super) console_listen: SocketAddr,
    /// Origin of a web page that may call the authority by gRPC-Web, such as http://localhost:3000. May be repeated.
    #[arg(long, value_name = "ORIGIN")]
    pub(super) web_origin: Vec<String>,
    #[command(flatten)]
    pub(super) envoy: EnvoyOptions,
    /// Sign in, be admitted, revoke and be refused once; print the times, and exit.
    #[arg(long)]
    pub(super) demo: bool,
    /// Make a school and a company in a new data directory: people, devices, places, findings, API keys, and their trail.
    #[arg(long)]
    pub(super) demo_data: bool,
}
