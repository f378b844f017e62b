//! What gates saw of sessions.

use std::time::Duration;

use portcullis_authority::{
    domain::{LastUse, MovedSession, Policy, Session, SessionActivity, findings::OLD_SESSION_AGE},
    store::Store,
};
use portcullis_contract::id::SessionId;
use portcullis_tests::{
    calls::open,
    given::{sign_in, tenant},
    place::Place,
    rows::{Use, query, set_policy, usage},
    wait::eventually,
};
use tokio::task::JoinSet;

use crate::Engine;

fn seen(session: &Session, requests: u64, age: u64) -> SessionActivity {
    SessionActivity {
        tenant_id: session.tenant_id.clone(),
        session_id: session.id,
        requests,
        age: Duration::from_secs(age),
        ip: "10.0.0.1".into(),
        page: "/page".into(),
    }
}

async fn record(store: &dyn Store, activities: &[SessionActivity]) -> Vec<MovedSession> {
    let recorded = async || match store.record_activity(activities).await {
        Ok(moved) => Some(moved),
        Err(error) => {
            assert!(error.is_retryable(), "{error}");
            None
        }
    };
    eventually("the report is recorded", recorded).await
}

/// A session that was opened long ago.
async fn old_session(place: &Place, store: &dyn Store, tenant: &str, user: &str) -> Session {
    let session = open(store, &sign_in(tenant, user)).await;
    query(place, "UPDATE sessions SET active_us = 0", &[]).await;
    session
}

async fn requests_add_up_and_the_newest_counts(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let session = old_session(&place, &*store, "t", "u").await;
    record(&*store, &[seen(&session, 3, 100)]).await;
    let first = usage(&place, &session).await;
    assert_eq!((first.actions, first.ip.as_str()), (3, "10.0.0.1"));
    assert!(
        first.active_us > 0 && first.active_us < session.created.0,
        "it was 100 s ago: {first:?}"
    );

    let older = SessionActivity {
        ip: "10.0.0.2".into(),
        ..seen(&session, 2, 1_000)
    };
    record(&*store, &[older]).await;
    assert_eq!(
        usage(&place, &session).await,
        Use {
            actions: 5,
            ..first.clone()
        },
        "nothing moves back"
    );

    let newer = SessionActivity {
        ip: String::new(),
        ..seen(&session, 1, 0)
    };
    record(&*store, &[newer]).await;
    let last = usage(&place, &session).await;
    assert!(last.active_us >= session.created.0);
    assert_eq!(
        (last.actions, last.ip.as_str()),
        (6, "10.0.0.1"),
        "an address that is not known is no address"
    );
    assert_eq!(last.due_us, first.due_us);
}

async fn a_session_that_moves_is_reported_once_with_its_previous_place(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let (session, other) = (
        open(&*store, &sign_in("t", "u")).await,
        open(&*store, &sign_in("t", "v")).await,
    );
    let from = |session: &Session, ip: &str| SessionActivity {
        ip: ip.into(),
        ..seen(session, 1, 0)
    };
    let stranger = SessionActivity {
        session_id: SessionId::generate(),
        ..from(&other, "10.0.0.9")
    };
    let moved = record(
        &*store,
        &[from(&session, "10.0.0.7"), from(&other, ""), stranger],
    )
    .await;
    let [told] = &moved[..] else {
        panic!("{moved:?}")
    };
    assert_eq!(
        (told.id, told.user_id.as_str(), told.created),
        (session.id, "u", session.created)
    );
    assert_eq!(
        told.before,
        LastUse {
            at: session.created,
            ip: String::new()
        }
    );
    assert_eq!(told.after.ip, "10.0.0.7");
    assert!(told.after.at > session.created);

    assert_eq!(
        record(&*store, &[from(&session, "10.0.0.7")]).await,
        [],
        "it is where it was"
    );
    let late = SessionActivity {
        age: Duration::from_secs(50),
        ..from(&session, "10.0.0.8")
    };
    assert_eq!(record(&*store, &[late]).await, [], "that was before");
    // SQLite's clock counts milliseconds: what came at the same time moves nothing.
    tokio::time::sleep(Duration::from_millis(5)).await;
    let moved = record(&*store, &[from(&session, "10.0.0.8")]).await;
    assert_eq!(
        moved
            .iter()
            .map(|told| told.before.ip.as_str())
            .collect::<Vec<_>>(),
        ["10.0.0.7"]
    );
}

async fn a_session_is_told_when_it_is_used_at_a_great_age_for_the_first_time(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let session = open(&*store, &sign_in("t", "u")).await;
    let long = i64::try_from(OLD_SESSION_AGE.as_micros()).expect("small") + 1_000_000;
    let back = "UPDATE sessions SET created_us = created_us - $1, active_us = active_us - $1";
    query(&place, back, &[long.into()]).await;
    let unmoved = SessionActivity {
        ip: String::new(),
        ..seen(&session, 1, 0)
    };
    let moved = record(&*store, std::slice::from_ref(&unmoved)).await;
    assert_eq!(moved.len(), 1);
    assert!(
        moved[0].after.at.since(moved[0].created) > OLD_SESSION_AGE
            && moved[0].before.at == moved[0].created
    );
    assert_eq!(record(&*store, &[unmoved]).await, []);
}

