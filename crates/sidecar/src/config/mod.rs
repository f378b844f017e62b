//! The configuration: a TOML file, overridden by the environment. Unknown keys are errors.
//!
//! `docs/gateways/sidecar.md` lists the keys; a test keeps the list complete.

mod limits;
mod listener;

use std::{net::SocketAddr, path::Path};

use portcullis_gate::{Explanation, RuleMode, Rules, RulesError};
use portcullis_serving::config::{ConfigError, Layers};
use portcullis_validator::{
    Builder,
    settings::{SettingError, Settings},
};
use serde::Deserialize;

pub use self::{
    limits::LimitsConfig,
    listener::{Listen, ListenerConfig},
};

/// The prefix of variables that override the file: `PORTCULLIS_SIDECAR_AUTHORITY__BEARER`.
const ENVIRONMENT: &str = "PORTCULLIS_SIDECAR_";

/// The whole configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The authority, and the tokens that the sidecar accepts.
    pub authority: Settings,
    /// The door for Envoy: `ext_authz` over gRPC. Unset: no such door.
    pub ext_authz: Option<ListenerConfig>,
    /// The door for NGINX, Caddy, Traefik and HAProxy: forward-auth over HTTP. Unset: no such door.
    pub forward_auth: Option<ListenerConfig>,
    /// Health and metrics.
    pub operations: ListenerConfig,
    /// Bounds of the listeners.
    pub limits: LimitsConfig,
    /// The rules of the gate.
    pub rules: Rules,
}

impl Default for Config {
    fn default() -> Self {
        let operations = SocketAddr::from(([127, 0, 0, 1], 7502));
        Self {
            authority: Settings::default(),
            ext_authz: None,
            forward_auth: None,
            operations: ListenerConfig::new(Listen::Tcp(operations)),
            limits: LimitsConfig::default(),
            rules: Rules::default(),
        }
    }
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

    /// Checks everything that the types do not. Reads the files that the configuration names, and opens no port.
    ///
    /// # Errors
    /// The first invalid setting.
    pub fn check(&self) -> Result<(), ConfigError> {
        let _builder = self.validator()?;
        if self.ext_authz.is_none() && self.forward_auth.is_none() {
            let problem = "required: a sidecar without [ext_authz] or [forward_auth] has no door";
            return Err(ConfigError::new("forward_auth.listen", problem));
        }
        if let Some(listener) = &self.ext_authz {
            listener.check("ext_authz")?;
        }
        if let Some(listener) = &self.forward_auth {
            listener.check("forward_auth")?;
        }
        self.operations.check("operations")?;
        self.check_listeners_differ()?;
        self.limits.check()?;
        self.check_rules()
    }

    /// Returns the settings of the validator, checked.
    pub(crate) fn validator(&self) -> Result<Builder, ConfigError> {
        self.authority.builder("sidecar").map_err(of_setting)
    }

    fn check_rules(&self) -> Result<(), ConfigError> {
        let _rules = self.rules.compile().map_err(of_rules)?;
        if self.authority.best_effort.is_some() {
            return Ok(());
        }
        // The gate checks this again, when there is one.
        let mut modes = self.rules.rules.iter().map(|rule| rule.mode);
        if let Some(index) = modes.position(|mode| mode == Some(RuleMode::BestEffort)) {
            let key = format!("rules.rules[{index}].mode");
            let problem = "must not be best_effort while authority.best_effort is unset";
            return Err(ConfigError::new(key, problem));
        }
        Ok(())
    }

    /// Explains which rule decides about a request with this method to this address, and its demands.
    ///
    /// # Errors
    /// When the method is none, or the address is not `https://host/path`.
    pub fn explain(&self, method: &str, url: &str) -> Result<Explanation, anyhow::Error> {
        let rules = self.rules.compile().map_err(of_rules)?;
        Ok(rules.explain(method, url)?)
    }

    fn check_listeners_differ(&self) -> Result<(), ConfigError> {
        // The second socket would fail to open too, but that error blames another process.
        let listeners = [
            ("ext_authz.listen", self.ext_authz.as_ref()),
            ("forward_auth.listen", self.forward_auth.as_ref()),
            ("operations.listen", Some(&self.operations)),
        ];
        for (index, (key, listener)) in listeners.iter().enumerate() {
            let Some(listener) = listener else { continue };
            for (earlier_key, earlier) in &listeners[..index] {
                if earlier.is_some_and(|earlier| earlier.listen.collides(&listener.listen)) {
                    let problem = format!("must differ from {earlier_key}");
                    return Err(ConfigError::new(*key, problem));
                }
            }
        }
        Ok(())
    }
}

/// An error about the rules.
pub(crate) fn of_rules(error: RulesError) -> ConfigError {
    let RulesError { key, problem } = error.within("rules");
    ConfigError { key, problem }
}

fn of_setting(SettingError { key, problem }: SettingError) -> ConfigError {
    ConfigError { key, problem }
}
