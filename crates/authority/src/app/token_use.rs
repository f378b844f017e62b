//! Use of sessions that gates in other languages show by introspection.
//!
//! Such a gate asks for each request and reports nothing. A write for each would make every request wait for the disk, so
//! uses are gathered here and recorded together, within [`FLUSH_INTERVAL_MAX`]. The sweep waits for reports longer than
//! that (`sessions.activity_delay_max`). A crash loses the uses of the last moment.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use portcullis_contract::id::{SessionId, TenantId};

use super::{
    App, AppError,
    activity::{ActivityReport, record_activity},
};
use crate::domain::SessionActivity;

/// The longest that a use waits to be recorded.
pub(crate) const FLUSH_INTERVAL_MAX: Duration = Duration::from_secs(1);

/// The most sessions whose use waits. Each takes less than a kilobyte. The use of one more is recorded at once.
const SESSIONS_MAX: usize = 10_000;

/// A request that an introspection serves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServedRequest {
    /// The address of the client. Empty: unknown.
    pub(crate) ip: String,
    /// The path. Empty: unknown.
    pub(crate) page: String,
}

/// Uses that wait to be recorded.
#[derive(Default)]
pub(crate) struct TokenUses(Mutex<Waiting>);

/// In the order in which reports lock rows, so that two of them cannot deadlock.
type Uses = BTreeMap<(TenantId, [u8; 16]), WaitingUse>;

#[derive(Default)]
struct Waiting {
    uses: Uses,
    /// Nothing takes uses from here any more.
    is_closed: bool,
}

/// The use of one session.
struct WaitingUse {
    requests: u64,
    last: Instant,
    ip: String,
    page: String,
}

impl App {
    /// Records that a request used a session. It never fails: a gate must not refuse a request because of it.
    pub(crate) async fn record_use(
        &self,
        tenant: &TenantId,
        session: SessionId,
        request: ServedRequest,
    ) {
        let used = WaitingUse {
            requests: 1,
            last: Instant::now(),
            ip: request.ip,
            page: request.page,
        };
        let key = (tenant.clone(), session.to_bytes());
        if let Err(used) = self.token_uses.add(key.clone(), used) {
            // Whoever fills the buffer waits for the store, so that the buffer needs no other bound.
            let _ = record(self, &Uses::from([(key, used)])).await;
        }
    }

    /// Records the uses that wait. They wait on when the store fails.
    pub(crate) async fn flush_uses(&self) {
        // Taken before the write, so that no request waits for the store behind this lock.
        let uses = std::mem::take(&mut self.token_uses.lock().uses);
        if !uses.is_empty() && record(self, &uses).await.is_err() {
            self.token_uses.put_back(uses);
        }
    }

    /// Records the uses that wait. Later ones are recorded at once.
    pub(crate) async fn close_uses(&self) {
        self.token_uses.lock().is_closed = true;
        self.flush_uses().await;
    }
}

impl TokenUses {
    /// Adds a use. It is given back when there is no room.
    fn add(&self, key: (TenantId, [u8; 16]), used: WaitingUse) -> Result<(), WaitingUse> {
        let mut waiting = self.lock();
        let is_full = waiting.uses.len() >= SESSIONS_MAX;
        if waiting.is_closed {
            return Err(used);
        }
        match waiting.uses.entry(key) {
            Entry::Occupied(mut known) => known.get_mut().add(used),
            Entry::Vacant(_) if is_full => return Err(used),
            Entry::Vacant(vacant) => {
                vacant.insert(used);
            }
        }
        Ok(())
    }

    /// Puts back uses that were not recorded. Newer ones of the same sessions may have come meanwhile.
    fn put_back(&self, uses: Uses) {
        let mut waiting = self.lock();
        for (key, mut used) in uses {
            // Beyond the bound the older use is lost. The session has been used again by many others since.
            if let Some(newer) = waiting.uses.remove(&key) {
                used.add(newer);
            } else if waiting.uses.len() >= SESSIONS_MAX {
                continue;
            }
            waiting.uses.insert(key, used);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WaitingUse {
    /// Adds a newer use.
    fn add(&mut self, newer: Self) {
        self.requests = self.requests.saturating_add(newer.requests);
        self.last = newer.last;
        // A request without an address does not say that the session has none.
        if !newer.ip.is_empty() {
            self.ip = newer.ip;
        }
        if !newer.page.is_empty() {
            self.page = newer.page;
        }
    }
}

fn activities(uses: &Uses) -> Vec<SessionActivity> {
    let mut sessions = Vec::with_capacity(uses.len());
    for ((tenant, session), used) in uses {
        sessions.push(SessionActivity {
            tenant_id: tenant.clone(),
            session_id: SessionId::from_bytes(*session),
            requests: used.requests,
            age: used.last.elapsed(),
            ip: used.ip.clone(),
            page: used.page.clone(),
        });
    }
    sessions
}

async fn record(app: &App, uses: &Uses) -> Result<(), AppError> {
    let report = ActivityReport {
        sessions: activities(uses),
        api_keys: Vec::new(),
        // No gate: one that only asks keeps nothing that could be missing later.
        gate: None,
        complete_age: None,
        is_leaving: false,
    };
    record_activity(app, &report).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> (TenantId, [u8; 16]) {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        (TenantId::parse("acme").expect("an id"), id)
    }

    fn used(ip: &str, page: &str) -> WaitingUse {
        WaitingUse {
            requests: 1,
            last: Instant::now(),
            ip: ip.into(),
            page: page.into(),
        }
    }

    fn only(uses: &TokenUses) -> (u64, String, String) {
        let waiting = uses.lock();
        let used = waiting.uses.values().next().expect("a use");
        (used.requests, used.ip.clone(), used.page.clone())
    }

    #[test]
    fn uses_of_one_session_are_counted_and_the_newest_known_address_and_page_stay() {
        let uses = TokenUses::default();
        for (ip, page) in [("192.0.2.1", "/a"), ("", "/b"), ("192.0.2.2", "")] {
            assert!(uses.add(key(1), used(ip, page)).is_ok());
        }
        assert_eq!(only(&uses), (3, "192.0.2.2".into(), "/b".into()));

        let failed = std::mem::take(&mut uses.lock().uses);
        assert!(uses.add(key(1), used("192.0.2.3", "")).is_ok());
        uses.put_back(failed);
        assert_eq!(only(&uses), (4, "192.0.2.3".into(), "/b".into()));
    }

    #[test]
    fn so_many_sessions_wait_and_none_after_the_end() {
        let uses = TokenUses::default();
        let most = u32::try_from(SESSIONS_MAX).expect("a count");
        for number in 0..most {
            assert!(uses.add(key(number), used("", "")).is_ok());
        }
        assert!(
            uses.add(key(most), used("", "")).is_err(),
            "one more session"
        );
        assert!(uses.add(key(0), used("", "")).is_ok(), "one more request");
        uses.put_back(Uses::from([(key(most), used("", ""))]));
        assert_eq!(uses.lock().uses.len(), SESSIONS_MAX);

        uses.lock().is_closed = true;
        assert!(uses.add(key(0), used("", "")).is_err());
    }
}
