//! The error of a setting.

use portcullis_gate::RulesError;
use portcullis_validator::settings::SettingError;

/// An invalid setting. The text names the key, never its value, which may be a secret.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct ConfigError {
    /// The key, as in the file.
    pub key: String,
    /// What is wrong, and what to do.
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

    /// An error about the rules.
    #[must_use]
    pub(crate) fn of_rules(error: RulesError) -> Self {
        let RulesError { key, problem } = error.within("rules");
        Self { key, problem }
    }
}

impl From<SettingError> for ConfigError {
    fn from(SettingError { key, problem }: SettingError) -> Self {
        Self { key, problem }
    }
}
