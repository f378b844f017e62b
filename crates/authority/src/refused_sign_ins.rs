//! Refused sign-ins, as events of the audit trail.
//!
//! A client that tries again and again must not fill the trail. The first refusal of a kind (a user, a reason, a
//! service) is an event at once. Those that follow within [`WINDOW`] are merged into one event with their count. A tenant
//! whose refusals are of very many users gets events without a user for the rest.
//!
//! The counts are in memory until then: an authority that crashes loses at most those of one window.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use portcullis_contract::id::{EventId, TenantId, UserId};
use tokio::time::Instant;

use crate::domain::{Actor, Details, Micros, PendingEvent};

/// The time within which refusals of one kind are merged.
const WINDOW: Duration = Duration::from_secs(60);

/// The most kinds of one tenant in a window that name a user. Refusals of further users are merged without one.
const TENANT_KINDS_MAX: usize = 100;

/// The most kinds in memory. Refusals of further kinds are not recorded.
const KINDS_MAX: usize = 100_000;

/// Refusals that are merged with each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kind {
    tenant_id: TenantId,
    /// None: of several users.
    user_id: Option<UserId>,
    /// The reason as callers get it, and the rule or limit that it names. The rule is empty for a reason without one.
    reason: &'static str,
    rule: &'static str,
    service: Arc<str>,
}

/// A refused sign-in.
pub(crate) struct RefusedSignIn {
    pub(crate) tenant_id: TenantId,
    pub(crate) user_id: UserId,
    /// As the error's `ErrorInfo` has it.
    pub(crate) reason: &'static str,
    /// The rule of the policy, or the limit. Empty: none.
    pub(crate) rule: &'static str,
    /// The address of the client. Empty: unknown.
    pub(crate) ip: String,
    /// The service that called.
    pub(crate) service: Arc<str>,
}

/// Refusals of one kind since its last event.
struct Merged {
    since: Instant,
    count: u64,
    /// The address of the last one.
    ip: String,
}

/// Refusals that are due as an event.
pub(crate) struct DueEvent {
    pub(crate) event: PendingEvent,
    kind: Kind,
    count: u64,
}

/// The refused sign-ins of an authority.
#[derive(Default)]
pub(crate) struct RefusedSignIns(Mutex<State>);

#[derive(Default)]
struct State {
    kinds: HashMap<Kind, Merged>,
    /// The kinds of each tenant that name a user.
    of_tenants: HashMap<TenantId, usize>,
    /// Refusals that found no room.
    unrecorded: u64,
}

impl RefusedSignIns {
    /// Counts a refusal. Returns the event to record now, if it is the first of its kind.
    pub(crate) fn count(&self, refused: RefusedSignIn, now: Instant) -> Option<DueEvent> {
        let mut state = self.lock();
        let mut kind = Kind {
            tenant_id: refused.tenant_id,
            user_id: Some(refused.user_id),
            reason: refused.reason,
            rule: refused.rule,
            service: refused.service,
        };
        let is_known = state.kinds.contains_key(&kind);
        // A user that is counted already keeps the name: only further users are merged.
        if !is_known && state.has_many_users(&kind.tenant_id) {
            kind.user_id = None;
        }

        if let Some(merged) = state.kinds.get_mut(&kind) {
            merged.count += 1;
            merged.ip = refused.ip;
            return None;
        }
        if state.kinds.len() >= KINDS_MAX {
            state.unrecorded += 1;
            return None;
        }
        state.add(kind.clone(), now);
        Some(due_event(kind, 1, &refused.ip))
    }

    /// The events of refusals that were merged for a whole window. Kinds without new refusals are forgotten.
    pub(crate) fn take_due(&self, now: Instant) -> Vec<DueEvent> {
        self.take(
            |merged| now.saturating_duration_since(merged.since) >= WINDOW,
            now,
        )
    }

    /// The events of all refusals that were merged so far, because the authority ends.
    pub(crate) fn take_all(&self, now: Instant) -> Vec<DueEvent> {
        self.take(|_| true, now)
    }

