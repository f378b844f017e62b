//! A cache of policies, each read again after a second.
//!
//! A sign-in states the version of the policy that it follows, and its statement opens nothing under another one. All
//! other calls may follow a policy that is a second old. So [`app::policy`](crate::app::policy) answers an update only
//! when no authority can still hold the policy of before.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use portcullis_contract::id::TenantId;
use quick_cache::sync::Cache;

use crate::{
    domain::policy::{POLICY_AGE_MAX, Policy},
    store::{Store, StoreError},
};

/// The most tenants whose policies are cached.
const TENANTS_MAX: usize = 10_000;

/// A policy and its version.
#[derive(Clone)]
pub(crate) struct KnownPolicy {
    pub(crate) policy: Arc<Policy>,
    /// 0: the tenant has set none, and the installation's default is in force.
    pub(crate) version: u64,
    /// When the read began.
    read: Instant,
}

/// The tenants' policies.
pub(crate) struct Policies {
    store: Arc<dyn Store>,
    known: Cache<TenantId, KnownPolicy>,
    /// Held while a policy is put into the cache.
    inserting: Mutex<()>,
    default: Arc<Policy>,
}

impl Policies {
    /// A cache over `store`. `default` is the policy of tenants that have set none.
    pub(crate) fn new(store: Arc<dyn Store>, default: Policy) -> Self {
        Self {
            store,
            known: Cache::new(TENANTS_MAX),
            inserting: Mutex::new(()),
            default: Arc::new(default),
        }
    }

    /// The policy of tenants that have set none.
    pub(crate) fn default(&self) -> &Policy {
        &self.default
    }

    /// Returns the tenant's policy, at most [`POLICY_AGE_MAX`] old, or the default if it set none.
    pub(crate) async fn of(&self, tenant: &TenantId) -> Result<Arc<Policy>, StoreError> {
        Ok(self.known(tenant).await?.policy)
    }

    /// As [`of`](Self::of), with the version.
    pub(crate) async fn known(&self, tenant: &TenantId) -> Result<KnownPolicy, StoreError> {
        if let Some(known) = self.known.get(tenant)
            && known.read.elapsed() < POLICY_AGE_MAX
        {
            return Ok(known);
        }
        self.reload(tenant).await
    }

    /// Reads the tenant's policy from the store, for this call and all that follow.
    pub(crate) async fn reload(&self, tenant: &TenantId) -> Result<KnownPolicy, StoreError> {
        // Taken before the read, so that a slow read cannot make the policy look fresher than it is.
        let read = Instant::now();
        let (policy, version) = match self.store.policy(tenant).await? {
            Some((policy, version)) => (Arc::new(policy), version),
            // Cached too, or every call for a tenant without a policy would read the store.
            None => (Arc::clone(&self.default), 0),
        };
        let known = KnownPolicy {
            policy,
            version,
            read,
        };
        self.insert(tenant, &known);
        Ok(known)
    }

    fn insert(&self, tenant: &TenantId, known: &KnownPolicy) {
        let _inserting = self
            .inserting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // A read that began before an update must not bring the policy of before back, however late its answer comes.
        let newer = self
            .known
            .get(tenant)
            .is_some_and(|kept| kept.read > known.read);
        if !newer {
            self.known.insert(tenant.clone(), known.clone());
        }
    }
}
