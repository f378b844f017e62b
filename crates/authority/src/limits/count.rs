//! The users and live sessions of tenants, counted now and then.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use portcullis_contract::id::TenantId;
use tokio::time::Instant;

use crate::store::Store;

/// The most tenants whose counts are kept.
const TENANTS_MAX: usize = 10_000;

/// The least time between two counts of a tenant.
const PAUSE_MIN: Duration = Duration::from_secs(10);

/// The longest time between two counts of a tenant.
const PAUSE_MAX: Duration = Duration::from_secs(3_600);

/// A count is made again after so many times the time that it took: counting costs a thousandth of the store.
const PAUSE_FACTOR: u32 = 1_000;

/// How far is counted.
const COUNTED_MAX: u32 = 100_000_000;

/// What a tenant has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    pub(super) users: u32,
    /// Those that were counted, and those opened since.
    pub(super) sessions: u32,
}

/// Counts by tenant.
#[derive(Default)]
pub(super) struct Counts(Arc<Mutex<HashMap<TenantId, Kept>>>);

#[derive(Default)]
struct Kept {
    count: Count,
    /// When to count again. None: a count is under way.
    next: Option<Instant>,
}

impl Counts {
    /// What is known of a tenant; nothing at first. Starts a count when the last one is old, and does not wait for it.
    pub(super) fn of(&self, tenant: &TenantId, store: &Arc<dyn Store>) -> Count {
        let mut kept = lock(&self.0);
        let now = Instant::now();
        if kept.len() >= TENANTS_MAX && !kept.contains_key(tenant) {
            kept.retain(|_, kept| kept.next.is_none_or(|next| next > now));
            if kept.len() >= TENANTS_MAX {
                return Count::default();
            }
        }
        let of = kept.entry(tenant.clone()).or_insert_with(|| Kept {
            count: Count::default(),
            next: Some(now),
        });
        if of.next.is_some_and(|next| next <= now) {
            of.next = None;
            let counting = count(Arc::clone(store), tenant.clone(), Arc::clone(&self.0));
            tokio::spawn(counting);
        }
        of.count
    }

    /// Takes account of a session that opens.
    pub(super) fn opened(&self, tenant: &TenantId) {
        if let Some(kept) = lock(&self.0).get_mut(tenant) {
            kept.count.sessions = kept.count.sessions.saturating_add(1);
        }
    }
}

async fn count(
    store: Arc<dyn Store>,
    tenant: TenantId,
    counts: Arc<Mutex<HashMap<TenantId, Kept>>>,
) {
    let begun = Instant::now();
    let users = store.count_users(&tenant, COUNTED_MAX).await;
    let sessions = store.count_sessions(&tenant, COUNTED_MAX).await;
    let pause = (begun.elapsed() * PAUSE_FACTOR).clamp(PAUSE_MIN, PAUSE_MAX);
    let mut counts = lock(&counts);
    let Some(kept) = counts.get_mut(&tenant) else {
        return;
    };
    kept.next = Some(Instant::now() + pause);
    match (users, sessions) {
        (Ok(users), Ok(sessions)) => kept.count = Count { users, sessions },
        // What was known stays.
        (Err(error), _) | (_, Err(error)) => tracing::debug!(%error, "a tenant was not counted"),
    }
}

fn lock(counts: &Mutex<HashMap<TenantId, Kept>>) -> MutexGuard<'_, HashMap<TenantId, Kept>> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}
