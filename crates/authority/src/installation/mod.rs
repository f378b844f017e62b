//! An installation: its store, its issuer, and a new history after a loss.

pub mod issuer;
pub mod recover;

use std::{path::Path, sync::Arc};

use futures::future::BoxFuture;

use crate::{
    config::StoreConfig,
    store::{Store, StoreError, postgres::Postgres, sql::SqlStore, sqlite::Sqlite},
};

/// Opens the store that the configuration names.
///
/// # Errors
/// When it cannot be opened.
pub fn open_store(config: &StoreConfig) -> BoxFuture<'_, Result<Arc<dyn Store>, StoreError>> {
    Box::pin(async move {
        if let Some(directory) = config.url.strip_prefix("sqlite:") {
            return open_sqlite(directory, config).await;
        }
        let options = config.postgres_options();
        let store: Arc<dyn Store> = Arc::new(Postgres::open(&config.url, &options).await?);
        Ok(store)
    })
}

async fn open_sqlite(directory: &str, config: &StoreConfig) -> Result<Arc<dyn Store>, StoreError> {
    let sqlite = Sqlite::connect(Path::new(directory)).await?;
    let sqlite = sqlite.search_timeout(config.search_timeout);
    Ok(Arc::new(SqlStore::open(Arc::new(sqlite)).await?))
}
