//! The configuration of `serve`, `migrate` and `recover`: a TOML file, overridden by the environment, overridden by
//! flags.

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

    /// Reads and checks the configuration. Errors name the key and its place, never its value, which may be a secret.
    pub(crate) fn read(&self) -> anyhow::Result<Config> {
        let text = self.read_file()?;
        // Parsed for itself first: figment's own error about a file that is not TOML has no line and no column.
        let locations = Locations::parse(&text)
            .map_err(|problem| ConfigError::new("configuration", problem))?;

        let layers = self.layers();
        match Config::read(&layers) {
            Ok(config) => Ok(config),
            Err(error) => Err(add_location(error, &layers, &locations).into()),
        }
    }

    fn read_file(&self) -> Result<String, ConfigError> {
        // Read here too, because figment takes a file that does not exist for an empty one.
        fs::read_to_string(&self.config).map_err(|error| {
            let problem = format!("cannot read {}: {error}", self.config.display());
            ConfigError::new("--config", problem)
        })
    }

    /// Layers of settings; a later one overrides those before it.
    fn layers(&self) -> Figment {
        // Kubernetes sets variables like PORTCULLIS_PORT beside a Service named `portcullis`. A setting has a section,
        // and so two underscores: without the filter such a variable would be an unknown key.
        let environment = Env::prefixed("PORTCULLIS_")
            .filter(|name| name.as_str().contains("__") || name == "callers")
            .split("__");
        // Without `search(false)` figment looks for the file in the parent directories too, and may read another one.
        let mut layers = Figment::from(Toml::file(&self.config).search(false)).merge(environment);
        // Flags come last, because the person who types one means this start.
        if let Some(address) = self.grpc_listen {
            layers = layers.merge(Serialized::default("server.grpc_listen", address));
        }
        if let Some(address) = self.http_listen {
            layers = layers.merge(Serialized::default("server.http_listen", address));
        }
        if let Some(url) = &self.store_url {
            layers = layers.merge(Serialized::default("store.url", url));
        }
        layers
    }
}

/// Adds to an error the place of the setting: a line and column of the file, the environment, or a flag.
fn add_location(error: ConfigError, layers: &Figment, locations: &Locations<'_>) -> ConfigError {
    let location = match origin(&error.key, layers) {
        Origin::File => locations.find(&error.key),
        Origin::Environment => Some("set in the environment".to_owned()),
        Origin::Flag => Some("set by a flag".to_owned()),
    };
    match location {
        Some(location) => ConfigError::new(error.key, format!("{} ({location})", error.problem)),
        None => error,
    }
}

/// The layer that sets a key.
enum Origin {
    File,
    Environment,
    Flag,
}

fn origin(key: &str, layers: &Figment) -> Origin {
    // figment knows `callers`, not `callers[1]`.
    let key = match key.split_once('[') {
        Some((list, _)) => list,
        None => key,
    };
    let Some(metadata) = layers.find_metadata(key) else {
        // A key that no layer sets is missing, and the file is the place to add it.
        return Origin::File;
    };
    // figment records a path for settings of a file, a place in our code for those of flags, and nothing for those of
    // the environment.
    match &metadata.source {
        None => Origin::Environment,
        Some(source) if source.file_path().is_none() => Origin::Flag,
        Some(_) => Origin::File,
    }
}

/// Whether the person who typed the command can mend the error, in a flag or in the configuration.
pub(crate) fn is_usage(error: &anyhow::Error) -> bool {
    error.is::<ConfigError>() || matches!(error.downcast_ref(), Some(StartError::Config(_)))
}
