//! Rates and quotas, so that no user and no tenant can fill the disk, the log, or the memory of gates.
//!
//! Each authority has its own rates. Users and sessions are counted from time to time, so a tenant can exceed its quota by
//! as many as it opens between two counts.

mod bucket;
mod count;

use std::{collections::HashSet, sync::Arc, time::Duration};

use portcullis_contract::id::{TenantId, UserId};
use tokio::time::Instant;

pub(crate) use self::count::PlaceOfSession;
use self::{bucket::Buckets, count::Counts};
use crate::{
    config::LimitsConfig,
    domain::User,
    net::FairSemaphore,
    store::{Store, StoreError},
    telemetry::Instruments,
};

/// A limit that a call would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exceeded {
    /// The setting's name in `[limits]`.
    pub(crate) limit: &'static str,
    /// The time until a rate admits the call again. None: the limit is a quota, and waiting does not help.
    pub(crate) retry: Option<Duration>,
}

/// A sign-out of more users than this is large. A small one waits for nobody and has no rate of named users: an
/// administrator who ends an attack must not be refused because somebody else named thousands.
const SMALL_SIGN_OUT_MAX: usize = 16;

/// With more unknown users than this in a call, their rows are made before it is appended. The log would else wait for
/// them.
const MADE_BEFORE_MIN: usize = 16;

/// The most rows of users that are made in one transaction.
const MADE_AT_ONCE: usize = 64;

/// The limits of all callers.
pub(crate) struct Limits {
    config: LimitsConfig,
    store: Arc<dyn Store>,
    instruments: Arc<Instruments>,
    user_changes: Buckets<(TenantId, UserId)>,
    named_users: Buckets<TenantId>,
    unknown_users: Buckets<TenantId>,
    counts: Counts,
    /// Admits one statement at a time that looks up or makes many users, in turns between tenants. Without it a crowd of
    /// large sign-outs would take all connections for reads, and everybody's sign-ins would queue behind them.
    bulk_turns: Arc<FairSemaphore<TenantId>>,
}

