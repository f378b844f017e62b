//! The rows and the log of an authority, in SQLite or PostgreSQL.
//!
//! [`Store`] is the whole contract: a composition of small traits by subject. Callers hold an `Arc<dyn Store>` and never
//! learn which engine is behind it.
//!
//! | trait | subject |
//! |---|---|
//! | [`SessionStore`] | sign-ins, refreshes, lists, retention |
//! | [`UserStore`], [`ApiKeyStore`], [`PolicyStore`] | one kind of row each |
//! | [`SweepStore`], [`ActivityStore`] | idle sessions, changed policies, reports of gates |
//! | [`LogStore`], [`CheckpointStore`] | the log: batches, head, beats, checkpoints |
//! | [`ProviderStore`] | sessions of identity providers, and their logouts |
//! | [`PeerStore`] | rows by which authorities inform each other |
//! | [`AuditStore`] | the audit trail and its verification |
//! | [`ErasureStore`] | the erasure of users |
//! | [`AuditRetentionStore`] | removal and archive of the trail |
//! | [`AuditExportStore`] | exports of the trail: places, claims, dead letters |
//! | [`KeyStore`], [`InstallationStore`] | signing keys, secrets, token lifetime, recovery |
//! | [`StoreStatus`] | connections, outages, durability |
//!
//! One implementation, [`sql::SqlStore`], runs portable statements over a [`sql::Backend`]. [`sqlite`] and [`postgres`]
//! are backends, and only they name a driver.
//!
//! # Common promises
//!
//! - **Atomic.** A method that fails has changed nothing, with one exception: an error with
//!   [`StoreError::is_retryable`] may be the lost answer of a commit.
//! - **Repeatable.** Repeating a call after such an error is safe and does nothing twice, because ids are chosen by the
//!   caller. The two methods that count use are not idempotent and say so.
//! - **Durable.** A write that was acknowledged survives a crash, to the level that [`StoreStatus::durability`] names.
//! - **Bounded.** Every method takes a limit or has one. Too many waiting calls are refused with
//!   [`StoreError::Overloaded`].
//! - **One clock.** Every time is the database's own ([`Micros`](portcullis_domain::Micros)), never this machine's.

mod activity;
mod api_keys;
mod audit;
mod audit_archive;
mod audit_exports;
mod audit_retention;
mod erasure;
mod error;
mod installation;
mod log;
pub mod outage;
mod peers;
mod policies;
pub mod postgres;
mod providers;
mod schema;
mod sessions;
pub mod sql;
pub mod sqlite;
mod status;
mod users;

pub use self::{
    activity::ActivityStore,
    api_keys::ApiKeyStore,
    audit::AuditStore,
    audit_archive::{
        ARCHIVE_FORMAT, ArchiveEnd, ArchiveFault, ArchiveHead, ArchiveLine, ArchiveSummary,
        ArchivedBatch, ArchivedGap, ArchivedRow, verify_archive,
    },
    audit_exports::{AuditExportStore, DEAD_LETTERS_COUNTED_MAX, ExportClaim},
    audit_retention::{ArchivePiece, AuditRemoved, AuditRetentionStore, AuditRules, Codes},
    erasure::ErasureStore,
    error::StoreError,
    installation::{
        AuthorityLogVersion, Checkpoint, InstallationStore, KeyStore, LogVersions,
        MASTER_KEY_ID_BYTES, Recovered, TokenLife,
    },
    log::{Appended, Beat, CheckpointDue, CheckpointStore, LogBatch, LogStore, Revoked},
    peers::{AuthorityShare, PEERS_MAX, PeerRow, PeerStore},
    policies::{DueSessions, PolicyStore, PolicyWalk, Schedule, SessionsUnder, SweepStore},
    providers::ProviderStore,
    schema::Schema,
    sessions::{Left, Proof, RefreshOutcome, Removed, SessionStore, SignInError, SignInHistory},
    status::{PoolState, STANDBYS_MAX, StandbyState, StoreMeasure, StoreStatus},
    users::UserStore,
};

/// Everything that an authority keeps. Each part states its own contract; the crate's page has the common promises.
pub trait Store:
    ActivityStore
    + ApiKeyStore
    + AuditExportStore
    + AuditRetentionStore
    + AuditStore
    + EnforcementStore
    + ErasureStore
    + InstallationStore
    + KeyStore
    + PolicyStore
    + ProviderStore
    + SessionStore
    + StoreStatus
    + SweepStore
    + UserStore
{
}

impl<T> Store for T where
    T: ActivityStore
        + ApiKeyStore
        + AuditExportStore
        + AuditRetentionStore
        + AuditStore
        + EnforcementStore
        + ErasureStore
        + InstallationStore
        + KeyStore
        + PolicyStore
        + ProviderStore
        + SessionStore
        + StoreStatus
        + SweepStore
        + UserStore
{
}

/// The part of a store that keeps the promise: the log, its checkpoints, its beats, and the rows of peers.
///
/// The appender, the feed and the streams of gates work with this part alone. So a model of a store, as in
/// `tests/simulation`, does not change when another part grows.
pub trait EnforcementStore: CheckpointStore + LogStore + PeerStore {}

impl<T> EnforcementStore for T where T: CheckpointStore + LogStore + PeerStore {}
