//! Lists of audit events, and rows that stay as they are.

use std::{sync::Arc, time::Duration};

use portcullis_authority::{
    domain::{Actor, AuditEvent, AuditFilter, Entry, Micros, Mutation, TrailPosition},
    store::{Store, sql::SqlStore},
};
use portcullis_contract::position::Revision;
use portcullis_tests::{
    audit::{defer, everything, list},
    calls::{append, apply, open},
    given::{
        disable, enable, entry, key, record, revoke, sign_in, sign_out, sign_out_tenant, tenant,
        user,
    },
    plans,
};

use crate::Engine;

/// What was done to what, and whom it concerns.
fn said(events: &[AuditEvent]) -> Vec<(&str, &str, &str)> {
    events
        .iter()
        .map(|event| {
            (
                event.action.as_str(),
                event.target.as_str(),
                event.user_id.as_str(),
            )
        })
        .collect()
}

async fn an_event_names_actor_action_target_time_and_reason(engine: Engine) {
    let store = engine.place().await.store().await;
    let opened = open(&*store, &sign_in("t", "u")).await;
    let revoking = Entry {
        actor: Actor::on_behalf("shop", &user("boss"), "192.0.2.1".into()),
        reason: "lost phone".into(),
        user_message: "ended by support".into(),
        ..revoke(&[&opened])
    };
    let revision = apply(&*store, revoking.clone()).await.revision;
    let events = list(&*store, &everything("t")).await;
    let [event] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(
        (event.position.event, event.position.ordinal),
        (revoking.event_id, 0)
    );
    assert!(event.position.at >= opened.created);
    assert_eq!(
        said(&events),
        [("session.revoke", opened.id.to_string().as_str(), "u")]
    );
    assert_eq!(event.actor, revoking.actor);
    assert_eq!(
        (event.reason.as_str(), event.user_message.as_str()),
        ("lost phone", "ended by support")
    );
    assert_eq!((event.tenant_id.as_str(), event.revision), ("t", revision));
    assert!(event.details.is_empty());
}

async fn each_row_says_whom_it_concerns(engine: Engine) {
    let store = engine.place().await.store().await;
    let (one, two) = (
        open(&*store, &sign_in("t", "u")).await,
        open(&*store, &sign_in("t", "v")).await,
    );
    apply(&*store, revoke(&[&one, &two])).await;
    for each in [
        sign_out("t", &["u", "v"]),
        disable("t", "u"),
        enable("t", "u"),
        sign_out_tenant("t"),
    ] {
        apply(&*store, each).await;
    }
    apply(&*store, entry(Mutation::TrustKey(key(Duration::ZERO)))).await;
    let events = list(&*store, &everything("t")).await;
    let (one, two) = (one.id.to_string(), two.id.to_string());
    let mut revoked = [
        ("session.revoke", one.as_str(), "u"),
        ("session.revoke", two.as_str(), "v"),
    ];
    let said = said(&events);
    let rest = [
        ("tenant.sign_out", "", ""),
        ("user.enable", "u", "u"),
        ("user.disable", "u", "u"),
        ("user.sign_out", "v", "v"),
    ];
    assert_eq!(said[..4], rest);
    assert_eq!(said[4], ("user.sign_out", "u", "u"));
    let mut last = said[5..].to_vec();
    last.sort_unstable();
    revoked.sort_unstable();
    assert_eq!(last, revoked, "each session with its own user");
}

/// Two tenants, several users, actors and actions; the events of `t`, newest first.
async fn story(store: &dyn Store) -> Vec<AuditEvent> {
    let by = |actor: Actor, entry: Entry| Entry { actor, ..entry };
    let (boss, shop) = (
        Actor::on_behalf("shop", &user("boss"), String::new()),
        Actor::service("shop"),
    );
    for round in 0..3 {
        let sessions = [
            open(store, &sign_in("t", "u")).await,
            open(store, &sign_in("t", "v")).await,
        ];
        let batch = [
            by(boss.clone(), revoke(&[&sessions[0], &sessions[1]])),
            by(shop.clone(), sign_out("t", &["u", &format!("w{round}")])),
            by(boss.clone(), disable("other", "u")),
        ];
        append(store, &batch).await;
        apply(store, by(shop.clone(), disable("t", "v"))).await;
        apply(store, by(boss.clone(), enable("t", "v"))).await;
    }
    list(store, &everything("t")).await
}

