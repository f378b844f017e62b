use std::collections::HashSet;

use proptest::prelude::*;

use portcullis_contract::id::UserId;

use super::*;
use crate::domain::{Actor, Entry};

const BOUNDS: Bounds = Bounds {
    entries_max: 100_000,
    source_entries_max: 100_000,
    caller_targets_max: 1_000_000_000,
};

/// The targets of a batch in these tests.
const BATCH: usize = 64;

fn ticket(tenant: &str, targets: usize, revokes: bool) -> Ticket {
    Ticket {
        source: Source::Tenant(TenantId::parse(tenant).expect("a tenant id")),
        caller: format!("service:{tenant}"),
        targets,
        revokes,
    }
}

fn add<T>(queue: &mut FairQueue<T>, tenant: &str, targets: usize, value: T) {
    let evicted = queue
        .push(ticket(tenant, targets, true), value)
        .expect("there is room");
    assert!(evicted.is_none());
}

fn take<T>(queue: &mut FairQueue<T>) -> Vec<T> {
    queue.take(256, BATCH, |_| true)
}

#[test]
fn a_quiet_tenant_waits_for_one_batch_whatever_another_has_waiting() {
    let mut queue = FairQueue::new(BOUNDS);
    for _ in 0..64 {
        add(&mut queue, "noisy", 1_000, "noisy");
    }
    for round in 0..20 {
        add(&mut queue, "quiet", 1_000, "quiet");
        let batches = [take(&mut queue), take(&mut queue)];
        assert!(batches.contains(&vec!["quiet"]), "{round}: {batches:?}");
        assert!(batches.contains(&vec!["noisy"]), "{round}: {batches:?}");
    }
}

#[test]
fn a_quiet_tenant_is_in_the_next_batch_when_entries_are_small() {
    let mut queue = FairQueue::new(BOUNDS);
    for _ in 0..5_000 {
        add(&mut queue, "noisy", 1, "noisy");
    }
    take(&mut queue);
    add(&mut queue, "quiet", 1, "quiet");
    assert!(take(&mut queue).contains(&"quiet"));
}

#[test]
fn a_tenant_that_asks_again_and_again_does_not_starve_one_that_waits() {
    let mut queue = FairQueue::new(BOUNDS);
    for _ in 0..3 {
        add(&mut queue, "z", 1_000, "z");
    }
    let mut served = 0;
    // Always one entry, so that the tenant's queue is empty again and again.
    for _ in 0..2_000 {
        add(&mut queue, "a", 1, "a");
        served += queue
            .take(1, BATCH, |_| true)
            .iter()
            .filter(|name| **name == "z")
            .count();
    }
    assert_eq!(served, 3);
}

#[test]
fn revocations_of_a_tenant_go_first_and_other_changes_are_not_starved() {
    let mut queue = FairQueue::new(BOUNDS);
    let policy = ticket("t", 1, false);
    queue.push(policy, "policy").expect("there is room");
    let mut batches = 0;
    loop {
        add(&mut queue, "t", 1, "revocation");
        batches += 1;
        if queue.take(1, BATCH, |_| true) == ["policy"] {
            break;
        }
        assert!(batches < 2 * OLDEST_EVERY, "the policy starves");
    }
    assert!(batches > 1, "a revocation goes first");
}

#[test]
fn an_entry_is_large_from_seventeen_targets_on() {
    assert!(!ticket("t", 16, true).is_large());
    assert!(ticket("t", 17, true).is_large());
}

#[test]
fn a_revocation_goes_before_another_change_of_its_tenant() {
    let mut queue = FairQueue::new(BOUNDS);
    queue
        .push(ticket("t", 1, false), "policy")
        .expect("there is room");
    add(&mut queue, "t", 1, "revocation");
    assert_eq!(take(&mut queue), ["revocation", "policy"]);
}

#[test]
fn the_authority_neither_starves_nor_is_starved() {
    let mut queue = FairQueue::new(BOUNDS);
    let own = |targets| Ticket {
        source: Source::Authority,
        caller: "authority".into(),
        targets,
        revokes: false,
    };
    for _ in 0..100 {
        queue.push(own(60), "authority").expect("there is room");
        add(&mut queue, "t", 60, "tenant");
    }
    let served: Vec<_> = (0..20).flat_map(|_| take(&mut queue)).collect();
    let of = |name| served.iter().filter(|each| **each == name).count();
    assert_eq!((of("authority"), of("tenant")), (10, 10));
}

