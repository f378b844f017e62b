//! The authority: the gRPC service that owns who is signed in.
//!
//! A sign-out flows one way: `api` converts it once, `domain` says what it means, `log` batches and commits it
//! with the state change and the audit row, `feed` reads it back, and every stream sends it to its validator.

mod api;
pub mod config;
pub mod crypto;
pub mod feed;
mod files;
mod gates;
mod health;
mod held;
mod http;
pub mod issuer;
mod keyring;
mod limits;
mod listen;
pub mod log;
pub mod places;
mod policies;
mod readiness;
pub mod recover;
mod retention;
mod server;
mod shares;
mod supervision;
mod sweep;
pub mod telemetry;
pub mod user_agents;
mod validators;

pub use portcullis_domain as domain;
pub use portcullis_store as store;

pub use self::{
    files::read_master_key,
    server::{Authority, StartError, check, open_store},
};