async fn sessions_that_are_not_there_are_ignored_and_of_others_nothing_changes(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let mut sessions = Vec::new();
    for (tenant, user) in [("t", "u"), ("t", "v"), ("s", "u")] {
        sessions.push(open(&*store, &sign_in(tenant, user)).await);
    }
    let untouched = usage(&place, &sessions[1]).await;
    let unknown = SessionActivity {
        session_id: SessionId::generate(),
        ..seen(&sessions[0], 9, 0)
    };
    let elsewhere = SessionActivity {
        tenant_id: tenant("s"),
        ..seen(&sessions[1], 9, 0)
    };
    record(
        &*store,
        &[
            seen(&sessions[0], 1, 0),
            seen(&sessions[2], 2, 0),
            unknown,
            elsewhere,
        ],
    )
    .await;
    assert_eq!(usage(&place, &sessions[0]).await.actions, 1);
    assert_eq!(usage(&place, &sessions[1]).await, untouched);
    assert_eq!(usage(&place, &sessions[2]).await.actions, 2);
    record(&*store, &[]).await;
}

async fn texts_of_a_report_come_back_as_they_were(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let texts = [
        "'; DROP TABLE sessions; --",
        "\"q\\u0041\" \\",
        "00",
        "123",
        "null",
        "日本語 🦀",
        "$1 %s",
    ];
    for text in texts {
        set_policy(
            &place,
            text,
            &Policy {
                keep_last_page: true,
                ..Policy::default()
            },
        )
        .await;
        let session = old_session(&place, &*store, text, "u").await;
        record(
            &*store,
            &[SessionActivity {
                page: text.into(),
                ..seen(&session, 1, 0)
            }],
        )
        .await;
        let kept = usage(&place, &session).await;
        assert_eq!((kept.actions, kept.page.as_str()), (1, text));
    }
}

async fn the_last_page_is_kept_where_the_policy_says_so_and_goes_when_it_does_not_any_more(
    engine: Engine,
) {
    let place = engine.place().await;
    let store = place.store().await;
    let keeping = Policy {
        keep_last_page: true,
        ..Policy::default()
    };
    set_policy(&place, "keeps", &keeping).await;
    set_policy(&place, "does not", &Policy::default()).await;
    for (tenant, page) in [("keeps", "/page"), ("does not", ""), ("has none", "")] {
        let session = old_session(&place, &*store, tenant, "u").await;
        record(&*store, &[seen(&session, 1, 0)]).await;
        assert_eq!(usage(&place, &session).await.page, page, "{tenant}");
        let without = SessionActivity {
            page: String::new(),
            ..seen(&session, 1, 0)
        };
        record(&*store, &[without]).await;
        assert_eq!(usage(&place, &session).await.page, page, "{tenant}");
        set_policy(&place, tenant, &Policy::default()).await;
        record(&*store, &[seen(&session, 1, 0)]).await;
        assert_eq!(usage(&place, &session).await.page, "", "{tenant}");
    }
}

async fn reports_at_once_lose_nothing(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let mut sessions = Vec::new();
    for number in 0..40 {
        sessions.push(open(&*store, &sign_in("t", &format!("u{number}"))).await);
    }
    let mut reports = JoinSet::new();
    for seed in 0..4 {
        let (store, faults) = place.faulty_store().await;
        faults.shuffle(seed);
        let activities: Vec<_> = sessions.iter().map(|session| seen(session, 1, 0)).collect();
        reports.spawn(async move {
            for _ in 0..5 {
                record(&*store, &activities).await;
            }
        });
    }
    reports.join_all().await;
    for session in &sessions {
        assert_eq!(usage(&place, session).await.actions, 20);
    }
}

async fn a_report_is_one_statement_on_postgresql_and_looks_up_each_session_by_its_key(
    engine: Engine,
) {
    let place = engine.place().await;
    let (store, plans) = place.planned_store().await;
    let session = open(&*store, &sign_in("t", "u")).await;
    drop(plans.take());
    record(&*store, &[seen(&session, 1, 0)]).await;
    let statements = plans.take();
    let of_sqlite = place.engine().await.dialect().group_max == 1;
    assert_eq!(
        statements.len(),
        if of_sqlite { 2 } else { 1 },
        "{statements:?}"
    );
    for (_, plan) in statements {
        let by_key = [
            "sessions_pkey on sessions",
            "SEARCH sessions USING PRIMARY KEY",
            "SEARCH s USING PRIMARY KEY",
        ];
        assert!(by_key.iter().any(|by_key| plan.contains(by_key)), "{plan}");
        let whole = ["Seq Scan", "SCAN sessions", "SCAN s", "SCAN p"];
        assert!(!whole.iter().any(|whole| plan.contains(whole)), "{plan}");
    }
}

crate::on_every_engine! {
    requests_add_up_and_the_newest_counts,
    a_session_that_moves_is_reported_once_with_its_previous_place,
    a_session_is_told_when_it_is_used_at_a_great_age_for_the_first_time,
    sessions_that_are_not_there_are_ignored_and_of_others_nothing_changes,
    texts_of_a_report_come_back_as_they_were,
    the_last_page_is_kept_where_the_policy_says_so_and_goes_when_it_does_not_any_more,
    reports_at_once_lose_nothing,
    a_report_is_one_statement_on_postgresql_and_looks_up_each_session_by_its_key,
}
