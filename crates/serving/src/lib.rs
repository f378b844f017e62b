//! The shared parts of all servers of Portcullis: they read a [`config`], and accept [`connections`] within bounds,
//! with [`tls`] or without.

pub mod config;
pub mod connections;
pub mod tls;
