//! The secrets of an installation, opened.

use std::time::Duration;

use portcullis_contract::{
    key::{Algorithm, CredentialKind, InvalidKey, KeyId, PrivateKey},
    token::Signer,
};

use super::{HeadCodes, MasterKey, PageTokens, RefreshKey, Unsealable, random};
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
    /// Proves that a validator was told of a head.
    pub heads: HeadCodes,
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
        Ok(Self {
            refresh: RefreshKey::new(1, &refresh),
            pages: PageTokens::new(&pages),
            heads: master.head_codes(),
        })
    }
}

async fn load(
    store: &dyn Store,
    master: &MasterKey,
    name: &str,
) -> Result<zeroize::Zeroizing<Vec<u8>>, SecretsError> {
    let fresh = master.seal(name, &random::<32>());
    let sealed = store.secret(name, &fresh).await?;
    Ok(master.open(name, &sealed)?)
}

/// Why a stored signing key could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignerError {
    /// The master key is another.
    #[error(transparent)]
    Unsealable(#[from] Unsealable),
    /// What was sealed is no key of the algorithm that stands beside it.
    #[error("a stored signing key cannot be used: {0}")]
    Key(#[from] InvalidKey),
}

/// A new key pair, its private half sealed. For RSA this takes a good part of a second.
#[must_use]
pub fn generate_signing_key(
    master: &MasterKey,
    credential: CredentialKind,
    algorithm: Algorithm,
    activation_delay: Duration,
) -> NewKey {
    let (id, key) = (key_id(), PrivateKey::generate(algorithm));
    let sealed = master.seal(&purpose(&id), &key.to_pkcs8());
    NewKey {
        id,
        credential,
        algorithm,
        public: key.public_bytes().to_vec(),
        sealed,
        activation_delay,
    }
}

/// Opens a stored key for signing.
///
/// # Errors
/// When the master key is not the one that sealed it, or it is no key of its algorithm.
pub fn open_signer(master: &MasterKey, key: &KeyRecord) -> Result<Signer, SignerError> {
    let pkcs8 = open_sealed_key(master, key)?;
    Ok(Signer::new(
        key.id.clone(),
        PrivateKey::from_pkcs8(key.algorithm, &pkcs8)?,
    ))
}

/// Opens what a stored key was sealed as.
///
/// # Errors
/// When the master key is not the one that sealed it.
pub(crate) fn open_sealed_key(
    master: &MasterKey,
    key: &KeyRecord,
) -> Result<zeroize::Zeroizing<Vec<u8>>, Unsealable> {
    master.open(&purpose(&key.id), &key.sealed)
}

fn key_id() -> KeyId {
    KeyId::parse(format!("k{:016x}", u64::from_be_bytes(random()))).expect("letters and digits")
}

fn purpose(id: &KeyId) -> String {
    format!("signing key {id}")
}