#[expect(clippy::too_many_lines, reason = "a table, one case a row")]
async fn a_list_has_the_events_of_its_filter_newest_first(engine: Engine) {
    let store = engine.place().await.store().await;
    let all = story(&*store).await;
    assert_eq!(all.len(), 3 * 6);
    let key = |event: &AuditEvent| {
        (
            event.position.at,
            event.position.event.to_bytes(),
            event.position.ordinal,
        )
    };
    assert!(all.windows(2).all(|pair| key(&pair[0]) > key(&pair[1])));
    let any = everything("t");
    let middle = all[9].position.at;
    type Belongs = fn(&AuditEvent, Micros) -> bool;
    let cases: [(AuditFilter, Belongs); 7] = [
        (
            AuditFilter {
                actor: Some("user:boss".into()),
                ..any.clone()
            },
            |event, _| event.actor.name == "user:boss",
        ),
        (
            AuditFilter {
                user_id: Some(user("v")),
                ..any.clone()
            },
            |event, _| event.user_id == "v",
        ),
        (
            AuditFilter {
                action: Some("user.sign_out".into()),
                ..any.clone()
            },
            |event, _| event.action == "user.sign_out",
        ),
        (
            AuditFilter {
                after: Some(middle),
                ..any.clone()
            },
            |event, middle| event.position.at >= middle,
        ),
        (
            AuditFilter {
                before: Some(middle),
                ..any.clone()
            },
            |event, middle| event.position.at < middle,
        ),
        (
            AuditFilter {
                after: Some(middle),
                before: Some(Micros(middle.0 + 1)),
                ..any.clone()
            },
            |event, middle| event.position.at == middle,
        ),
        (
            AuditFilter {
                actor: Some("service:shop".into()),
                user_id: Some(user("v")),
                ..any.clone()
            },
            |event, _| event.actor.name == "service:shop" && event.user_id == "v",
        ),
    ];
    for (filter, belongs) in cases {
        let expected: Vec<_> = all
            .iter()
            .filter(|event| belongs(event, middle))
            .cloned()
            .collect();
        assert!(
            !expected.is_empty() && expected.len() < all.len(),
            "{filter:?} tells events apart"
        );
        assert_eq!(list(&*store, &filter).await, expected, "{filter:?}");
    }
    for nothing in [
        AuditFilter {
            tenant_id: Some(tenant("nowhere")),
            ..any.clone()
        },
        AuditFilter {
            tenant_id: None,
            ..any.clone()
        },
        AuditFilter {
            actor: Some("user:boss'--".into()),
            ..any.clone()
        },
        AuditFilter {
            before: Some(Micros(0)),
            ..any.clone()
        },
        AuditFilter {
            after: Some(Micros(i64::MAX)),
            ..any
        },
    ] {
        assert!(list(&*store, &nothing).await.is_empty(), "{nothing:?}");
    }
}

async fn pages_have_each_event_once_while_others_are_added(engine: Engine) {
    let store = engine.place().await.store().await;
    let all = story(&*store).await;
    for filter in [
        everything("t"),
        AuditFilter {
            action: Some("session.revoke".into()),
            ..everything("t")
        },
    ] {
        let expected = list(&*store, &filter).await;
        let (mut pages, mut below) = (Vec::new(), None);
        loop {
            let page = store
                .list_audit_events(&filter, below, 2)
                .await
                .expect("a page");
            let Some(last) = page.last() else { break };
            below = Some(last.position);
            pages.extend(page);
            apply(&*store, sign_out("t", &["new"])).await;
        }
        assert_eq!(pages, expected);
    }
    assert!(
        all.windows(2)
            .any(|pair| pair[0].position.event == pair[1].position.event),
        "pages end within an entry"
    );
}

