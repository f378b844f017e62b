//! Which sessions the sweep looks at, and when.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use portcullis_authority::{
    domain::{Micros, Policy, Session, SignIn, policy::UserOverride},
    store::{Schedule, Store},
};
use portcullis_contract::id::SessionId;
use portcullis_tests::{
    calls::{apply, open},
    given::{revoke, sign_in, sign_out, tenant, user},
    rows::{make_due, query, set_policy, usage},
};

use crate::Engine;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MINUTE: Duration = Duration::from_secs(60);

fn schedule(session: &Session, due: Option<i64>, unless_changed: Option<i64>) -> Schedule {
    Schedule {
        tenant_id: session.tenant_id.clone(),
        session_id: session.id,
        due: due.map(Micros),
        unless_changed: unless_changed.map(Micros),
    }
}

async fn due(store: &dyn Store, limit: u32) -> Vec<SessionId> {
    let due = store.due_sessions(limit).await.expect("sessions");
    due.sessions.iter().map(|session| session.id).collect()
}

async fn a_session_that_may_become_idle_before_it_expires_is_due_then(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let mut new = sign_in("t", "u");
    (new.lifetime, new.idle_timeout) = (30 * DAY, Some(7 * DAY));
    let long = open(&*store, &new).await;
    let kept = usage(&place, &long).await;
    assert_eq!(kept.active_us, long.created.0);
    assert_eq!(kept.due_us, Some(long.created.after(7 * DAY).0));
    let short = SignIn {
        idle_timeout: Some(7 * DAY),
        ..sign_in("t", "u")
    };
    let short = open(&*store, &short).await;
    assert_eq!(
        usage(&place, &short).await.due_us,
        None,
        "it expires before"
    );
}

async fn due_sessions_come_in_order_with_their_facts(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let mut sessions = Vec::new();
    for (tenant, user) in [("t", "u"), ("s", "v"), ("t", "w"), ("t", "x")] {
        sessions.push(open(&*store, &sign_in(tenant, user)).await);
    }
    assert!(due(&*store, 9).await.is_empty());
    let later = [
        schedule(&sessions[0], Some(3), None),
        schedule(&sessions[1], Some(1), None),
    ];
    store.reschedule(&later).await.expect("set");
    store
        .reschedule(&[schedule(&sessions[2], Some(2), None)])
        .await
        .expect("set");
    store
        .reschedule(&[schedule(&sessions[3], Some(i64::MAX), None)])
        .await
        .expect("set");
    assert_eq!(
        due(&*store, 9).await,
        [sessions[1].id, sessions[2].id, sessions[0].id]
    );
    assert_eq!(due(&*store, 2).await, [sessions[1].id, sessions[2].id]);

    let policy = Policy {
        keep_last_page: true,
        ..Policy::default()
    };
    set_policy(&place, "t", &policy).await;
    apply(&*store, revoke(&[&sessions[2]])).await;
    apply(&*store, sign_out("s", &["v"])).await;
    let found = store.due_sessions(9).await.expect("sessions");
    let ended: Vec<_> = found.sessions.iter().map(|session| session.ended).collect();
    assert_eq!(ended, [true, true, false], "by a cutoff, by itself, not");
    let last = &found.sessions[2];
    assert_eq!(
        (&last.tenant_id, &last.user_id),
        (&sessions[0].tenant_id, &sessions[0].user_id)
    );
    assert_eq!(
        (last.created, last.expires, last.due),
        (sessions[0].created, sessions[0].expires, Some(Micros(3)))
    );
    assert_eq!(found.policies.len(), 1);
    assert_eq!(found.policies[&tenant("t")].as_ref(), Some(&policy));
    assert!(found.now >= sessions[3].created);
}

async fn a_time_that_someone_else_has_set_stays(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let session = open(&*store, &sign_in("t", "u")).await;
    make_due(&place, &session).await;
    store
        .reschedule(&[schedule(&session, Some(5), Some(2))])
        .await
        .expect("set");
    assert_eq!(
        usage(&place, &session).await.due_us,
        Some(1),
        "it was not 2"
    );
    store
        .reschedule(&[schedule(&session, Some(5), Some(1))])
        .await
        .expect("set");
    assert_eq!(usage(&place, &session).await.due_us, Some(5));
    store
        .reschedule(&[schedule(&session, None, None)])
        .await
        .expect("set");
    assert_eq!(usage(&place, &session).await.due_us, None);
    store
        .reschedule(&[schedule(&session, Some(5), Some(1))])
        .await
        .expect("set");
    assert_eq!(usage(&place, &session).await.due_us, None);
}

