//! Exports of the audit trail: the position of each, the authority that delivers it, and the events that it has given
//! up.

use std::time::Duration;

use async_trait::async_trait;
use portcullis_domain::{
    AuditEvent, AuditPosition, DeadLetter, DeadLetterId, ExportPlace, ExportStatus,
};

use crate::StoreError;

/// The most dead letters that are counted.
pub const DEAD_LETTERS_COUNTED_MAX: u64 = 10_000;

/// The right to deliver an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportClaim {
    /// The number of the claim. Each claim has a greater one than the claim before.
    pub fence: u64,
    /// The place up to which all is delivered.
    pub place: ExportPlace,
}

/// The exports, by their names.
///
/// **One at a time.** A claim counts until its lease ends, by the clock of the database, or until it is released. Then
/// any authority may claim the export. A change by an earlier claim than the last one does nothing and returns false, so
/// an authority that was paused cannot move the place back or forward.
#[async_trait]
pub trait AuditExportStore: Send + Sync + 'static {
    /// How an export stands, for an authority that would claim it for `lease`. None: no authority has claimed it yet.
    ///
    /// # Errors
    /// When the store fails.
    async fn export_status(
        &self,
        export: &str,
        lease: Duration,
    ) -> Result<Option<ExportStatus>, StoreError>;

    /// Claims an export if it is free. One that is not known yet begins at `start`.
    ///
    /// # Errors
    /// When the store fails. After a lost answer the export is free when the lease has ended.
    async fn claim_export(
        &self,
        export: &str,
        authority: &[u8; 16],
        start: &ExportPlace,
        lease: Duration,
    ) -> Result<Option<ExportClaim>, StoreError>;

    /// Lets the lease of a claim begin anew. Returns whether the claim counts.
    ///
    /// # Errors
    /// When the store fails.
    async fn renew_export(
        &self,
        export: &str,
        fence: u64,
        lease: Duration,
    ) -> Result<bool, StoreError>;

    /// Moves the place of an export. Returns whether the claim counts.
    ///
    /// # Errors
    /// When the store fails.
    async fn advance_export(
        &self,
        export: &str,
        fence: u64,
        place: &ExportPlace,
    ) -> Result<bool, StoreError>;

    /// Gives a claim back.
    ///
    /// # Errors
    /// When the store fails.
    async fn release_export(&self, export: &str, fence: u64) -> Result<(), StoreError>;

    /// Stops an export, because its receiver wants no more. No authority can claim it until an operator removes the mark.
    ///
    /// # Errors
    /// When the store fails.
    async fn stop_export(&self, export: &str, fence: u64) -> Result<(), StoreError>;

    /// Records an event that the export has given up. Returns whether the claim counts. Repeatable.
    ///
    /// # Errors
    /// When the store fails.
    async fn bury_event(
        &self,
        export: &str,
        fence: u64,
        event: AuditPosition,
        problem: &str,
    ) -> Result<bool, StoreError>;

    /// Dead letters that an operator wants delivered once more.
    ///
    /// # Errors
    /// When the store fails.
    async fn due_dead_letters(
        &self,
        export: &str,
        limit: u32,
    ) -> Result<Vec<AuditEvent>, StoreError>;

    /// Lists at most `limit` dead letters of one export, or of all, by export and event, after a letter.
    ///
    /// # Errors
    /// When the store fails.
    async fn list_dead_letters(
        &self,
        export: Option<&str>,
        after: Option<(&str, DeadLetterId)>,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, StoreError>;

    /// Counts the dead letters of an export, or those that no operator wants delivered once more, up to
    /// [`DEAD_LETTERS_COUNTED_MAX`].
    ///
    /// # Errors
    /// When the store fails.
    async fn count_dead_letters(&self, export: &str, only_idle: bool) -> Result<u64, StoreError>;

    /// Returns at most `limit` dead letters of an export, or of those that no operator wants delivered once more.
    ///
    /// # Errors
    /// When the store fails.
    async fn next_dead_letters(
        &self,
        export: &str,
        only_idle: bool,
        limit: u32,
    ) -> Result<Vec<DeadLetterId>, StoreError>;

    /// Removes a dead letter that was delivered after all.
    ///
    /// # Errors
    /// When the store fails.
    async fn remove_dead_letter(
        &self,
        export: &str,
        event: AuditPosition,
    ) -> Result<(), StoreError>;
}