    fn take(&self, is_due: impl Fn(&Merged) -> bool, now: Instant) -> Vec<DueEvent> {
        let mut state = self.lock();
        let mut due = Vec::new();
        let mut quiet = Vec::new();
        for (kind, merged) in &mut state.kinds {
            if !is_due(merged) {
                continue;
            }
            let count = std::mem::take(&mut merged.count);
            if count == 0 {
                // Not removed here, because the map is being walked. A kind with no refusal in its window is over.
                quiet.push(kind.clone());
                continue;
            }
            // The next window begins: a client that goes on causes one event for each.
            merged.since = now;
            due.push(due_event(kind.clone(), count, &merged.ip));
        }
        for kind in quiet {
            state.remove(&kind);
        }
        state.warn_of_unrecorded();
        due
    }

    /// Forgets the refusals of a user, or of a whole tenant, that is being erased. They would be in a later event.
    pub(crate) fn forget(&self, tenant: &TenantId, user: Option<&UserId>) {
        let mut state = self.lock();
        let mut forgotten = Vec::new();
        for kind in state.kinds.keys() {
            let is_of_user = user.is_none() || kind.user_id.as_ref() == user;
            if kind.tenant_id == *tenant && is_of_user {
                forgotten.push(kind.clone());
            }
        }
        for kind in forgotten {
            state.remove(&kind);
        }
    }