async fn only_an_absence_is_one(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let first = store.record_heartbeat(MINUTE).await.expect("heard");
    assert!(first > Micros(0), "nobody was there before");
    assert_eq!(store.record_heartbeat(MINUTE).await.expect("heard"), first);
    assert_eq!(
        place
            .store()
            .await
            .record_heartbeat(MINUTE)
            .await
            .expect("heard"),
        first
    );
    query(
        &place,
        "UPDATE installation SET heard_us = heard_us - 30000000",
        &[],
    )
    .await;
    assert_eq!(store.record_heartbeat(MINUTE).await.expect("heard"), first);
    query(
        &place,
        "UPDATE installation SET heard_us = heard_us - 61000000",
        &[],
    )
    .await;
    // SQLite counts milliseconds, and its files may be in memory.
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert!(store.record_heartbeat(MINUTE).await.expect("heard") > first);
}

async fn a_walk_sees_every_session_of_the_tenant_once(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let mut sessions = Vec::new();
    for number in 0..7 {
        sessions.push(open(&*store, &sign_in("t", &format!("u{number}"))).await.id);
        open(&*store, &sign_in("s", "u")).await;
    }
    assert!(
        store
            .policy_walk(None, 3)
            .await
            .expect("an answer")
            .is_none(),
        "no policy has changed"
    );
    set_policy(&place, "t", &Policy::default()).await;
    let mut seen = Vec::new();
    while let Some(walk) = store.policy_walk(None, 3).await.expect("an answer") {
        assert_eq!(
            (walk.tenant_id.as_str(), walk.policy.as_ref()),
            ("t", Some(&Policy::default()))
        );
        seen.extend(walk.sessions.iter().map(|session| session.id));
        let next = (walk.sessions.len() == 3).then(|| walk.sessions[2].id);
        assert!(
            store
                .advance_walk(&walk, next, &[])
                .await
                .expect("an answer")
        );
        assert!(seen.len() <= sessions.len(), "it does not end");
    }
    assert_eq!(seen, sessions);
}

async fn the_walk_marks_the_oldest_sessions_above_the_limit(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let mut policy = Policy::default();
    (
        policy.limits.sessions_max,
        policy.limits.remember_me_allowed,
    ) = (Some(2), false);
    let stricter = UserOverride {
        sessions_max: Some(1),
        ..UserOverride::default()
    };
    policy.user_overrides.insert(user("strict"), stricter);
    let mut opened = HashMap::new();
    for (name, count) in [("few", 2), ("many", 4), ("strict", 2), ("ended", 3)] {
        for _ in 0..count {
            opened
                .entry(name)
                .or_insert_with(Vec::new)
                .push(open(&*store, &sign_in("t", name)).await);
        }
    }
    // Who stays when another ends anyhow is not one too many.
    for remember_me in [false, false, true] {
        open(
            &*store,
            &SignIn {
                remember_me,
                ..sign_in("t", "mixed")
            },
        )
        .await;
    }
    // Of another tenant: as many as they like.
    open(&*store, &sign_in("s", "few")).await;
    apply(&*store, revoke(&[&opened["ended"][2]])).await;
    set_policy(&place, "t", &policy).await;
    let mut surplus = HashSet::new();
    while let Some(walk) = store.policy_walk(None, 3).await.expect("an answer") {
        surplus.extend(
            walk.sessions
                .iter()
                .filter(|session| session.surplus)
                .map(|session| session.id),
        );
        let next = (walk.sessions.len() == 3).then(|| walk.sessions[2].id);
        assert!(
            store
                .advance_walk(&walk, next, &[])
                .await
                .expect("an answer")
        );
    }
    let oldest = [&opened["many"][0], &opened["many"][1], &opened["strict"][0]];
    assert_eq!(surplus, oldest.map(|session| session.id).into());
}

async fn a_policy_is_tried_on_active_sessions_and_changes_nothing(engine: Engine) {
    let place = engine.place().await;
    let (store, plans) = place.planned_store().await;
    let mut opened = Vec::new();
    for name in ["few", "many", "many", "many"] {
        opened.push(open(&*store, &sign_in("t", name)).await);
    }
    let ended = open(&*store, &sign_in("t", "ended")).await;
    apply(&*store, revoke(&[&ended])).await;
    let cut = open(&*store, &sign_in("t", "cut")).await;
    apply(&*store, sign_out("t", &["cut"])).await;
    open(&*store, &sign_in("s", "many")).await;
    let mut policy = Policy::default();
    policy.limits.sessions_max = Some(2);

    drop(plans.take());
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let step = store.sessions_under(&tenant("t"), &policy, before, 3).await;
        let step = step.expect("sessions");
        assert!(step.now >= cut.created || step.sessions.is_empty());
        before = step.sessions.last().map(|session| session.id);
        seen.extend(
            step.sessions
                .iter()
                .map(|session| (session.id, session.surplus)),
        );
        if step.sessions.len() < 3 {
            break;
        }
    }
    let expected: Vec<_> = opened
        .iter()
        .enumerate()
        .rev()
        .map(|(index, session)| (session.id, index == 1))
        .collect();
    assert_eq!(
        seen, expected,
        "newest first, and the oldest of many is too much"
    );
    let no_policy = store.policy(&tenant("t")).await.expect("an answer");
    assert!(no_policy.is_none());
    for (sql, plan) in &plans.take() {
        let is_scan = ["Seq Scan", "SCAN sessions"]
            .iter()
            .any(|whole| plan.contains(whole));
        assert!(!is_scan, "{sql}\n{plan}");
    }
}

