//! The keyring: the installation's signing keys, with their private halves opened.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use portcullis_contract::{
    key::{Algorithm, CredentialKind},
    token::Signer,
};

use super::{MasterKeys, SignerError, generate_signing_key, open_signer};
use crate::{
    domain::{Entry, KEY_AHEAD_MAX, KeyRecord, Micros, Mutation, NewKey, current_key},
    log::{Log, LogError},
    store::{Store, StoreError},
};

/// The signing keys of the store, as they were when they were last read.
pub struct Keyring {
    store: Arc<dyn Store>,
    master: Arc<MasterKeys>,
    keys: ArcSwap<Vec<(KeyRecord, Arc<Signer>)>>,
}

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another master key sealed a key, or a key is damaged.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The first key could not be made.
    #[error("the first signing key: {0}")]
    Log(#[from] LogError),
}

impl Keyring {
    /// Opens the installation's keys.
    ///
    /// # Errors
    /// When the store fails or the master key is not the installation's.
    pub async fn open(
        store: Arc<dyn Store>,
        master: Arc<MasterKeys>,
    ) -> Result<Self, KeyringError> {
        let keyring = Self {
            store,
            master,
            keys: ArcSwap::default(),
        };
        keyring.reload().await?;
        Ok(keyring)
    }

    /// Opens the installation's keys, and makes those that are missing.
    ///
    /// # Errors
    /// When the store fails, the master key is not the installation's, or the log does not accept a key.
    pub(crate) async fn start(
        store: Arc<dyn Store>,
        master: Arc<MasterKeys>,
        log: &Log,
        algorithm: Algorithm,
    ) -> Result<Self, KeyringError> {
        let keyring = Self::open(store, master).await?;
        keyring.ensure_all(log, algorithm).await?;
        Ok(keyring)
    }

    /// Makes the first key of a kind, unless there is one. It signs at once, because no gate can refuse a token that
    /// nobody has yet.
    ///
    /// # Errors
    /// When the log does not accept it.
    pub async fn ensure_first(
        &self,
        log: &Log,
        credential: CredentialKind,
        algorithm: Algorithm,
    ) -> Result<(), KeyringError> {
        if self.has_key(credential) {
            return Ok(());
        }
        let key = self.generate(credential, algorithm, Duration::ZERO).await;
        let mut entry = Entry::internal(Mutation::TrustKey(key));
        entry.reason = "first signing key".into();
        log.submit(entry).await?;
        // Another authority may have made one at the same time, so the store is asked which keys there are.
        self.reload().await
    }

    fn has_key(&self, credential: CredentialKind) -> bool {
        let keys = self.keys.load();
        keys.iter()
            .any(|(key, _)| key.credential == credential && key.retired.is_none())
    }

    /// Makes the first key of every kind, unless there is one.
    ///
    /// # Errors
    /// When the log does not accept it.
    pub(crate) async fn ensure_all(
        &self,
        log: &Log,
        algorithm: Algorithm,
    ) -> Result<(), KeyringError> {
        for credential in [CredentialKind::ApiKey, CredentialKind::Session] {
            self.ensure_first(log, credential, algorithm).await?;
        }
        Ok(())
    }

    /// Makes a key, sealed.
    pub async fn generate(
        &self,
        credential: CredentialKind,
        algorithm: Algorithm,
        activation_delay: Duration,
    ) -> NewKey {
        let master = Arc::clone(&self.master);
        // An RSA key takes a good part of a second of computing.
        let generating = tokio::task::spawn_blocking(move || {
            generate_signing_key(&master, credential, algorithm, activation_delay)
        });
        generating.await.expect("making a key does not panic")
    }

    /// Reads the keys again.
    ///
    /// # Errors
    /// When the store fails or a key does not open.
    pub async fn reload(&self) -> Result<(), KeyringError> {
        let (keys, _) = self.store.keys().await?;
        // All or none: a key that does not open means another master key or damage, and an operator has to see that.
        let mut opened = Vec::with_capacity(keys.len());
        for key in keys {
            let signer = open_signer(&self.master, &key)?;
            opened.push((key, Arc::new(signer)));
        }
        self.keys.store(Arc::new(opened));
        Ok(())
    }

    /// Corrects keys that were made while the clock was ahead, reads all keys again, and makes those that are missing.
    /// Afterwards there is a key that signs.
    ///
    /// # Errors
    /// When the store fails or the log does not accept a key.
    pub async fn heal(&self, log: &Log, algorithm: Algorithm) -> Result<(), KeyringError> {
        // Before the keys are read: a key of the future does not sign, and would count as present all the same.
        let corrected = self.store.correct_future_keys(KEY_AHEAD_MAX).await?;
        if !corrected.is_empty() {
            tracing::error!(
                keys = ?corrected,
                "signing keys were made in the future: the database's clock was ahead then, or is behind now; they are \
                 taken as made now"
            );
        }
        self.reload().await?;
        self.ensure_all(log, algorithm).await
    }

    /// The key that signs tokens of a kind at `now`.
    #[must_use]
    pub fn signer(&self, credential: CredentialKind, now: Micros) -> Option<Arc<Signer>> {
        let keys = self.keys.load();
        let current = current_key(keys.iter().map(|(key, _)| key), credential, now)?;
        let (_, signer) = keys.iter().find(|(key, _)| key.id == current.id)?;
        Some(Arc::clone(signer))
    }
}
