//! The reasons why an authority does not start.

use std::{io, net::SocketAddr};

use crate::{
    config::ConfigError,
    feed::FeedError,
    keys::{KeyringError, SecretsError},
    store::StoreError,
    telemetry::TelemetryError,
};

/// Why an authority did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log cannot be followed.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// The secrets cannot be opened.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// There is no key to sign with.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// Telemetry cannot be set up.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        error: io::Error,
    },
}
