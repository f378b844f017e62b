//! The issuer of an installation. The first start keeps it in the store, and every other start compares it.
//!
//! A gate accepts exactly one issuer. An authority with another one would issue tokens that every gate refuses, and
//! refuse the tokens of its peers, so a difference is nearly always a mistake in one configuration.

use std::path::Path;

use crate::{
    config::{ConfigError, StoreConfig},
    store::{StoreError, postgres, sqlite},
};

/// Refuses a configured issuer that is not the installation's.
pub(crate) fn compare(configured: &str, installed: &str) -> Result<(), ConfigError> {
    if configured == installed {
        return Ok(());
    }
    let problem = format!(
        "is {configured:?}, but the database was installed with {installed:?}. To change it on purpose, which \
         ends the use of every token issued so far, run `portcullis migrate --change-issuer`"
    );
    Err(ConfigError::new("tokens.issuer", problem))
}

/// Reads the issuer that the store was installed with, and changes nothing. None: there is no store yet, or no
/// authority has started on it.
///
/// # Errors
/// When the store does not answer.
pub async fn installed(config: &StoreConfig) -> Result<Option<String>, StoreError> {
    if let Some(directory) = config.url.strip_prefix("sqlite:") {
        return sqlite::installed_issuer(Path::new(directory)).await;
    }
    postgres::installed_issuer(&config.url, &config.postgres_options()).await
}
