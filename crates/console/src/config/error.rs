//! The error of a setting.

/// An invalid setting. The text names the key, never its value, which may be a secret.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct ConfigError {
    /// The key, as in the file.
    pub key: String,
    /// The problem, and what to do.
    pub problem: String,
}

impl ConfigError {
    /// Returns an error about `key`.
    #[must_use]
    pub fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            problem: problem.into(),
        }
    }
}
