//! The installation: signing keys, secrets, token lifetime, turns and recovery.

use std::time::Duration;

use async_trait::async_trait;
use portcullis_contract::{
    position::{Incarnation, Position, Revision},
    view::Frame,
};
use portcullis_domain::{Counting, KeyRecord, Micros, NewSecret, SealedValue, SecretRecord};
use prost::bytes::Bytes;

use crate::StoreError;

/// The bytes of the id of a master key, with which everything begins that it sealed or made a code for.
pub const MASTER_KEY_ID_BYTES: usize = 8;

/// Signing keys and the installation's sealed secrets. [`LogStore::append`](crate::LogStore::append) changes both.
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

    /// All secrets, also retired ones, in the order of their names, with the database's clock.
    ///
    /// # Errors
    /// When the store fails.
    async fn secrets(&self) -> Result<(Vec<SecretRecord>, Micros), StoreError>;

    /// Adds a secret unless there is one of its name. Of concurrent calls one wins.
    ///
    /// # Errors
    /// When the store fails.
    async fn keep_secret(&self, fresh: &NewSecret) -> Result<(), StoreError>;

    /// At most `limit` sealed values and codes of checkpoints that another master key made than the one with this id.
    /// Retired secrets have nothing to seal.
    ///
    /// # Errors
    /// When the store fails.
    async fn sealed_by_others(
        &self,
        master_key: &[u8; MASTER_KEY_ID_BYTES],
        limit: u32,
    ) -> Result<Vec<SealedValue>, StoreError>;

    /// The view of the checkpoint at this revision with its code, if it is kept.
    ///
    /// # Errors
    /// When the store fails.
    async fn checkpoint_at(&self, revision: Revision)
    -> Result<Option<(Bytes, Bytes)>, StoreError>;

    /// The number of sealed values and codes by the id of the master key that made them. An id may be of any length after
    /// damage.
    ///
    /// # Errors
    /// When the store fails.
    async fn count_sealed(&self) -> Result<Vec<(Vec<u8>, u64)>, StoreError>;

    /// Whether a session that was opened before a time may still be refreshed. Sessions that a cutoff ended count too,
    /// until they expire.
    ///
    /// # Errors
    /// When the store fails, or [`StoreError::TooSlow`].
    async fn has_session_from_before(&self, time: Micros) -> Result<bool, StoreError>;
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

    /// The version of the log, and the versions that those who run understand.
    ///
    /// # Errors
    /// When the store fails.
    async fn log_versions(&self) -> Result<LogVersions, StoreError>;

    /// Raises the version of the log. From then on authorities may write entries of its kinds.
    ///
    /// # Errors
    /// [`StoreError::LogNotUnderstood`] while an authority or a gate that runs does not understand it,
    /// [`StoreError::LogTooNew`] if this version does not, [`StoreError::LogNotLowered`].
    async fn raise_log_version(&self, to: u32) -> Result<(), StoreError>;

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

/// The version of the log, and those who read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogVersions {
    /// Entries of kinds up to this version may be written.
    pub log_version: u32,
    /// The authorities that run.
    pub authorities: Vec<AuthorityLogVersion>,
}

/// The versions of the log that an authority and its gates understand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityLogVersion {
    /// For operators.
    pub name: String,
    /// The version that the authority understands.
    pub log_version: u32,
    /// The version that every gate at it understands.
    pub gates_log_version: u32,
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
