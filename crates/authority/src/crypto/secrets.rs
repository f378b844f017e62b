//! The secrets of an installation, opened.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use portcullis_contract::{
    key::{Algorithm, KeyId},
    token::Signer,
};

use super::{MasterKey, PageTokens, RefreshKey, Unsealable, random};
use crate::{
    domain::{KeyRecord, NewKey},
    store::{Store, StoreError},
};

/// The secrets that every authority of an installation shares.
pub struct Secrets {
    /// Derives refresh tokens.
    pub refresh: RefreshKey,
    /// Binds page tokens.
    pub pages: PageTokens,
}

/// Why the secrets could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The master key is another.
    #[error(transparent)]
    Unsealable(#[from] Unsealable),
}

impl Secrets {
    /// Opens the installation's secrets; the first authority makes them.
    ///
    /// # Errors
    /// When the store fails or the master key is not the installation's.
    pub async fn load(store: &dyn Store, master: &MasterKey) -> Result<Self, SecretsError> {
        let refresh = load(store, master, "refresh-1").await?;
        let pages = load(store, master, "pages-1").await?;
        Ok(Self { refresh: RefreshKey::new(1, &refresh), pages: PageTokens::new(&pages) })
    }
}

async fn load(store: &dyn Store, master: &MasterKey, name: &str) -> Result<zeroize::Zeroizing<Vec<u8>>, SecretsError> {
    let fresh = master.seal(name, &random::<32>());
    let sealed = store.secret(name, &fresh).await?;
    Ok(master.open(name, &sealed)?)
}

/// A new key pair, its private half sealed.
#[must_use]
pub fn generate_signing_key(master: &MasterKey, activation_delay: std::time::Duration) -> NewKey {
    let document = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new());
    let document = document.expect("the system has randomness");
    let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("our own document");
    let id = key_id();
    let sealed = master.seal(&purpose(&id), document.as_ref());
    let public = pair.public_key().as_ref().to_vec();
    NewKey { id, algorithm: Algorithm::Ed25519, public, sealed, activation_delay }
}

/// Opens a stored key for signing.
///
/// # Errors
/// When the master key is not the one that sealed it.
pub fn open_signer(master: &MasterKey, key: &KeyRecord) -> Result<Signer, Unsealable> {
    let pkcs8 = master.open(&purpose(&key.id), &key.sealed)?;
    match key.algorithm {
        Algorithm::Ed25519 => Ok(Signer::ed25519(key.id.clone(), &pkcs8)),
    }
}

fn key_id() -> KeyId {
    KeyId::parse(format!("k{:032x}", u128::from_be_bytes(random()))).expect("letters and digits")
}

fn purpose(id: &KeyId) -> String {
    format!("signing key {id}")
}
