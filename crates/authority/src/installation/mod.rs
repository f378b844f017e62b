//! An installation: its store, its issuer, and a new history after a loss.

pub mod issuer;
pub mod recover;

use std::{path::Path, sync::Arc};

use crate::{
    config::StoreConfig,
    store::{Store, StoreError, postgres::Postgres, sql::SqlStore, sqlite::Sqlite},
};

/// Opens the store that the configuration names.
///
/// # Errors
/// When it cannot be opened.
pub async fn open_store(config: &StoreConfig) -> Result<Arc<dyn Store>, StoreError> {
    if let Some(directory) = config.url.strip_prefix("sqlite:") {
        let sqlite = Sqlite::connect(Path::new(directory)).await?;
        let sqlite = sqlite.search_timeout(config.search_timeout);
        return Ok(Arc::new(SqlStore::open(Arc::new(sqlite)).await?));
    }
    let options = config.postgres_options();
    Ok(Arc::new(Postgres::open(&config.url, &options).await?))
}
