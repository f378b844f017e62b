//! Rates and quotas: no user and no tenant can fill the disk, the log, or the memory of gates.
//!
//! Rates are of this authority: several of them allow as much each. Quotas of users and sessions are counted now and then,
//! so that a tenant may pass one by what it opens in between.

mod bucket;
mod count;

use std::{sync::Arc, time::Duration};

use portcullis_contract::id::{TenantId, UserId};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::Instant,
};

use self::{bucket::Buckets, count::Counts};
use crate::{
    config::LimitsConfig,
    store::{Store, StoreError},
    telemetry::Instruments,
};

/// A limit that a call would pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exceeded {
    /// The setting's name in `[limits]`.
    pub(crate) limit: &'static str,
    /// When a rate admits the call again. None: the limit is a quota, which does not pass with time.
    pub(crate) retry: Option<Duration>,
}

/// Unknown users of a call who are made before the call is appended, so that the log does not wait for them.
const MADE_BEFORE_MIN: usize = 16;

/// Users who are made in one transaction.
const MADE_AT_ONCE: usize = 64;

/// The limits of all callers.
pub(crate) struct Limits {
    config: LimitsConfig,
    store: Arc<dyn Store>,
    instruments: Arc<Instruments>,
    user_changes: Buckets<(TenantId, UserId)>,
    unknown_users: Buckets<TenantId>,
    counts: Counts,
    /// One transaction at a time makes users: sign-ins and the log do not queue behind a crowd of them.
    making: Semaphore,
}

impl Limits {
    pub(crate) fn new(
        config: &LimitsConfig,
        store: Arc<dyn Store>,
        instruments: Arc<Instruments>,
    ) -> Self {
        Self {
            user_changes: Buckets::new(config.user_changes_per_minute, config.user_changes_burst),
            unknown_users: Buckets::new(
                config.tenant_unknown_users_per_minute,
                config.tenant_unknown_users_burst,
            ),
            counts: Counts::default(),
            making: Semaphore::new(1),
            config: config.clone(),
            store,
            instruments,
        }
    }

    /// Admits a change that a user makes with their own token.
    pub(crate) fn admit_user_change(
        &self,
        tenant: &TenantId,
        user: &UserId,
    ) -> Result<(), Exceeded> {
        let key = (tenant.clone(), user.clone());
        let taken = self.user_changes.take(&key, 1, Instant::now());
        taken.map_err(|retry| self.refuse("user_changes_per_minute", Some(retry)))
    }

    /// Admits the users whom a sign-out names: unknown ones become rows and cutoffs, so a tenant may name so many of them
    /// in a time. Makes their rows when they are many.
    pub(crate) async fn admit_named_users(
        &self,
        tenant: &TenantId,
        users: &[UserId],
    ) -> Result<Result<(), Exceeded>, StoreError> {
        let known = self.store.users(tenant, users).await?;
        let known: std::collections::HashSet<_> =
            known.iter().map(|user| user.user_id.as_str()).collect();
        let unknown: Vec<_> = users
            .iter()
            .filter(|user| !known.contains(user.as_str()))
            .cloned()
            .collect();
        if unknown.is_empty() {
            return Ok(Ok(()));
        }
        let taken = self
            .unknown_users
            .take(tenant, unknown.len(), Instant::now());
        if let Err(retry) = taken {
            return Ok(Err(
                self.refuse("tenant_unknown_users_per_minute", Some(retry))
            ));
        }
        if self.counts.of(tenant, &self.store).users >= self.config.tenant_users_max {
            return Ok(Err(self.refuse("tenant_users_max", None)));
        }
        if unknown.len() > MADE_BEFORE_MIN {
            self.make_users(tenant, &unknown).await?;
        }
        Ok(Ok(()))
    }

    async fn make_users(&self, tenant: &TenantId, users: &[UserId]) -> Result<(), StoreError> {
        for chunk in users.chunks(MADE_AT_ONCE) {
            let _alone = self.make_alone().await?;
            self.store.add_users(tenant, chunk).await?;
        }
        Ok(())
    }

    async fn make_alone(&self) -> Result<SemaphorePermit<'_>, StoreError> {
        let acquired = self.making.acquire().await;
        acquired.map_err(|error| StoreError::Internal(error.to_string()))
    }

    /// Admits a sign-in.
    pub(crate) async fn admit_sign_in(
        &self,
        tenant: &TenantId,
        user: &UserId,
    ) -> Result<Result<(), Exceeded>, StoreError> {
        let count = self.counts.of(tenant, &self.store);
        if count.sessions >= self.config.tenant_sessions_max {
            return Ok(Err(self.refuse("tenant_sessions_max", None)));
        }
        // Users who are there go on signing in.
        if count.users >= self.config.tenant_users_max
            && self.store.user(tenant, user).await?.is_none()
        {
            return Ok(Err(self.refuse("tenant_users_max", None)));
        }
        self.counts.opened(tenant);
        Ok(Ok(()))
    }

    /// Admits one more API key.
    pub(crate) async fn admit_api_key(
        &self,
        tenant: &TenantId,
    ) -> Result<Result<(), Exceeded>, StoreError> {
        let max = self.config.tenant_api_keys_max;
        if self.store.count_live_api_keys(tenant, max).await? >= max {
            return Ok(Err(self.refuse("tenant_api_keys_max", None)));
        }
        Ok(Ok(()))
    }

    fn refuse(&self, limit: &'static str, retry: Option<Duration>) -> Exceeded {
        self.instruments.refused(limit);
        Exceeded { limit, retry }
    }
}