    /// Counts refusals again whose event could not be stored. They are part of the next event.
    pub(crate) fn put_back(&self, due: Vec<DueEvent>, now: Instant) {
        let mut state = self.lock();
        for DueEvent { kind, count, .. } in due {
            // An erasure may have forgotten it meanwhile. The next step of the erasure does so
            // again.
            if !state.kinds.contains_key(&kind) {
                state.add(kind.clone(), now);
            }
            if let Some(merged) = state.kinds.get_mut(&kind) {
                merged.count += count;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has_many_users(&self, tenant: &TenantId) -> bool {
        self.of_tenants
            .get(tenant)
            .is_some_and(|kinds| *kinds >= TENANT_KINDS_MAX)
    }

    fn warn_of_unrecorded(&mut self) {
        let unrecorded = std::mem::take(&mut self.unrecorded);
        if unrecorded > 0 {
            tracing::warn!(
                unrecorded,
                "refused sign-ins are not in the audit trail: too many users and tenants at once"
            );
        }
    }

    fn add(&mut self, kind: Kind, now: Instant) {
        if kind.user_id.is_some() {
            *self.of_tenants.entry(kind.tenant_id.clone()).or_default() += 1;
        }
        let merged = Merged {
            since: now,
            count: 0,
            ip: String::new(),
        };
        self.kinds.insert(kind, merged);
    }

    fn remove(&mut self, kind: &Kind) {
        self.kinds.remove(kind);
        // Only kinds with a user count against the tenant's bound, as in `add`.
        if kind.user_id.is_none() {
            return;
        }
        if let Some(kinds) = self.of_tenants.get_mut(&kind.tenant_id) {
            *kinds -= 1;
            if *kinds == 0 {
                self.of_tenants.remove(&kind.tenant_id);
            }
        }
    }
}

fn due_event(kind: Kind, count: u64, ip: &str) -> DueEvent {
    let target = match &kind.user_id {
        Some(user) => user.to_string(),
        None => kind.tenant_id.to_string(),
    };
    let event = PendingEvent {
        id: EventId::generate(),
        // The store fills in its own time.
        at: Micros::default(),
        tenant_id: kind.tenant_id.clone(),
        action: "session.refuse".into(),
        target,
        user_id: kind.user_id.clone(),
        actor: Actor::service(&kind.service),
        details: details(&kind, count, ip),
    };
    DueEvent { event, kind, count }
}

fn details(kind: &Kind, count: u64, ip: &str) -> Details {
    let mut details = Details::new();
    details.insert("reason".into(), kind.reason.into());
    details.insert("count".into(), count.to_string());
    if !kind.rule.is_empty() {
        details.insert("rule".into(), kind.rule.into());
    }
    // The address of one user would mislead in an event of several.
    if !ip.is_empty() && kind.user_id.is_some() {
        details.insert("ip".into(), ip.into());
    }
    details
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(tenant: &str, user: &str, reason: &'static str) -> RefusedSignIn {
        RefusedSignIn {
            tenant_id: TenantId::parse(tenant).expect("an id"),
            user_id: UserId::parse(user).expect("an id"),
            reason,
            rule: "",
            ip: "192.0.2.1".into(),
            service: "login".into(),
        }
    }

    fn counts(events: &[DueEvent]) -> Vec<(String, String)> {
        let mut counts = Vec::new();
        for due in events {
            let details = &due.event.details;
            counts.push((due.event.target.clone(), details["count"].clone()));
        }
        counts.sort();
        counts
    }

    #[test]
    fn the_first_refusal_is_an_event_and_the_rest_of_a_window_another() {
        let refusals = RefusedSignIns::default();
        let start = Instant::now();
        let first = refusals.count(refused("t", "u", "SESSION_LIMIT"), start);
        let first = first.expect("an event").event;
        assert_eq!(
            (first.action.as_str(), first.target.as_str()),
            ("session.refuse", "u")
        );
        assert_eq!(first.details["count"], "1");
        assert_eq!(first.details["ip"], "192.0.2.1");
        for _ in 0..7 {
            let merged = refusals.count(refused("t", "u", "SESSION_LIMIT"), start);
            assert!(merged.is_none());
        }
        // Each of these is another kind.
        assert!(
            refusals
                .count(refused("t", "u", "USER_DISABLED"), start)
                .is_some()
        );
        assert!(
            refusals
                .count(refused("t", "v", "SESSION_LIMIT"), start)
                .is_some()
        );
        assert!(
            refusals
                .count(refused("s", "u", "SESSION_LIMIT"), start)
                .is_some()
        );

        assert!(refusals.take_due(start + WINDOW / 2).is_empty());
        let due = refusals.take_due(start + WINDOW);
        assert_eq!(counts(&due), [("u".into(), "7".into())]);
        // Whoever goes on is merged again, and whoever stopped begins anew.
        assert!(
            refusals
                .count(refused("t", "u", "SESSION_LIMIT"), start + WINDOW)
                .is_none()
        );
        assert!(
            refusals
                .count(refused("t", "v", "SESSION_LIMIT"), start + WINDOW)
                .is_some()
        );
        let due = refusals.take_due(start + 2 * WINDOW);
        assert_eq!(counts(&due), [("u".into(), "1".into())]);
        refusals.take_due(start + 4 * WINDOW);
        assert!(refusals.lock().kinds.is_empty() && refusals.lock().of_tenants.is_empty());
    }

    #[test]
    fn many_users_of_a_tenant_are_merged_without_their_names() {
        let refusals = RefusedSignIns::default();
        let now = Instant::now();
        let mut events = Vec::new();
        for number in 0..TENANT_KINDS_MAX + 50 {
            events
                .extend(refusals.count(refused("t", &format!("u{number}"), "POLICY_FORBIDS"), now));
        }
        assert_eq!(events.len(), TENANT_KINDS_MAX + 1);
        let last = &events[TENANT_KINDS_MAX].event;
        assert_eq!((last.user_id.as_ref(), last.target.as_str()), (None, "t"));
        assert!(!last.details.contains_key("ip"));
        assert!(
            refusals
                .count(refused("other", "u", "POLICY_FORBIDS"), now)
                .is_some()
        );
        assert_eq!(counts(&refusals.take_all(now)), [("t".into(), "49".into())]);
    }

    #[test]
    fn refusals_of_an_erased_user_are_forgotten() {
        let refusals = RefusedSignIns::default();
        let now = Instant::now();
        for user in ["u", "v"] {
            for _ in 0..3 {
                refusals.count(refused("t", user, "USER_DISABLED"), now);
            }
        }
        let tenant = TenantId::parse("t").expect("an id");
        let user = UserId::parse("u").expect("an id");
        refusals.forget(&tenant, Some(&user));
        assert_eq!(counts(&refusals.take_all(now)), [("v".into(), "2".into())]);

        for tenant in ["t", "other"] {
            for _ in 0..3 {
                refusals.count(refused(tenant, "w", "USER_DISABLED"), now);
            }
        }
        refusals.forget(&tenant, None);
        assert_eq!(counts(&refusals.take_all(now)), [("w".into(), "2".into())]);
    }

    #[test]
    fn refusals_whose_event_was_not_stored_are_counted_again() {
        let refusals = RefusedSignIns::default();
        let now = Instant::now();
        let first = refusals.count(refused("t", "u", "USER_DISABLED"), now);
        refusals.put_back(first.into_iter().collect(), now);
        refusals.count(refused("t", "u", "USER_DISABLED"), now);
        let due = refusals.take_all(now);
        assert_eq!(counts(&due), [("u".into(), "2".into())]);
        // Also when the kind was forgotten meanwhile.
        refusals.take_all(now);
        refusals.put_back(due, now);
        assert_eq!(counts(&refusals.take_all(now)), [("u".into(), "2".into())]);
    }
}