impl Limits {
    pub(crate) fn new(
        config: &LimitsConfig,
        store: Arc<dyn Store>,
        instruments: Arc<Instruments>,
    ) -> Self {
        Self {
            user_changes: Buckets::new(config.user_changes_per_minute, config.user_changes_burst),
            named_users: Buckets::new(
                config.tenant_named_users_per_minute,
                config.tenant_named_users_burst,
            ),
            unknown_users: Buckets::new(
                config.tenant_unknown_users_per_minute,
                config.tenant_unknown_users_burst,
            ),
            counts: Counts::default(),
            bulk_turns: FairSemaphore::new(1),
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
        match self.user_changes.take(&key, 1, Instant::now()) {
            Ok(()) => Ok(()),
            Err(retry) => Err(self.refuse("user_changes_per_minute", Some(retry))),
        }
    }

    /// Admits the users that a sign-out names, of which a tenant may name only so many in a time. Each unknown one becomes
    /// a row and a cutoff, so those have a lower rate. If they are many, their rows are made here.
    pub(crate) async fn admit_named_users(
        &self,
        tenant: &TenantId,
        users: &[UserId],
    ) -> Result<Result<(), Exceeded>, StoreError> {
        // Before the look-up: it is the work from which this rate protects others. A call that is refused later has paid
        // for its look-up.
        if let Err(exceeded) = self.take_named_users(tenant, users.len()) {
            return Ok(Err(exceeded));
        }
        let unknown = self.unknown_users_of(tenant, users).await?;
        // Known users cost no new row, so the rate of unknown ones must not keep an administrator from signing them out.
        if unknown.is_empty() {
            return Ok(Ok(()));
        }
        if let Err(exceeded) = self.take_unknown_users(tenant, unknown.len()) {
            return Ok(Err(exceeded));
        }
        self.make_users(tenant, &unknown).await?;
        Ok(Ok(()))
    }

    fn take_named_users(&self, tenant: &TenantId, users: usize) -> Result<(), Exceeded> {
        if users <= SMALL_SIGN_OUT_MAX {
            return Ok(());
        }
        let taken = self.named_users.take(tenant, users, Instant::now());
        taken.map_err(|retry| self.refuse("tenant_named_users_per_minute", Some(retry)))
    }

    fn take_unknown_users(&self, tenant: &TenantId, users: usize) -> Result<(), Exceeded> {
        let taken = self.unknown_users.take(tenant, users, Instant::now());
        taken.map_err(|retry| self.refuse("tenant_unknown_users_per_minute", Some(retry)))?;
        // The unknown ones are not added: the count is old in any case, and the rate bounds the excess.
        if self.counts.of(tenant, &self.store).users >= self.config.tenant_users_max {
            return Err(self.refuse("tenant_users_max", None));
        }
        Ok(())
    }

    async fn unknown_users_of(
        &self,
        tenant: &TenantId,
        users: &[UserId],
    ) -> Result<Vec<UserId>, StoreError> {
        let rows = self.look_up(tenant, users).await?;
        let known: HashSet<_> = rows.iter().map(|user| user.user_id.as_str()).collect();
        let mut unknown = Vec::new();
        for user in users {
            if !known.contains(user.as_str()) {
                unknown.push(user.clone());
            }
        }
        Ok(unknown)
    }

    async fn look_up(&self, tenant: &TenantId, users: &[UserId]) -> Result<Vec<User>, StoreError> {
        if users.len() <= SMALL_SIGN_OUT_MAX {
            return self.store.users(tenant, users).await;
        }
        let _turn = self.bulk_turns.acquire(tenant.clone()).await;
        self.store.users(tenant, users).await
    }

    /// Makes the rows of unknown users, if they are many. A few are made with the entry itself.
    async fn make_users(&self, tenant: &TenantId, users: &[UserId]) -> Result<(), StoreError> {
        if users.len() <= MADE_BEFORE_MIN {
            return Ok(());
        }
        for chunk in users.chunks(MADE_AT_ONCE) {
            // Acquired for each chunk, so that other callers get their turn between two of them.
            let _turn = self.bulk_turns.acquire(tenant.clone()).await;
            self.store.add_users(tenant, chunk).await?;
        }
        Ok(())
    }

    /// Admits a sign-in. It takes a place in the tenant's quota until it has opened its session or is refused.
    pub(crate) async fn admit_sign_in(
        &self,
        tenant: &TenantId,
        user: &UserId,
    ) -> Result<Result<PlaceOfSession, Exceeded>, StoreError> {
        // No count is awaited: a sign-in must not pay for counting.
        let count = self.counts.of(tenant, &self.store);
        if count.sessions >= self.config.tenant_sessions_max {
            return Ok(Err(self.refuse("tenant_sessions_max", None)));
        }
        // A full tenant refuses new users only: those that it has can still sign in.
        if count.users >= self.config.tenant_users_max
            && self.store.user(tenant, user).await?.is_none()
        {
            return Ok(Err(self.refuse("tenant_users_max", None)));
        }
        // Taken before the session is open. Otherwise a burst could pass the quota between two counts.
        Ok(Ok(self.counts.take_place(tenant)))
    }

    /// Admits one more API key.
    pub(crate) async fn admit_api_key(
        &self,
        tenant: &TenantId,
    ) -> Result<Result<(), Exceeded>, StoreError> {
        let max = self.config.tenant_api_keys_max;
        // Counting stops at the quota, so a full tenant costs no more than that.
        if self.store.count_live_api_keys(tenant, max).await? >= max {
            return Ok(Err(self.refuse("tenant_api_keys_max", None)));
        }
        Ok(Ok(()))
    }

    fn refuse(&self, limit: &'static str, retry: Option<Duration>) -> Exceeded {
        self.instruments.refusals.count_call(limit);
        Exceeded { limit, retry }
    }
}