#[test]
fn who_fills_a_bound_is_who_is_refused() {
    let bounds = Bounds {
        entries_max: 10,
        source_entries_max: 8,
        caller_targets_max: 100,
    };
    let mut queue = FairQueue::new(bounds);
    for number in 0..8 {
        add(&mut queue, "a", 1, number);
    }
    assert_eq!(queue.push(ticket("a", 1, true), 8), Err(Full::Source));
    add(&mut queue, "b", 1, 20);
    add(&mut queue, "c", 1, 30);
    // The queue is full: the newest entry of the tenant with most of them makes room.
    assert_eq!(queue.push(ticket("b", 1, true), 21), Ok(Some(7)));
    assert_eq!(queue.push(ticket("a", 1, true), 7), Err(Full::Queue));
    assert_eq!(queue.len(), 10);

    let mut queue = FairQueue::new(bounds);
    add(&mut queue, "a", 1_000, 1);
    assert_eq!(queue.push(ticket("a", 1, true), 2), Err(Full::Caller));
    add(&mut queue, "b", 100, 3);
    assert_eq!(take(&mut queue).len(), 1);
    assert_eq!(take(&mut queue).len(), 1);
    add(&mut queue, "a", 1, 4);
}

#[test]
fn what_is_given_up_takes_no_place_in_a_batch() {
    let mut queue = FairQueue::new(BOUNDS);
    for number in 0..10 {
        add(&mut queue, "t", 1, number);
    }
    let even = queue.take(256, BATCH, |number| number % 2 == 0);
    assert_eq!(even, [0, 2, 4, 6, 8]);
    assert_eq!(queue.len(), 0);
    assert!(queue.callers.is_empty() && queue.turns.is_empty());
}

proptest! {
    #[test]
    fn nothing_is_lost_served_twice_or_beyond_its_bounds(
        steps in prop::collection::vec((0..5_u8, 1..200_usize, any::<bool>(), 0..3_u8), 1..300),
    ) {
        let bounds = Bounds { entries_max: 40, source_entries_max: 20, caller_targets_max: 1_500 };
        let mut queue = FairQueue::new(bounds);
        let (mut admitted, mut gone) = (HashSet::new(), HashSet::new());
        for (number, (tenant, targets, revokes, takes)) in steps.into_iter().enumerate() {
            let ticket = ticket(&format!("t{tenant}"), targets, revokes);
            if let Ok(evicted) = queue.push(ticket, (number, targets)) {
                admitted.insert(number);
                if let Some((evicted, _)) = evicted {
                    prop_assert!(gone.insert(evicted));
                }
            }
            prop_assert!(queue.len() <= bounds.entries_max);
            for _ in 0..takes {
                let batch = queue.take(8, BATCH, |_| true);
                prop_assert!(batch.len() <= 8);
                let sum: usize = batch.iter().map(|(_, targets)| targets).sum();
                prop_assert!(sum <= BATCH || batch.len() == 1);
                for (served, _) in batch {
                    prop_assert!(gone.insert(served));
                }
            }
        }
        while queue.len() > 0 {
            let batch = queue.take(8, BATCH, |_| true);
            prop_assert!(!batch.is_empty(), "a queue with entries gives a batch");
            for (served, _) in batch {
                prop_assert!(gone.insert(served));
            }
        }
        prop_assert_eq!(admitted, gone);
        prop_assert!(queue.sources.is_empty() && queue.turns.is_empty() && queue.callers.is_empty());
    }

    #[test]
    fn tenants_with_much_to_do_get_equal_shares(
        // An entry that is a large part of a batch may not fit beside another one of its kind.
        sizes in prop::collection::vec(1..BATCH / 8, 2..6),
    ) {
        let mut queue = FairQueue::new(BOUNDS);
        for (tenant, size) in sizes.iter().enumerate() {
            for _ in 0..2_000 {
                add(&mut queue, &format!("t{tenant}"), *size, (tenant, *size));
            }
        }
        let mut weights = vec![0_u64; sizes.len()];
        for _ in 0..40 {
            for (tenant, size) in take(&mut queue) {
                weights[tenant] += size as u64 + ENTRY_WEIGHT;
            }
        }
        let (least, most) = (weights.iter().min(), weights.iter().max());
        let (least, most) = (*least.expect("tenants"), *most.expect("tenants"));
        // A source may be ahead by its largest entry, and by what did not fit into the last batch.
        prop_assert!(most - least <= 3 * BATCH as u64, "{weights:?}");
    }
}

fn revoke_of(actor: Actor, cause: Cause) -> Entry {
    Entry {
        actor,
        ..Entry::internal(Mutation::RevokeSessions {
            tenant: TenantId::parse("acme").expect("a tenant id"),
            sessions: Vec::new(),
            owner: None,
            cause,
        })
    }
}

