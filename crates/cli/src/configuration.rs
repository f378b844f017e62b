//! The configuration of `serve`, `migrate` and `recover`: a TOML file, overridden by the environment, overridden by
//! flags.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use portcullis_authority::{
    StartError,
    config::{Config, ConfigError},
};
use portcullis_contract::position::sha256;
use portcullis_serving::config::Layers;

/// The prefix of variables that override the file: `PORTCULLIS_STORE__URL`.
const ENVIRONMENT: &str = "PORTCULLIS_";

/// Flags that name the configuration file and override single settings.
#[derive(Args)]
pub(crate) struct Source {
    /// The configuration file (TOML). `PORTCULLIS_SECTION__KEY` in the environment overrides it.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Overrides `server.grpc_listen`.
    #[arg(long, value_name = "ADDRESS")]
    grpc_listen: Option<SocketAddr>,
    /// Overrides `server.http_listen`.
    #[arg(long, value_name = "ADDRESS")]
    http_listen: Option<SocketAddr>,
    /// Overrides `store.url`.
    #[arg(long, value_name = "URL")]
    store_url: Option<String>,
}

impl Source {
    /// A file, with the environment over it and no flags.
    pub(crate) fn of_file(config: PathBuf) -> Self {
        Self {
            config,
            grpc_listen: None,
            http_listen: None,
            store_url: None,
        }
    }

    /// A digest of the file, or of the reason why it cannot be read. It tells whether the file has changed.
    pub(crate) fn digest(&self) -> [u8; 32] {
        match std::fs::read(&self.config) {
            Ok(text) => sha256(&text),
            // A file that is gone has a digest too, so both its loss and its return are seen as
            // changes.
            Err(error) => sha256(error.to_string().as_bytes()),
        }
    }

    /// Reads and checks the configuration. Errors name the key and its place, never its value, which may be a secret.
    pub(crate) fn read(&self) -> Result<Config, ConfigError> {
        let mut layers =
            Layers::of_file(&self.config, ENVIRONMENT)?.with_list(ENVIRONMENT, "callers");
        // Flags come last, because the last layer wins and a flag is typed for this one start.
        if let Some(address) = self.grpc_listen {
            layers = layers.with_flag("server.grpc_listen", address);
        }
        if let Some(address) = self.http_listen {
            layers = layers.with_flag("server.http_listen", address);
        }
        if let Some(url) = &self.store_url {
            layers = layers.with_flag("store.url", url);
        }
        layers.read(Config::check)
    }
}

/// Returns whether the user of the command can fix the error, in a flag or in the configuration.
pub(crate) fn is_usage(error: &anyhow::Error) -> bool {
    error.is::<ConfigError>() || matches!(error.downcast_ref(), Some(StartError::Config(_)))
}