async fn a_walk_gives_way_to_a_newer_policy(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let session = open(&*store, &sign_in("t", "u")).await;
    set_policy(&place, "t", &Policy::default()).await;
    let older = store
        .policy_walk(None, 3)
        .await
        .expect("an answer")
        .expect("a walk");
    set_policy(
        &place,
        "t",
        &Policy {
            keep_last_page: true,
            ..Policy::default()
        },
    )
    .await;
    let schedules = [schedule(&session, Some(7), None)];
    assert!(
        !store
            .advance_walk(&older, None, &schedules)
            .await
            .expect("an answer")
    );
    assert_eq!(
        usage(&place, &session).await.due_us,
        None,
        "nothing was done"
    );

    let newer = store
        .policy_walk(None, 3)
        .await
        .expect("an answer")
        .expect("it is walked from the start");
    assert_eq!(
        (
            newer.sessions.len(),
            newer
                .policy
                .as_ref()
                .is_some_and(|policy| policy.keep_last_page)
        ),
        (1, true)
    );
    assert!(
        store
            .advance_walk(&newer, None, &schedules)
            .await
            .expect("an answer")
    );
    assert_eq!(usage(&place, &session).await.due_us, Some(7));
    assert!(
        store
            .policy_walk(None, 3)
            .await
            .expect("an answer")
            .is_none()
    );
    assert!(
        !store
            .advance_walk(&newer, None, &[])
            .await
            .expect("an answer"),
        "it has ended"
    );
}

async fn the_walk_skips_a_policy_of_a_later_version(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let session = open(&*store, &sign_in("t", "u")).await;
    for tenant in ["s", "t"] {
        set_policy(&place, tenant, &Policy::default()).await;
    }
    query(
        &place,
        "UPDATE policies SET policy = '{\"moon_phase\": 1}' WHERE tenant_id = 's'",
        &[],
    )
    .await;
    let unknown = store
        .policy_walk(None, 3)
        .await
        .expect("an answer")
        .expect("a walk");
    assert_eq!((unknown.tenant_id.as_str(), &unknown.policy), ("s", &None));
    let next = store
        .policy_walk(Some(&unknown.tenant_id), 3)
        .await
        .expect("an answer")
        .expect("a walk");
    assert_eq!(next.tenant_id.as_str(), "t");
    query(
        &place,
        "UPDATE policies SET policy = '{\"moon_phase\": 1}'",
        &[],
    )
    .await;
    make_due(&place, &session).await;
    assert_eq!(
        store.due_sessions(3).await.expect("sessions").policies[&tenant("t")],
        None
    );
}

async fn the_sweep_reads_by_index_and_no_more_than_it_asks_for(engine: Engine) {
    let place = engine.place().await;
    let (store, plans) = place.planned_store().await;
    let session = open(&*store, &sign_in("t", "u")).await;
    set_policy(&place, "t", &Policy::default()).await;
    make_due(&place, &session).await;
    drop(plans.take());
    store.due_sessions(10).await.expect("sessions");
    let walk = store
        .policy_walk(None, 10)
        .await
        .expect("an answer")
        .expect("a walk");
    store
        .advance_walk(&walk, None, &[schedule(&session, Some(9), Some(1))])
        .await
        .expect("an answer");
    let asked = plans.take();
    assert_eq!(asked.len(), 6);
    for (sql, plan) in &asked {
        assert!(
            !["Seq Scan", "SCAN p", "SCAN sessions"]
                .iter()
                .any(|whole| plan.contains(whole)),
            "{sql}\n{plan}"
        );
    }
    let plans: String = asked.into_iter().map(|(_, plan)| plan).collect();
    for index in ["sessions_due", "policies_to_sweep"] {
        assert!(plans.contains(index), "{index}: {plans}");
    }
    assert!(!plans.contains("sessions_by_user"), "{plans}");
}

crate::on_every_engine! {
    a_session_that_may_become_idle_before_it_expires_is_due_then,
    due_sessions_come_in_order_with_their_facts,
    a_time_that_someone_else_has_set_stays,
    only_an_absence_is_one,
    a_walk_sees_every_session_of_the_tenant_once,
    the_walk_marks_the_oldest_sessions_above_the_limit,
    a_policy_is_tried_on_active_sessions_and_changes_nothing,
    a_walk_gives_way_to_a_newer_policy,
    the_walk_skips_a_policy_of_a_later_version,
    the_sweep_reads_by_index_and_no_more_than_it_asks_for,
}
