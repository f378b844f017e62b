//! Removal of audit rows, batches and cutoffs that are old enough, and the archive of removed rows.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use portcullis_contract::position::Revision;
use portcullis_domain::{AuditFault, CodedRecord, Micros, RemovalPlace, TrailBegin};

use crate::{StoreError, audit_archive::ArchivedBatch};

/// Makes and checks codes with a key that the store does not have.
pub trait Codes: Send + Sync {
    /// Makes the code over bytes.
    fn make(&self, bytes: &[u8]) -> Vec<u8>;

    /// Returns true if the code is over these bytes.
    fn is_authentic(&self, bytes: &[u8], code: &[u8]) -> bool;

    /// Returns true if the code of a record is over its bytes.
    fn is_genuine(&self, record: &CodedRecord) -> bool {
        self.is_authentic(&record.bytes, &record.code)
    }
}

/// How long audit rows stay. None: for ever.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditRules {
    /// Those of the installation, and of tenants without a time of their own.
    pub others: Option<Duration>,
    /// Those of single tenants, by their ids.
    pub tenants: HashMap<String, Option<Duration>>,
}

impl AuditRules {
    /// How long the rows of a tenant stay.
    #[must_use]
    pub fn of(&self, tenant: &str) -> Option<Duration> {
        *self.tenants.get(tenant).unwrap_or(&self.others)
    }

    /// The shortest time of all. None: every row stays.
    #[must_use]
    pub fn shortest(&self) -> Option<Duration> {
        let own = self.tenants.values().chain([&self.others]);
        own.flatten().min().copied()
    }
}

/// The result of a step of [`AuditRetentionStore::remove_old_audit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRemoved {
    /// The number of rows removed.
    pub rows: u64,
    /// The number of batches removed.
    pub batches: u64,
    /// The last batch that was looked at, from which the next step continues.
    pub through: Revision,
    /// True if no batch behind it is old enough.
    pub is_last: bool,
    /// Why nothing may be removed: the trail does not match its chain.
    pub fault: Option<AuditFault>,
}

/// Batches to archive.
#[derive(Debug)]
pub struct ArchivePiece {
    /// In order, and verified.
    pub batches: Vec<ArchivedBatch>,
    /// The time of the store.
    pub now: Micros,
    /// The first batch that does not match the chain. It and those behind it are not among the batches.
    pub fault: Option<AuditFault>,
    /// Records that the batches rely on.
    pub records: Vec<CodedRecord>,
}

/// Removal and archive of the trail, and of cutoffs.
///
/// **Verified.** A row goes only if its batch matches the chain, and after the record of its removal is written in the same
/// transaction. So a changed row is not removed before anybody notices.
///
/// **Bounded.** A step looks at a few dozen batches, and ends after some hundred rows.
#[async_trait]
pub trait AuditRetentionStore: Send + Sync + 'static {
    /// Looks at batches after `after`, and removes the rows that are older than the rules say. Batches without rows go too,
    /// from the beginning of the log on, as far as the deltas of all before them are trimmed. Nothing behind `through` goes.
    ///
    /// # Errors
    /// When the store fails, or another authority removes at the same time. Repeating the call is safe.
    async fn remove_old_audit(
        &self,
        after: Revision,
        through: Revision,
        rules: &AuditRules,
        codes: &dyn Codes,
    ) -> Result<AuditRemoved, StoreError>;

    /// Where the trail begins. The record is none while nothing is gone.
    ///
    /// # Errors
    /// When the store fails.
    async fn trail_begin(&self) -> Result<(TrailBegin, Option<CodedRecord>), StoreError>;

    /// The age of the oldest batch of the log whose events the trail still has. None: the log is empty.
    ///
    /// # Errors
    /// When the store fails.
    async fn trail_age(&self) -> Result<Option<Duration>, StoreError>;

    /// The record at a place. None: there is none any more.
    ///
    /// # Errors
    /// When the store fails.
    async fn removal_record(&self, place: RemovalPlace) -> Result<Option<CodedRecord>, StoreError>;

    /// The batches after a revision that the log has, or where the trail begins, for the archive.
    ///
    /// # Errors
    /// When the store fails, or the log has no such revision.
    async fn batches_to_archive(&self, after: Revision) -> Result<ArchivePiece, StoreError>;

    /// The revision up to which an export has delivered. None: nobody has claimed it yet.
    ///
    /// # Errors
    /// When the store fails.
    async fn exported_revision(&self, export: &str) -> Result<Option<Revision>, StoreError>;

    /// Removes at most `limit` cutoffs of sessions up to a revision that are older than `keep`. Every session that there is
    /// must have been opened at `through` or later: a cutoff covers only older sessions.
    ///
    /// # Errors
    /// When the store fails. Repeating the call is safe.
    async fn remove_old_cutoffs(
        &self,
        through: Revision,
        keep: Duration,
        limit: u32,
    ) -> Result<u64, StoreError>;
}
