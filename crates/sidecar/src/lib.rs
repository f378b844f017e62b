//! The Portcullis sidecar: decides for gateways that ask about each request.
//!
//! Two doors lead to one [gate](portcullis_gate):
//!
//! - `ext_authz`, which Envoy speaks over gRPC;
//! - forward-auth, which NGINX, Caddy, Traefik and HAProxy speak over HTTP.
//!
//! A [validator](portcullis_validator) follows the authority in the background, so a check waits for nobody.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use portcullis_sidecar::{Config, Sidecar};
//!
//! let config = Config::read_file("sidecar.toml".as_ref())?;
//! let sidecar = Sidecar::start(&config).await?;
//! println!("{:?}", sidecar.addresses());
//! sidecar.shut_down().await;
//! # Ok(()) }
//! ```
//!
//! # The promise
//!
//! Nothing fails open. A check that does not describe a request, a panic, a timeout, a view that is too old, a sidecar
//! that ends: each refuses. What the gateway does without an answer is its own configuration's matter; the samples in
//! `deploy/` refuse, and tests hold them to it.
//!
//! # The trust
//!
//! A door believes the request that its gateway describes. Only the gateway may reach it, so it listens on loopback or a
//! Unix socket unless told otherwise.

mod config;
mod doors;
mod net;
mod operations;
mod sidecar;
mod telemetry;

pub use portcullis_gate::{ExplainError, Explanation};
pub use portcullis_serving::config::ConfigError;

pub use self::{
    config::{Config, LimitsConfig, Listen, ListenerConfig},
    sidecar::{Addresses, Sidecar, StartError},
};
