//! Identity providers: the sessions that their logouts end, and the logout tokens that counted.

use std::time::Duration;

use async_trait::async_trait;
use portcullis_contract::id::{SessionId, TenantId};
use portcullis_domain::ProviderLogout;

use crate::StoreError;

/// The sessions that were opened by an identity provider, and the logout tokens of the last minutes.
#[async_trait]
pub trait ProviderStore: Send + Sync + 'static {
    /// The active sessions that a logout ends, at most `limit`. A session of a sign-in that commits meanwhile may be
    /// missing.
    ///
    /// A logout that names a session ends the sessions of that one, and those of the subject whose session at the provider
    /// is unknown. One that names a subject alone ends all of the subject's.
    ///
    /// # Errors
    /// When the store fails.
    async fn provider_sessions(
        &self,
        logout: &ProviderLogout,
        limit: u32,
    ) -> Result<Vec<(TenantId, SessionId)>, StoreError>;

    /// Whether a logout token is remembered.
    ///
    /// # Errors
    /// When the store fails.
    async fn knows_logout_token(&self, digest: &[u8; 32]) -> Result<bool, StoreError>;

    /// Remembers a logout token for `keep`, and forgets a few whose time is over. So the table stays as small as the number
    /// of tokens within `keep`.
    ///
    /// # Errors
    /// When the store fails. Repeating the call is safe.
    async fn remember_logout_token(
        &self,
        digest: &[u8; 32],
        keep: Duration,
    ) -> Result<(), StoreError>;
}
