//! The users and live sessions of tenants, counted from time to time.

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

/// A tenant is counted again after this many times the time that the last count took, so that counting uses at most a
/// thousandth of the store.
const PAUSE_FACTOR: u32 = 1_000;

/// Counting stops here.
const COUNTED_MAX: u32 = 100_000_000;

/// The users and sessions of a tenant.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    pub(super) users: u32,
    /// Sessions that were counted, those that were opened since, and those that are about to be.
    pub(super) sessions: u32,
}

/// The last counts of tenants.
#[derive(Default)]
pub(super) struct Counts(Arc<Mutex<HashMap<TenantId, Kept>>>);

#[derive(Default)]
struct Kept {
    count: Count,
    /// The number of counts so far.
    number: u64,
    /// The time of the next count. None: a count is under way.
    next: Option<Instant>,
}

/// A place in the quota of a tenant for a session that is about to be opened. Given back when it is dropped, so that
/// refused sign-ins do not fill the quota.
pub(crate) struct PlaceOfSession {
    counts: Arc<Mutex<HashMap<TenantId, Kept>>>,
    tenant: TenantId,
    /// The count that it was added to. None: the tenant is not counted, or the session was opened.
    count: Option<u64>,
}

impl PlaceOfSession {
    /// Keeps the place: the session is open.
    pub(crate) fn keep(mut self) {
        self.count = None;
    }
}

impl Drop for PlaceOfSession {
    fn drop(&mut self) {
        let Some(number) = self.count else {
            return;
        };
        let mut counts = lock(&self.counts);
        // A later count does not contain the place.
        if let Some(kept) = counts.get_mut(&self.tenant)
            && kept.number == number
        {
            kept.count.sessions = kept.count.sessions.saturating_sub(1);
        }
    }
}

impl Counts {
    /// Returns the last count of a tenant, which is 0 at first. Starts a new count if it is old, and does not wait for it.
    pub(super) fn of(&self, tenant: &TenantId, store: &Arc<dyn Store>) -> Count {
        let mut counts = lock(&self.0);
        let now = Instant::now();
        if !has_room(&mut counts, tenant, now) {
            // Admits the call: so many busy tenants must not keep a further one from signing in.
            return Count::default();
        }

        let kept = counts.entry(tenant.clone()).or_insert_with(|| Kept {
            count: Count::default(),
            number: 0,
            next: Some(now),
        });
        if let Some(next) = kept.next
            && next <= now
        {
            // Marks the count as under way, so that no second one starts beside it.
            kept.next = None;
            let counting = count(Arc::clone(store), tenant.clone(), Arc::clone(&self.0));
            tokio::spawn(counting);
        }
        kept.count
    }

    /// Adds a session that is about to be opened.
    pub(super) fn take_place(&self, tenant: &TenantId) -> PlaceOfSession {
        let mut count = None;
        if let Some(kept) = lock(&self.0).get_mut(tenant) {
            kept.count.sessions = kept.count.sessions.saturating_add(1);
            count = Some(kept.number);
        }
        PlaceOfSession {
            counts: Arc::clone(&self.0),
            tenant: tenant.clone(),
            count,
        }
    }
}

/// Returns true if the tenant is known or can be added. Old counts of others are dropped for that.
fn has_room(counts: &mut HashMap<TenantId, Kept>, tenant: &TenantId, now: Instant) -> bool {
    if counts.len() < TENANTS_MAX || counts.contains_key(tenant) {
        return true;
    }
    counts.retain(|_, kept| match kept.next {
        Some(next) => next > now,
        // A count under way is kept, or a second one of the same tenant could begin beside it.
        None => true,
    });
    counts.len() < TENANTS_MAX
}

async fn count(
    store: Arc<dyn Store>,
    tenant: TenantId,
    counts: Arc<Mutex<HashMap<TenantId, Kept>>>,
) {
    let under_way = UnderWay {
        counts,
        tenant: tenant.clone(),
    };
    // Two statements of two moments: a quota need not be exact.
    let begun = Instant::now();
    let users = store.count_users(&tenant, COUNTED_MAX).await;
    let sessions = store.count_sessions(&tenant, COUNTED_MAX).await;
    let pause = (begun.elapsed() * PAUSE_FACTOR).clamp(PAUSE_MIN, PAUSE_MAX);
    let mut counts = lock(&under_way.counts);
    let Some(kept) = counts.get_mut(&tenant) else {
        return;
    };
    kept.next = Some(Instant::now() + pause);
    match (users, sessions) {
        // Sessions that were added during the statement may be lost here. The next count has them.
        (Ok(users), Ok(sessions)) => {
            kept.count = Count { users, sessions };
            kept.number += 1;
        }
        // The last count stays in use.
        (Err(error), _) | (_, Err(error)) => tracing::debug!(%error, "a tenant was not counted"),
    }
    // Before the guard: its drop takes the lock again.
    drop(counts);
}

/// A count under way. However it ends, even by a panic, the tenant is counted again later.
struct UnderWay {
    counts: Arc<Mutex<HashMap<TenantId, Kept>>>,
    tenant: TenantId,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(kept) = lock(&self.counts).get_mut(&self.tenant)
            && kept.next.is_none()
        {
            kept.next = Some(Instant::now() + PAUSE_MIN);
        }
    }
}

fn lock(counts: &Mutex<HashMap<TenantId, Kept>>) -> MutexGuard<'_, HashMap<TenantId, Kept>> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_tenant_whose_count_panicked_is_counted_again() {
        let counts = Counts::default();
        let tenant = TenantId::parse("t").expect("a tenant id");
        // By default a count is under way.
        lock(&counts.0).insert(tenant.clone(), Kept::default());
        let under_way = UnderWay {
            counts: Arc::clone(&counts.0),
            tenant: tenant.clone(),
        };
        let counting = tokio::spawn(async move {
            let _under_way = under_way;
            panic!("of the test")
        });
        let ended: Result<(), _> = counting.await;
        assert!(ended.is_err_and(|error| error.is_panic()));

        let next = lock(&counts.0)[&tenant].next;
        let latest = Instant::now() + PAUSE_MIN;
        assert!(next.is_some_and(|next| next <= latest), "never again");
    }
}
