//! Secrets that every authority of an installation shares.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::{HeadCodes, MasterKey, PageTokens, RefreshKey, Unsealable, random};
use crate::store::{Store, StoreError};

/// The shared secrets, opened.
pub struct Secrets {
    /// Derives refresh tokens.
    pub refresh: RefreshKey,
    /// Binds page tokens.
    pub pages: PageTokens,
    /// Proves that a validator was told of a head.
    pub heads: Arc<HeadCodes>,
}

/// Why the secrets could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another master key sealed them.
    #[error(transparent)]
    Unsealable(#[from] Unsealable),
}

impl Secrets {
    /// Opens the installation's secrets. The first authority makes them.
    ///
    /// # Errors
    /// When the store fails or the master key is not the installation's.
    pub async fn load(store: &dyn Store, master: &MasterKey) -> Result<Self, SecretsError> {
        // The number is a part of the name, so that a later secret can stand beside this one.
        let refresh = load_or_make(store, master, "refresh-1").await?;
        let pages = load_or_make(store, master, "pages-1").await?;
        Ok(Self {
            refresh: RefreshKey::new(1, &refresh),
            pages: PageTokens::new(&pages),
            // Derived and not stored, so a code still proves its head after the store was restored from a backup.
            heads: Arc::new(master.head_codes()),
        })
    }
}

async fn load_or_make(
    store: &dyn Store,
    master: &MasterKey,
    name: &str,
) -> Result<Zeroizing<Vec<u8>>, SecretsError> {
    // The store keeps the first one, so authorities that start together agree on it.
    let fresh = master.seal(name, &random::<32>());
    let sealed = store.secret(name, &fresh).await?;
    Ok(master.open(name, &sealed)?)
}
