//! The configuration of a console: a TOML file, overridden by the environment. Unknown keys are errors.
//!
//! `docs/operating/console.md` lists the keys.

mod limits;
mod server;
mod session;

use std::path::Path;

use portcullis_serving::config::{ConfigError, Layers};
use portcullis_validator::{
    Builder,
    settings::{SettingError, Settings},
};
use serde::Deserialize;

pub use self::{limits::LimitsConfig, server::ServerConfig, session::SessionConfig};

/// The prefix of variables that override the file: `PORTCULLIS_CONSOLE_AUTHORITY__BEARER`.
const ENVIRONMENT: &str = "PORTCULLIS_CONSOLE_";
/// The `aud` that tokens must contain if none is set: the authority's own, which it asks for too.
const AUDIENCE: &str = "portcullis";

/// The configuration of a console.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The listener and the pages' address.
    pub server: ServerConfig,
    /// The authority, and the gate's credential. Without an audience it is `portcullis`.
    pub authority: Settings,
    /// The cookie of sessions, and the way to sign in.
    pub session: SessionConfig,
    /// The bounds of the listener.
    pub limits: LimitsConfig,
}

impl Config {
    /// Reads and checks a configuration from its file and from the environment.
    ///
    /// # Errors
    /// The first invalid setting.
    pub fn read_file(file: &Path) -> Result<Self, ConfigError> {
        Layers::of_file(file, ENVIRONMENT)?.read(Self::check)
    }

    /// Reads and checks a configuration from the text of its file and from the environment.
    ///
    /// # Errors
    /// The first invalid setting.
    pub fn read(text: &str) -> Result<Self, ConfigError> {
        Layers::of_text(text, ENVIRONMENT).read(Self::check)
    }

    /// Checks all settings, and reads the files that they name.
    ///
    /// # Errors
    /// The first invalid setting.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.server.check()?;
        // Made and dropped: the builder checks the settings, and opens no connection before it is
        // started.
        let _builder = self.validator()?;
        self.session.check()?;
        self.limits.check()
    }

    /// Returns the settings of the validator, checked.
    pub(crate) fn validator(&self) -> Result<Builder, ConfigError> {
        let mut settings = self.authority.clone();
        if settings.audience.is_empty() {
            settings.audience = AUDIENCE.to_owned();
        }
        settings.builder("console").map_err(of_setting)
    }
}

pub(crate) fn of_setting(SettingError { key, problem }: SettingError) -> ConfigError {
    ConfigError { key, problem }
}
