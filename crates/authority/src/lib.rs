//! The authority: the service that owns sessions, and the log of their revocations.
//!
//! A sign-out flows one way. `api` parses the request, a use case in `app` decides, `log` commits the entry with
//! the state change and the audit row, `feed` reads the batch back, and every stream sends it to its validator.
//!
//! - `server`: start, serve, drain. It lists the parts.
//! - `api`: the edges. `grpc` alone knows messages and statuses of gRPC; `http` has the keys, metrics and health, and the
//!   endpoints of OAuth and OpenID Connect.
//! - `app`: the use cases, in domain words.
//! - `log`: the queue and the group commit. `feed`: the view, the batches and snapshots for streams, and beats.
//! - `jobs`: background work, one list. `health`: readiness, and the supervision of tasks.
//! - `audit_export`: the audit trail to files, syslog and webhooks.
//! - `callers`: the configured services, which may be replaced while calls go on.
//! - `keys`: the master key, signing keys, and the secrets of tokens. `client_info`: devices and places.
//! - `identity_providers`: the providers whose logout tokens end sessions, and their keys.
//! - `net`: the ports and their bounds. `limits`: rates and quotas of tenants.
//! - `installation`: the store that a configuration names, its issuer, and recovery. `telemetry`: instruments.

mod api;
mod app;
mod audit_archive;
mod audit_export;
mod callers;
mod check;
pub mod client_info;
pub mod config;
pub mod feed;
mod health;
mod identity_providers;
pub mod installation;
mod jobs;
pub mod keys;
mod limits;
pub mod log;
mod net;
mod policies;
mod refused_sign_ins;
mod server;
#[cfg(feature = "simulation")]
pub mod simulation;
pub mod telemetry;

pub use portcullis_domain as domain;
pub use portcullis_store as store;

pub use self::{
    callers::{Callers, Replacement},
    check::{check, store_durability},
    installation::open_store,
    keys::read_master_keys,
    server::{Authority, StartError},
};
