//! Policies, read again every second.
//!
//! A session that opens under a policy of a second ago is not missed when the policy is tightened: the sweep goes over
//! a tenant's sessions again until the change is older than that.

use std::{sync::Arc, time::Instant};

use portcullis_contract::id::TenantId;
use quick_cache::sync::Cache;

use crate::{
    domain::policy::{POLICY_AGE_MAX, Policy},
    store::{Store, StoreError},
};

/// The most tenants whose policies are remembered.
const TENANTS_MAX: usize = 10_000;

/// The tenants' policies.
pub(crate) struct Policies {
    store: Arc<dyn Store>,
    known: Cache<TenantId, (Arc<Policy>, Instant)>,
    default: Arc<Policy>,
}

impl Policies {
    /// `default` is of tenants that have set none.
    pub(crate) fn new(store: Arc<dyn Store>, default: Policy) -> Self {
        Self {
            store,
            known: Cache::new(TENANTS_MAX),
            default: Arc::new(default),
        }
    }

    /// The policy of tenants that have set none.
    pub(crate) fn default(&self) -> &Policy {
        &self.default
    }

    /// The tenant's policy, at most [`POLICY_AGE_MAX`] old; the default when it set none.
    pub(crate) async fn of(&self, tenant: &TenantId) -> Result<Arc<Policy>, StoreError> {
        if let Some((policy, read)) = self.known.get(tenant)
            && read.elapsed() < POLICY_AGE_MAX
        {
            return Ok(policy);
        }
        let read = Instant::now();
        let policy = match self.store.policy(tenant).await? {
            Some((policy, _)) => Arc::new(policy),
            None => Arc::clone(&self.default),
        };
        self.known
            .insert(tenant.clone(), (Arc::clone(&policy), read));
        Ok(policy)
    }
}
