//! One TOML file, the environment over it, flags over both.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use figment::{
    Figment,
    providers::{Env, Format, Serialized, Toml},
};
use portcullis_authority::{
    StartError,
    config::{Config, ConfigError},
};

/// Where the configuration comes from.
#[derive(Args)]
pub(crate) struct Source {
    /// The configuration file (TOML). `PORTCULLIS_SECTION__KEY` in the environment stands over it.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Stands over `server.grpc_listen`.
    #[arg(long, value_name = "ADDRESS")]
    grpc_listen: Option<SocketAddr>,
    /// Stands over `server.http_listen`.
    #[arg(long, value_name = "ADDRESS")]
    http_listen: Option<SocketAddr>,
    /// Stands over `store.url`.
    #[arg(long, value_name = "URL")]
    store_url: Option<String>,
}

impl Source {
    /// Reads and checks the configuration. Errors name the key and no value.
    pub(crate) fn read(&self) -> anyhow::Result<Config> {
        if !self.config.is_file() {
            return Err(
                ConfigError::new("--config", format!("no file {}", self.config.display())).into(),
            );
        }
        let mut figment = Figment::from(Toml::file_exact(&self.config))
            .merge(Env::prefixed("PORTCULLIS_").split("__"));
        if let Some(address) = self.grpc_listen {
            figment = figment.merge(Serialized::default("server.grpc_listen", address));
        }
        if let Some(address) = self.http_listen {
            figment = figment.merge(Serialized::default("server.http_listen", address));
        }
        if let Some(url) = &self.store_url {
            figment = figment.merge(Serialized::default("store.url", url));
        }
        Ok(Config::read(&figment)?)
    }
}

/// Whether the fault is the caller's, in an option or the configuration.
pub(crate) fn is_usage(error: &anyhow::Error) -> bool {
    error.is::<ConfigError>() || matches!(error.downcast_ref(), Some(StartError::Config(_)))
}