async fn every_list_is_read_from_an_index_in_its_order(engine: Engine) {
    let (engine, plans) = plans::wrap(engine.place().await.engine().await);
    let store = SqlStore::open(Arc::clone(&engine)).await.expect("opens");
    let store: Arc<dyn Store> = Arc::new(store);
    story(&*store).await;
    defer(&engine, "t", "u").await;
    store.has_pending_events().await.expect("an answer");
    apply(&*store, record()).await;
    let any = everything("t");
    let filters = [
        ("tenant", any.clone()),
        (
            "tenant",
            AuditFilter {
                after: Some(Micros(1)),
                before: Some(Micros(2)),
                ..any.clone()
            },
        ),
        (
            "actor",
            AuditFilter {
                actor: Some("user:boss".into()),
                ..any.clone()
            },
        ),
        (
            "user",
            AuditFilter {
                user_id: Some(user("v")),
                ..any.clone()
            },
        ),
        (
            "action",
            AuditFilter {
                action: Some("user.sign_out".into()),
                ..any.clone()
            },
        ),
    ];
    let outbox = plans
        .take()
        .into_iter()
        .filter(|(sql, _)| sql.contains("audit_outbox"));
    for (sql, plan) in outbox.filter(|(sql, _)| !sql.starts_with("INSERT")) {
        assert!(!plan.contains("Seq Scan"), "{sql}\n{plan}");
    }
    let somewhere = list(&*store, &any).await[3].position;
    drop(plans.take());
    for (index, filter) in filters {
        for below in [None, Some(somewhere)] {
            store
                .list_audit_events(&filter, below, 2)
                .await
                .expect("a page");
        }
        for (sql, plan) in plans.take() {
            assert!(
                plan.contains(&format!("audit_events_by_{index}")),
                "{sql}\n{plan}"
            );
            assert!(
                !plan.contains("Sort") && !plan.contains("B-TREE"),
                "{sql}\n{plan}"
            );
        }
    }
    store
        .verify_audit_trail(Revision(0), 100)
        .await
        .expect("an answer")
        .expect("from the beginning");
    for (sql, plan) in plans.take() {
        let whole = [
            "Seq Scan on audit_events",
            "Seq Scan on log_batches",
            "SCAN audit_events",
            "SCAN log_batches",
        ];
        assert!(
            whole.iter().all(|scan| !plan.contains(scan)),
            "{sql}\n{plan}"
        );
    }
}

async fn audit_rows_can_be_neither_changed_nor_deleted(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    apply(&*store, sign_out("t", &["u"])).await;
    let before = list(&*store, &everything("t")).await;
    for sql in [
        "UPDATE audit_events SET reason = 'another'",
        "DELETE FROM audit_events",
    ] {
        let refused = place.execute(sql).await.expect_err(sql);
        assert!(
            refused.contains("audit rows stay as they are"),
            "{sql}: {refused}"
        );
    }
    if !place.has_one_writer() {
        let refused = place
            .execute("TRUNCATE audit_events")
            .await
            .expect_err("TRUNCATE");
        assert!(refused.contains("audit rows stay as they are"), "{refused}");
    }
    assert_eq!(list(&*store, &everything("t")).await, before);
    assert!(before.iter().all(|event| event.reason == "a test"));
}

async fn a_reader_of_the_whole_trail_gets_each_event_once_in_the_order_of_the_log(engine: Engine) {
    let store = engine.place().await.store().await;
    let mut all = story(&*store).await;
    all.extend(list(&*store, &everything("other")).await);
    all.sort_by_key(|event| {
        let position = event.position;
        (event.revision, position.event.to_bytes(), position.ordinal)
    });
    let through = all[all.len() / 2].revision;
    let behind = async |place, through, limit| {
        let events = store.audit_events_behind(None, place, through, limit).await;
        events.expect("events")
    };

    // Some pages end in the middle of a batch.
    for limit in [1, 2, 5, 1_000] {
        let mut read: Vec<AuditEvent> = Vec::new();
        let mut place = TrailPosition::behind_revision(Revision(0));
        loop {
            let page = behind(place, through, limit).await;
            assert!(page.len() <= limit as usize);
            let Some(last) = page.last() else { break };
            place = TrailPosition::behind(last);
            read.extend(page);
        }
        let expected = all.iter().filter(|event| event.revision <= through);
        assert!(read.iter().eq(expected), "{limit} a page");
    }

    let rest = behind(
        TrailPosition::behind_revision(through),
        Revision(1 << 40),
        1_000,
    )
    .await;
    let expected = all.iter().filter(|event| event.revision > through);
    assert!(rest.iter().eq(expected));
}

crate::on_every_engine! {
    a_reader_of_the_whole_trail_gets_each_event_once_in_the_order_of_the_log,
    an_event_names_actor_action_target_time_and_reason,
    each_row_says_whom_it_concerns,
    a_list_has_the_events_of_its_filter_newest_first,
    pages_have_each_event_once_while_others_are_added,
    every_list_is_read_from_an_index_in_its_order,
    audit_rows_can_be_neither_changed_nor_deleted,
}
