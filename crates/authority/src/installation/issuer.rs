//! The issuer of an installation: kept in the store by the first start, compared by every other.
//!
//! A gate accepts exactly one issuer. An authority with another one would issue tokens that every gate refuses, and
//! accept none of those that its peers issued, so a difference is nearly always a mistake in one configuration.

use std::path::Path;

use crate::{
    config::{ConfigError, StoreConfig},
    server::StartError,
    store::{Store, StoreError, postgres, sqlite},
};

/// Keeps the issuer when the installation has none yet, and compares it otherwise.
pub(crate) async fn keep(store: &dyn Store, issuer: &str) -> Result<(), StartError> {
    let installed = store.keep_issuer(issuer).await?;
    Ok(compare(issuer, &installed)?)
}

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

/// The issuer that the store was installed with, read without changing anything. None: the store is not there, or
/// no authority has started on it yet.
///
/// # Errors
/// When the store does not answer.
pub async fn installed(config: &StoreConfig) -> Result<Option<String>, StoreError> {
    if let Some(directory) = config.url.strip_prefix("sqlite:") {
        return sqlite::installed_issuer(Path::new(directory)).await;
    }
    postgres::installed_issuer(&config.url, &config.postgres_options()).await
}
