//! What every server of Portcullis does alike: it reads its [`config`], and accepts [`connections`] within bounds, with
//! [`tls`] or without.

pub mod config;
pub mod connections;
pub mod tls;
