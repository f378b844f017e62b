//! A configuration: a TOML file, overridden by the environment, overridden by flags. Unknown keys are errors.

mod bounds;
mod explain;
mod layers;
mod locations;

pub use self::{bounds::check_range, layers::Layers};

/// An invalid setting. The text names the key, never its value, which may be a secret.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct ConfigError {
    /// The key, as in the file.
    pub key: String,
    /// The problem and its remedy.
    pub problem: String,
}

impl ConfigError {
    /// An error about `key`.
    #[must_use]
    pub fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            problem: problem.into(),
        }
    }
}
