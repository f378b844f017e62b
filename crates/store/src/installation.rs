//! The installation: signing keys, secrets, token lifetime, turns and recovery.

use std::time::Duration;

use async_trait::async_trait;
use portcullis_contract::{
    position::{Incarnation, Position},
    view::Frame,
};
use portcullis_domain::{Counting, KeyRecord, Micros};
use prost::bytes::Bytes;

use crate::StoreError;

/// Signing keys and the installation's sealed secrets. [`LogStore::append`](crate::LogStore::append) changes the keys.
#[async_trait]
pub trait KeyStore: Send + Sync + 'static {
    /// All signing keys, with the database's clock.
    ///
    /// # Errors
    /// When the store fails.
    async fn keys(&self) -> Result<(Vec<KeyRecord>, Micros), StoreError>;

    /// Moves keys that were created later than `tolerance` from now back in time, so that the newest was created now.
    /// Such keys come from a clock that was ahead, and would not sign until the clock caught up. Returns their ids.
    ///
    /// # Errors
    /// When the store fails.
    async fn correct_future_keys(&self, tolerance: Duration) -> Result<Vec<String>, StoreError>;

    /// The sealed secret of this name. Stores `fresh` first when there is none: of concurrent calls one wins, and all
    /// return its secret.
    ///
    /// # Errors
    /// When the store fails.
    async fn secret(&self, name: &str, fresh: &[u8]) -> Result<Vec<u8>, StoreError>;
}

/// The single rows of an installation.
#[async_trait]
pub trait InstallationStore: Send + Sync + 'static {
    /// The longest lifetime of an access token in the whole installation. A longer `wish` takes effect at once. A shorter
    /// one takes effect `margin` after all tokens of the longer lifetime have expired.
    ///
    /// # Errors
    /// When the store fails.
    async fn token_life(&self, wish: Duration, margin: Duration) -> Result<TokenLife, StoreError>;

    /// The issuer of the installation. Stores `issuer` first when there is none.
    ///
    /// # Errors
    /// When the store fails.
    async fn keep_issuer(&self, issuer: &str) -> Result<String, StoreError>;

    /// Replaces the issuer of the installation.
    ///
    /// # Errors
    /// When the store fails.
    async fn change_issuer(&self, issuer: &str) -> Result<(), StoreError>;

    /// The authority that counts the time since the last turn.
    ///
    /// # Errors
    /// When the store fails.
    async fn turn_counting(&self) -> Result<Counting, StoreError>;

    /// Adds to the time since the last turn, if no authority counted or turned after `number`. Returns whether it did.
    ///
    /// **Not idempotent**, but a repeated call has an old `number` and adds nothing.
    ///
    /// # Errors
    /// When the store fails.
    async fn count_towards_turn(
        &self,
        authority: &[u8; 16],
        number: i64,
        passed: Duration,
    ) -> Result<bool, StoreError>;

    /// Begins a new history that no validator of the old one can mistake for it: a new incarnation, the revision and
    /// every serial sequence 2^32 further, and (if `sign_out`) everyone cut off.
    ///
    /// `checkpoint` encodes the first view of the new history with its authentication code. It runs with the old head
    /// locked, and its result is kept in the same transaction. When it fails, nothing is changed.
    ///
    /// # Errors
    /// [`StoreError::InUse`] while an authority has beaten lately.
    async fn recover(
        &self,
        incarnation: Incarnation,
        sign_out: bool,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<Recovered, StoreError>;
}

/// The longest lifetime of an access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenLife {
    /// The lifetime that new tokens may have.
    pub issue: Duration,
    /// The lifetime that live tokens may have. Revocations are kept for this long.
    pub keep: Duration,
}

/// Encodes the first view of a new history, with its authentication code.
pub type Checkpoint<'a> =
    dyn for<'r> Fn(&'r Recovered) -> Result<(Bytes, Bytes), StoreError> + Sync + 'a;

/// The end of the old history and the beginning of the new one.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// The first batch of the new history.
    pub frame: Frame,
    /// The head of the old history.
    pub old: Position,
    /// The head of the new history.
    pub head: Position,
}
