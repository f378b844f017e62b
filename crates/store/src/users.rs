//! Tenants and users.

use async_trait::async_trait;
use portcullis_contract::id::{TenantId, TenantSerial, UserId};
use portcullis_domain::{
    ExportKind, ExportedRecord, Page, PageCursor, User, UserFilter, UserOrder, UserSummary,
};

use crate::StoreError;

/// The tenants and their users. Sign-ins create and update them; sign-outs and disabling go through
/// [`LogStore::append`](crate::LogStore::append).
#[async_trait]
pub trait UserStore: Send + Sync + 'static {
    /// The tenants with a serial above `after`, lowest first, at most `limit`. A tenant that is created meanwhile has a
    /// higher serial than those before it, or is missed until the next list.
    ///
    /// # Errors
    /// When the store fails.
    async fn list_tenants(
        &self,
        after: TenantSerial,
        limit: u32,
    ) -> Result<Vec<(TenantSerial, TenantId)>, StoreError>;

    /// One user. Sees every write that was acknowledged before the call.
    ///
    /// # Errors
    /// When the store fails.
    async fn user(&self, tenant: &TenantId, id: &UserId) -> Result<Option<User>, StoreError>;

    /// The users among `ids` that exist, in any order.
    ///
    /// # Errors
    /// When the store fails.
    async fn users(&self, tenant: &TenantId, ids: &[UserId]) -> Result<Vec<User>, StoreError>;

    /// Creates the users that do not exist, in one transaction. Idempotent.
    ///
    /// # Errors
    /// When the store fails. Then no user was created, or all were.
    async fn add_users(&self, tenant: &TenantId, users: &[UserId]) -> Result<(), StoreError>;

    /// The number of a tenant's users, counted up to `max`.
    ///
    /// # Errors
    /// When the store fails.
    async fn count_users(&self, tenant: &TenantId, max: u32) -> Result<u32, StoreError>;

    /// At most `limit` records of one kind about a user, from after a position, and the position of the next ones.
    ///
    /// # Errors
    /// [`StoreError::TooSlow`] for a search that is too wide, [`StoreError::Overloaded`] when too many searches wait.
    async fn export_user(
        &self,
        tenant: &TenantId,
        user: &UserId,
        kind: ExportKind,
        after: Option<&PageCursor>,
        limit: u32,
    ) -> Result<(Vec<ExportedRecord>, Option<PageCursor>), StoreError>;

    /// One page of users with active sessions, with the guarantees of
    /// [`list_sessions`](crate::SessionStore::list_sessions).
    ///
    /// # Errors
    /// [`StoreError::TooSlow`] for a search that is too wide, [`StoreError::Overloaded`] when too many searches wait.
    async fn list_users(
        &self,
        filter: &UserFilter,
        order: UserOrder,
        after: Option<&PageCursor>,
        limit: u32,
    ) -> Result<Page<UserSummary>, StoreError>;
}
