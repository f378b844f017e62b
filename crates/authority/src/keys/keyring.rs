//! The keys that sign, opened and at hand.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use portcullis_contract::{
    id::EventId,
    key::{Algorithm, CredentialKind},
    token::Signer,
};

use crate::{
    domain::{Actor, Entry, KeyRecord, Micros, Mutation, NewKey, current_key},
    keys::{MasterKey, SignerError, generate_signing_key, open_signer},
    log::{Log, LogError},
    store::{Store, StoreError},
};

/// Signing keys as the store has them, with their private halves opened.
pub struct Keyring {
    store: Arc<dyn Store>,
    master: Arc<MasterKey>,
    keys: ArcSwap<Vec<(KeyRecord, Arc<Signer>)>>,
}

/// A key that was made later than this from now was made by a wrong clock.
const KEY_AHEAD_MAX: Duration = Duration::from_secs(5 * 60);

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The master key is another, or a key is damaged.
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
    pub async fn open(store: Arc<dyn Store>, master: Arc<MasterKey>) -> Result<Self, KeyringError> {
        let keyring = Self {
            store,
            master,
            keys: ArcSwap::default(),
        };
        keyring.reload().await?;
        Ok(keyring)
    }

    /// Makes the first key of a kind, which signs at once: nobody has a token yet that a gate could refuse.
    ///
    /// # Errors
    /// When the log does not take it.
    pub async fn ensure_first(
        &self,
        log: &Log,
        credential: CredentialKind,
        algorithm: Algorithm,
    ) -> Result<(), KeyringError> {
        if self
            .keys
            .load()
            .iter()
            .any(|(key, _)| key.credential == credential && key.retired.is_none())
        {
            return Ok(());
        }
        let key = self.generate(credential, algorithm, Duration::ZERO).await;
        let entry = Entry {
            event_id: EventId::generate(),
            actor: Actor::authority(),
            reason: "first signing key".into(),
            user_message: String::new(),
            trace_parent: None,
            mutation: Mutation::TrustKey(key),
        };
        log.submit(entry).await?;
        self.reload().await
    }

    /// A new key, sealed.
    pub async fn generate(
        &self,
        credential: CredentialKind,
        algorithm: Algorithm,
        activation_delay: Duration,
    ) -> NewKey {
        let master = Arc::clone(&self.master);
        let generating =
            move || generate_signing_key(&master, credential, algorithm, activation_delay);
        tokio::task::spawn_blocking(generating)
            .await
            .expect("making a key does not panic")
    }

    /// Reads the keys again.
    ///
    /// # Errors
    /// When the store fails or a key does not open.
    pub async fn reload(&self) -> Result<(), KeyringError> {
        let (keys, _) = self.store.keys().await?;
        let open = |key: KeyRecord| Ok((key.clone(), Arc::new(open_signer(&self.master, &key)?)));
        let keys = keys
            .into_iter()
            .map(open)
            .collect::<Result<Vec<_>, SignerError>>()?;
        self.keys.store(Arc::new(keys));
        Ok(())
    }

    /// Reads the keys again, after correcting those that were made while the clock was ahead, and makes what is missing:
    /// there is always a key that signs.
    ///
    /// # Errors
    /// When the store fails or the log does not take a key.
    pub async fn heal(&self, log: &Log, algorithm: Algorithm) -> Result<(), KeyringError> {
        let corrected = self.store.correct_future_keys(KEY_AHEAD_MAX).await?;
        if !corrected.is_empty() {
            tracing::error!(
                keys = ?corrected,
                "signing keys were made in the future: the database's clock was ahead then, or is behind now; they are \
                 taken as made now"
            );
        }
        self.reload().await?;
        for credential in [CredentialKind::ApiKey, CredentialKind::Session] {
            self.ensure_first(log, credential, algorithm).await?;
        }
        Ok(())
    }

    /// The key that signs tokens of a kind at `now`.
    #[must_use]
    pub fn signer(&self, credential: CredentialKind, now: Micros) -> Option<Arc<Signer>> {
        let keys = self.keys.load();
        let current = current_key(keys.iter().map(|(key, _)| key), credential, now)?;
        keys.iter()
            .find(|(key, _)| key.id == current.id)
            .map(|(_, signer)| Arc::clone(signer))
    }
}
