//! One TOML file, the environment over it, flags over both.

use std::{fs, net::SocketAddr, path::PathBuf};

use clap::Args;
use figment2::{
    Figment,
    providers::{Env, Format, Serialized, Toml},
};
use portcullis_authority::{
    StartError,
    config::{Config, ConfigError},
};

use crate::location::Locations;

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
        let text = fs::read_to_string(&self.config).map_err(|error| {
            let problem = format!("cannot read {}: {error}", self.config.display());
            ConfigError::new("--config", problem)
        })?;
        let locations = Locations::parse(&text)
            .map_err(|problem| ConfigError::new("configuration", problem))?;

        let layers = self.layers();
        let config = Config::read(&layers);
        Ok(config.map_err(|error| locate(error, &layers, &locations))?)
    }

    /// The file, the environment over it, and flags over both.
    fn layers(&self) -> Figment {
        // Kubernetes sets variables like PORTCULLIS_PORT beside a Service named `portcullis`. A setting of ours has a
        // section, and so two underscores.
        let environment = Env::prefixed("PORTCULLIS_")
            .filter(|name| name.as_str().contains("__") || name == "callers")
            .split("__");
        let mut figment = Figment::from(Toml::file_exact(&self.config)).merge(environment);
        if let Some(address) = self.grpc_listen {
            figment = figment.merge(Serialized::default("server.grpc_listen", address));
        }
        if let Some(address) = self.http_listen {
            figment = figment.merge(Serialized::default("server.http_listen", address));
        }
        if let Some(url) = &self.store_url {
            figment = figment.merge(Serialized::default("store.url", url));
        }
        figment
    }
}

/// Says where the setting stands that an error is about.
fn locate(error: ConfigError, layers: &Figment, locations: &Locations<'_>) -> ConfigError {
    let (section, _) = error.key.split_once('[').unwrap_or((&error.key, ""));
    let place = match layers.find_metadata(section) {
        // Only a provider over a file has one as its source.
        Some(metadata) if metadata.source.is_none() => Some("set in the environment".to_owned()),
        Some(metadata)
            if metadata
                .source
                .as_ref()
                .is_some_and(|at| at.file_path().is_none()) =>
        {
            Some("set by a flag".to_owned())
        }
        _ => locations.find(&error.key),
    };
    match place {
        Some(place) => ConfigError::new(error.key, format!("{} ({place})", error.problem)),
        None => error,
    }
}

/// Whether the fault is the caller's, in an option or the configuration.
pub(crate) fn is_usage(error: &anyhow::Error) -> bool {
    error.is::<ConfigError>() || matches!(error.downcast_ref(), Some(StartError::Config(_)))
}
