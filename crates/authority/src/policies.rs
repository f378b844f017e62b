//! A cache of policies, each read again after a second.
//!
//! A session that opens under a policy that is a second old is not missed when that policy is tightened: the sweep walks
//! through the tenant's sessions again until the change is older than that.

use std::{sync::Arc, time::Instant};

use portcullis_contract::id::TenantId;
use quick_cache::sync::Cache;

use crate::{
    domain::policy::{POLICY_AGE_MAX, Policy},
    store::{Store, StoreError},
};

/// The most tenants whose policies are cached.
const TENANTS_MAX: usize = 10_000;

/// The tenants' policies.
pub(crate) struct Policies {
    store: Arc<dyn Store>,
    known: Cache<TenantId, (Arc<Policy>, Instant)>,
    default: Arc<Policy>,
}

impl Policies {
    /// A cache over `store`. `default` is the policy of tenants that have set none.
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

    /// Returns the tenant's policy, at most [`POLICY_AGE_MAX`] old, or the default if it set none.
    pub(crate) async fn of(&self, tenant: &TenantId) -> Result<Arc<Policy>, StoreError> {
        if let Some((policy, read)) = self.known.get(tenant)
            && read.elapsed() < POLICY_AGE_MAX
        {
            return Ok(policy);
        }
        // Taken before the read, so that a slow read cannot make the policy look fresher than it is.
        let read = Instant::now();
        let policy = match self.store.policy(tenant).await? {
            Some((policy, _)) => Arc::new(policy),
            // Cached too, or every call for a tenant without a policy would read the store.
            None => Arc::clone(&self.default),
        };
        self.known
            .insert(tenant.clone(), (Arc::clone(&policy), read));
        Ok(policy)
    }
}
