//! The authority: the gRPC service that owns who is signed in.
//!
//! A sign-out flows one way: `api` converts it once, `domain` says what it means, `log` batches and commits it
//! with the state change and the audit row, `feed` reads it back, and every stream sends it to its validator.

mod api;
mod app;
mod check;
pub mod client_info;
pub mod config;
pub mod feed;
mod health;
pub mod installation;
mod jobs;
pub mod keys;
mod limits;
pub mod log;
mod net;
mod policies;
mod server;
pub mod telemetry;

pub use portcullis_domain as domain;
pub use portcullis_store as store;

pub use self::{
    check::check,
    installation::open_store,
    keys::read_master_key,
    server::{Authority, StartError},
};
