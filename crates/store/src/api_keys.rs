//! API keys.

use async_trait::async_trait;
use portcullis_contract::id::{ApiKeyId, TenantId};
use portcullis_domain::{ApiKey, ApiKeyFilter, ApiKeyHour, ApiKeyUse, Micros};

use crate::StoreError;

/// The API keys of all tenants and their use. Keys are created and revoked by
/// [`LogStore::append`](crate::LogStore::append).
#[async_trait]
pub trait ApiKeyStore: Send + Sync + 'static {
    /// One API key and how it ended, with the database's clock at the read.
    ///
    /// # Errors
    /// When the store fails.
    async fn api_key(
        &self,
        tenant: &TenantId,
        id: ApiKeyId,
    ) -> Result<Option<(ApiKey, Micros)>, StoreError>;

    /// A key's requests in this hour and the 23 before it, oldest first. Hours without requests are absent.
    ///
    /// # Errors
    /// When the store fails.
    async fn api_key_hours(
        &self,
        tenant: &TenantId,
        id: ApiKeyId,
    ) -> Result<Vec<ApiKeyHour>, StoreError>;

    /// API keys in descending order of id (newest first), from just below `before`.
    ///
    /// # Errors
    /// [`StoreError::TooSlow`] for a search that is too wide, [`StoreError::Overloaded`] when too many searches wait.
    async fn list_api_keys(
        &self,
        filter: &ApiKeyFilter,
        before: Option<ApiKeyId>,
        limit: u32,
    ) -> Result<(Vec<ApiKey>, Micros), StoreError>;

    /// Live API keys of a tenant, counted up to `max`.
    ///
    /// # Errors
    /// When the store fails.
    async fn count_live_api_keys(&self, tenant: &TenantId, max: u32) -> Result<u32, StoreError>;

    /// The number of live API keys, over all tenants, that were created in `from..until`.
    ///
    /// # Errors
    /// When the store fails.
    async fn count_api_keys(&self, from: Micros, until: Option<Micros>) -> Result<u64, StoreError>;

    /// Adds the requests that a gate reported, in one transaction. Each key appears once in `uses`, in the order of ids.
    /// Unknown keys and requests of more than a day ago are ignored.
    ///
    /// **Not idempotent.** A repeated call counts twice.
    ///
    /// # Errors
    /// When the store fails. The requests may have been counted if the error is retryable.
    async fn record_api_key_uses(&self, uses: &[ApiKeyUse]) -> Result<(), StoreError>;
}
