//! From layers of settings to a configuration that can be used.

use figment::{Figment, error::Kind};

use super::{Config, ConfigError};

impl Config {
    /// Reads and checks a configuration. Where its layers come from (files, the environment) is the caller's.
    ///
    /// # Errors
    /// The first setting that cannot be read or used.
    pub fn read(layers: &Figment) -> Result<Self, ConfigError> {
        let config: Self = layers.extract().map_err(|error| explain(&error))?;
        config.check()?;
        Ok(config)
    }
}

/// figment's own text repeats the value that does not fit, which may be a secret: only the key and the kind are told.
fn explain(error: &figment::Error) -> ConfigError {
    let problem = match &error.kind {
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => format!("must be {expected}"),
        Kind::UnknownField(field, known) => format!("unknown key `{field}`; known are {}", known.join(", ")),
        Kind::UnknownVariant(_, known) => format!("must be one of {}", known.join(", ")),
        Kind::MissingField(field) => format!("`{field}` is missing"),
        Kind::DuplicateField(field) => format!("`{field}` stands twice"),
        Kind::Message(_) if error.path.is_empty() => "the file is not TOML, or not readable".into(),
        _ => "cannot be read as what it must be".into(),
    };
    let key = if error.path.is_empty() { "configuration".into() } else { error.path.join(".") };
    ConfigError::new(key, problem)
}
