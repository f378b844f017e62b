//! Policies, and the sessions that they end.

use std::collections::HashMap;

use async_trait::async_trait;
use portcullis_contract::id::{SessionId, TenantId};
use portcullis_domain::{Micros, Policy, SweptSession};

use crate::StoreError;

/// The tenants' policies. [`LogStore::append`](crate::LogStore::append) replaces them.
#[async_trait]
pub trait PolicyStore: Send + Sync + 'static {
    /// A tenant's policy and its version. None when the tenant set none.
    ///
    /// # Errors
    /// [`StoreError::Internal`] for a policy of a newer version of the authority.
    async fn policy(&self, tenant: &TenantId) -> Result<Option<(Policy, u64)>, StoreError>;
}

/// The schedule by which sessions are held against idle timeouts and changed policies.
///
/// Several authorities may sweep at the same time. Each call is idempotent, and a session that two of them end is ended
/// once, by the log.
#[async_trait]
pub trait SweepStore: Send + Sync + 'static {
    /// The sessions that are due, earliest first, at most `limit`.
    ///
    /// # Errors
    /// When the store fails.
    async fn due_sessions(&self, limit: u32) -> Result<DueSessions, StoreError>;

    /// Sets when sessions are due next.
    ///
    /// # Errors
    /// When the store fails.
    async fn reschedule(&self, schedules: &[Schedule]) -> Result<(), StoreError>;

    /// The next sessions, at most `limit`, of the first tenant after `after` whose policy changed and whose sessions were
    /// not all checked since. None when no such tenant is left.
    ///
    /// # Errors
    /// When the store fails.
    async fn policy_walk(
        &self,
        after: Option<&TenantId>,
        limit: u32,
    ) -> Result<Option<PolicyWalk>, StoreError>;

    /// Active sessions of a tenant before `before`, newest first, at most `limit`, as the sweep would check them under
    /// `policy`. Changes nothing.
    ///
    /// # Errors
    /// As [`list_sessions`](crate::SessionStore::list_sessions).
    async fn sessions_under(
        &self,
        tenant: &TenantId,
        policy: &Policy,
        before: Option<SessionId>,
        limit: u32,
    ) -> Result<SessionsUnder, StoreError>;

    /// Continues a walk after the session `next`, or ends it, and reschedules sessions, in one transaction. Returns false
    /// and changes nothing when the policy changed again or another authority ended the walk.
    ///
    /// # Errors
    /// When the store fails.
    async fn advance_walk(
        &self,
        walk: &PolicyWalk,
        next: Option<SessionId>,
        schedules: &[Schedule],
    ) -> Result<bool, StoreError>;
}

/// Due sessions, from one snapshot.
#[derive(Debug)]
pub struct DueSessions {
    /// The sessions.
    pub sessions: Vec<SweptSession>,
    /// The policies of those tenants that set one. None for a policy that this version cannot read.
    pub policies: HashMap<TenantId, Option<Policy>>,
    /// The database's clock at the snapshot.
    pub now: Micros,
}

/// A step of the walk over the sessions of a tenant whose policy changed.
#[derive(Debug)]
pub struct PolicyWalk {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The version of its policy.
    pub version: i64,
    /// The policy. None when this version cannot read it.
    pub policy: Option<Policy>,
    /// The next sessions, in the order of their ids.
    pub sessions: Vec<SweptSession>,
    /// The database's clock at the snapshot.
    pub now: Micros,
}

/// Active sessions as the sweep would check them under a policy that is not in force.
#[derive(Debug)]
pub struct SessionsUnder {
    /// The sessions, newest first.
    pub sessions: Vec<SweptSession>,
    /// The database's clock at the snapshot.
    pub now: Micros,
}

/// The time at which a session is due next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The session's tenant.
    pub tenant_id: TenantId,
    /// The session.
    pub session_id: SessionId,
    /// The new due time. None: never.
    pub due: Option<Micros>,
    /// Sets it only if the current due time is this one. None: whatever the current one is.
    pub unless_changed: Option<Micros>,
}
