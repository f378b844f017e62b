//! The audit trail.

use async_trait::async_trait;
use portcullis_contract::{id::TenantId, position::Revision};
use portcullis_domain::{
    AuditEvent, AuditFilter, AuditPosition, AuditVerdict, PendingEvent, TrailPosition,
};

use crate::StoreError;

/// The audit trail. Rows are added with the batch of the log that they belong to, and never changed, but for the parts that
/// an erasure removes ([`ErasureStore`](crate::ErasureStore)). They go when they are old enough
/// ([`AuditRetentionStore`](crate::AuditRetentionStore)).
///
/// Sign-ins and refreshes append nothing to the log. Their events wait in the store until
/// [`Mutation::Record`](portcullis_domain::Mutation::Record) moves them into the trail.
#[async_trait]
pub trait AuditStore: Send + Sync + 'static {
    /// Events, newest first, from just below a position.
    ///
    /// # Errors
    /// [`StoreError::TooSlow`] for a search that is too wide, [`StoreError::Overloaded`] when too many searches wait.
    async fn list_audit_events(
        &self,
        filter: &AuditFilter,
        below: Option<AuditPosition>,
        limit: u32,
    ) -> Result<Vec<AuditEvent>, StoreError>;

    /// The events of all tenants in the order of the log, from behind a place up to a revision. It counts as a search
    /// of the tenant that asks. None: nobody in particular asks.
    ///
    /// # Errors
    /// As [`list_audit_events`](Self::list_audit_events).
    async fn audit_events_behind(
        &self,
        asking: Option<&TenantId>,
        place: TrailPosition,
        through: Revision,
        limit: u32,
    ) -> Result<Vec<AuditEvent>, StoreError>;

    /// Recomputes the chain from the rows of at most `limit` batches after `after`, perhaps of fewer, and returns the
    /// first fault. It begins where the trail does, if that is later. None when the log has no revision `after`.
    ///
    /// # Errors
    /// As [`list_audit_events`](Self::list_audit_events).
    async fn verify_audit_trail(
        &self,
        after: Revision,
        limit: u64,
    ) -> Result<Option<AuditVerdict>, StoreError>;

    /// Whether any event waits to be recorded.
    ///
    /// # Errors
    /// When the store fails.
    async fn has_pending_events(&self) -> Result<bool, StoreError>;

    /// Adds events that belong to no other change. They wait to be recorded. Idempotent: an event is known by its id.
    ///
    /// # Errors
    /// When the store fails. Then no event was added, or all were.
    async fn add_pending_events(&self, events: &[PendingEvent]) -> Result<(), StoreError>;

    /// As [`add_pending_events`](Self::add_pending_events), at the time of the store instead of the events' own. For
    /// events that no row or statement has a time for.
    ///
    /// # Errors
    /// When the store fails. Then no event was added, or all were.
    async fn add_events_of_now(&self, events: Vec<PendingEvent>) -> Result<(), StoreError>;
}