#[test]
fn what_the_sweep_ends_counts_for_the_authority_and_all_else_for_who_asked() {
    let acme = || Source::Tenant(TenantId::parse("acme").expect("a tenant id"));
    let source = |actor, cause| Ticket::of(&revoke_of(actor, cause)).source;
    assert_eq!(source(Actor::authority(), Cause::Idle), Source::Authority);
    assert_eq!(source(Actor::authority(), Cause::Policy), Source::Authority);
    assert_eq!(source(Actor::authority(), Cause::Administrator), acme());
    assert_eq!(source(Actor::service("app"), Cause::Idle), acme());
    assert_eq!(source(Actor::service("app"), Cause::Administrator), acme());

    let everyone = |actor| {
        let entry = Entry::internal(Mutation::SignOutEveryone);
        Ticket::of(&Entry { actor, ..entry }).source
    };
    assert_eq!(everyone(Actor::service("app")), Source::Installation);
    assert_eq!(everyone(Actor::authority()), Source::Authority);
}

#[test]
fn a_quota_is_of_the_service_or_of_a_user_of_one_tenant() {
    let ada = UserId::parse("ada").expect("a user id");
    let caller = |actor| Ticket::of(&revoke_of(actor, Cause::Administrator)).caller;
    assert_eq!(caller(Actor::service("app")), "service:app");
    let on_behalf = Actor::on_behalf("app", &ada, String::new());
    assert_eq!(caller(on_behalf), "service:app");
    assert_eq!(caller(Actor::user(&ada)), "user:ada acme");
    assert_eq!(caller(Actor::authority()), "authority acme");
    let provider = Actor::identity_provider("https://id.example");
    assert_eq!(caller(provider), "idp:https://id.example");
}

#[test]
fn each_bound_has_its_own_name_in_metrics() {
    let names = [Full::Queue, Full::Source, Full::Caller].map(Full::name);
    assert_eq!(names, ["log_queue", "log_tenant", "log_caller"]);
}

#[test]
fn a_caller_may_fill_its_bound_and_a_batch_its_size() {
    let bounds = Bounds {
        caller_targets_max: 10,
        ..BOUNDS
    };
    let mut queue = FairQueue::new(bounds);
    add(&mut queue, "a", 6, 1);
    add(&mut queue, "a", 4, 2);
    assert_eq!(queue.push(ticket("a", 1, true), 3), Err(Full::Caller));
    assert_eq!(queue.take(256, 10, |_| true), [1, 2]);
    add(&mut queue, "a", 6, 4);
    add(&mut queue, "a", 4, 5);
    assert_eq!(queue.take(256, 9, |_| true), [4]);
}

#[test]
fn a_source_that_rests_keeps_its_time_while_others_wait() {
    let mut queue = FairQueue::new(BOUNDS);
    add(&mut queue, "a", 1_000, "a");
    add(&mut queue, "b", 1, "b");
    assert_eq!(queue.take(1, BATCH, |_| true), ["a"]);
    assert_eq!(queue.resting.len(), 1, "it has had its share");
    assert_eq!(queue.take(1, BATCH, |_| true), ["b"]);
    assert!(queue.resting.is_empty(), "nobody waits");
}

#[test]
fn the_times_of_resting_sources_are_bounded_and_those_ahead_are_kept() {
    let mut queue = FairQueue::new(BOUNDS);
    let source = |number| ticket(&format!("t{number}"), 1, true).source;
    add(&mut queue, "waits", 1, "waits");
    queue.now = 100;
    for number in 0..RESTING_MAX {
        queue.rest(&source(number), 100);
    }
    assert_eq!(queue.resting.len(), RESTING_MAX);
    // All make room, because no source is ahead.
    queue.rest(&source(RESTING_MAX), 101);
    assert_eq!(queue.resting.len(), 1);
    for number in 0..RESTING_MAX - 1 {
        queue.rest(&source(number), 101);
    }
    queue.rest(&source(RESTING_MAX + 1), 200);
    assert_eq!(queue.resting.len(), RESTING_MAX, "all are ahead");
    assert!(!queue.resting.contains_key(&source(RESTING_MAX + 1)));
}

#[test]
fn two_sources_of_the_same_length_do_not_evict_each_other_in_turns() {
    let bounds = Bounds {
        entries_max: 3,
        ..BOUNDS
    };
    let mut queue = FairQueue::new(bounds);
    add(&mut queue, "a", 1, 1);
    add(&mut queue, "a", 1, 2);
    add(&mut queue, "b", 1, 3);
    // With its second entry it would have more than the other is left with.
    assert_eq!(queue.push(ticket("b", 1, true), 4), Err(Full::Queue));
    assert_eq!(queue.push(ticket("c", 1, true), 5), Ok(Some(2)));
}
