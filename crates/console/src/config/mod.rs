//! The configuration of a console.

mod authority;
mod error;
mod limits;
mod read;
mod secret;
mod server;
mod session;

use serde::Deserialize;

pub use self::{
    authority::AuthorityConfig, error::ConfigError, limits::LimitsConfig, secret::Secret,
    server::ServerConfig, session::SessionConfig,
};

/// The configuration of a console.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The listener and the pages' address.
    pub server: ServerConfig,
    /// The authority, and the gate's credential.
    pub authority: AuthorityConfig,
    /// The cookie of sessions, and the way to sign in.
    pub session: SessionConfig,
    /// The bounds of the listener.
    pub limits: LimitsConfig,
}

impl Config {
    /// Checks all settings, and reads the files that they name.
    ///
    /// # Errors
    /// The first invalid setting.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.server.check()?;
        self.authority.check()?;
        self.session.check()?;
        self.limits.check()
    }
}
