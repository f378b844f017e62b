//! The erasure of users and tenants.

use async_trait::async_trait;
use portcullis_contract::id::{TenantId, UserId};
use portcullis_domain::{ErasedCounts, Erasure};

use crate::StoreError;

/// Removal of everything that names a user, or is a tenant's, in small steps.
///
/// [`Mutation::EraseUser`](portcullis_domain::Mutation::EraseUser) or
/// [`Mutation::DeleteTenant`](portcullis_domain::Mutation::DeleteTenant) begins an erasure and
/// [`Mutation::FinishErasure`](portcullis_domain::Mutation::FinishErasure) ends it. Between them, the steps may run at any
/// authority, and be repeated.
#[async_trait]
pub trait ErasureStore: Send + Sync + 'static {
    /// The erasures that are under way, oldest first, at most `limit`.
    ///
    /// # Errors
    /// When the store fails.
    async fn erasures(&self, limit: u32) -> Result<Vec<Erasure>, StoreError>;

    /// The erasure of a user, or of the whole tenant, that is under way.
    ///
    /// # Errors
    /// When the store fails.
    async fn erasure(
        &self,
        tenant: &TenantId,
        user: Option<&UserId>,
    ) -> Result<Option<Erasure>, StoreError>;

    /// Whether events that name the user or the tenant still wait to be recorded. An erasure finds them only in the trail.
    ///
    /// # Errors
    /// When the store fails.
    async fn has_pending_events_of(&self, erasure: &Erasure) -> Result<bool, StoreError>;

    /// Removes some of it, at most `limit` rows, and counts it. Returns zeros when nothing is left but the row of the user
    /// or the tenant, or when the erasure has ended.
    ///
    /// # Errors
    /// When the store fails. Then nothing was removed.
    async fn erase_some(&self, erasure: &Erasure, limit: u32) -> Result<ErasedCounts, StoreError>;

    /// Removes copies of deleted rows that the engine keeps beside its tables, if it can. Returns false when it has to be
    /// tried again.
    ///
    /// # Errors
    /// When the store fails.
    async fn overwrite_deleted(&self) -> Result<bool, StoreError>;
}
