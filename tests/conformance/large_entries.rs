//! Large entries of the log: their rows are made together, and their audit rows follow.

use std::time::Duration;

use portcullis_authority::domain::{AuditEvent, Mutation, NewApiKey};
use portcullis_contract::position::Revision;
use portcullis_tests::{
    api_keys::{create, new},
    audit::everything,
    calls::{apply, open},
    given::{disable, entry, record, sign_in, sign_out, sign_out_tenant},
    replay::{is_alive, replay},
    wait::eventually,
};

use crate::Engine;

/// More users than have their audit rows in the entry's own batch.
const USERS: usize = 300;

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("user-{number}")).collect()
}

fn texts(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

async fn the_audit_rows_of_a_large_entry_follow_it_into_the_trail_and_the_chain(engine: Engine) {
    let store = engine.place().await.store().await;
    let names = names(USERS);
    let signed_out = apply(&*store, sign_out("t", &texts(&names))).await;
    assert_eq!(signed_out.changed as usize, USERS);
    while store.has_pending_events().await.expect("an answer") {
        assert!(apply(&*store, record()).await.changed > 0);
    }

    let filter = everything("t");
    let mut listed: Vec<AuditEvent> = Vec::new();
    loop {
        let below = listed.last().map(|event| event.position);
        let page = store.list_audit_events(&filter, below, 100).await;
        let page = page.expect("a list");
        if page.is_empty() {
            break;
        }
        listed.extend(page);
    }
    let mut targets: Vec<_> = listed.iter().map(|event| event.target.clone()).collect();
    targets.sort();
    let mut expected = names;
    expected.sort();
    assert_eq!(targets, expected);
    assert!(listed.iter().all(|event| event.reason == "a test"));
    assert!(listed.iter().all(|event| event.user_id == event.target));
    let verdict = store
        .verify_audit_trail(Revision(0), 100_000)
        .await
        .expect("an answer")
        .expect("the beginning");
    assert_eq!((verdict.fault, verdict.through), (None, verdict.head));
}

async fn users_who_are_made_together_are_different_users(engine: Engine) {
    let store = engine.place().await.store().await;
    let names = names(USERS);
    // Some of them are known before, and some are named twice by one batch.
    open(&*store, &sign_in("t", "user-7")).await;
    let entries = [
        sign_out("t", &texts(&names[..200])),
        sign_out("t", &texts(&names[100..])),
    ];
    let appended = store.append(&entries).await.expect("appended");
    assert!(appended.outcomes.iter().all(Result::is_ok));

    let (mut first, mut second) = (None, None);
    for name in &names[..20] {
        let session = open(&*store, &sign_in("t", name)).await;
        assert!(is_alive(&*store, &session).await, "{name}");
        second = first.replace(session).or(second);
    }
    apply(&*store, sign_out("t", &["user-19"])).await;
    assert!(!is_alive(&*store, &first.expect("a session")).await);
    assert!(is_alive(&*store, &second.expect("a session")).await);
}

async fn a_sign_out_that_the_head_covers_writes_nothing(engine: Engine) {
    let store = engine.place().await.store().await;
    open(&*store, &sign_in("t", "u")).await;
    let entries = [
        || sign_out("t", &["u", "v"]),
        || sign_out_tenant("t"),
        || entry(Mutation::SignOutEveryone),
        || disable("t", "u"),
    ];
    for sign_out in entries {
        let first = apply(&*store, sign_out()).await;
        assert!(first.changed > 0);
        let again = apply(&*store, sign_out()).await;
        assert_eq!((again.revision, again.changed), (first.revision, 0));
        assert_eq!(store.head().await.expect("a head").revision, first.revision);
    }
    // The head is another user's: a sign-in under way may have read it.
    let first = apply(&*store, sign_out("t", &["v"])).await;
    apply(&*store, sign_out("t", &["w"])).await;
    let again = apply(&*store, sign_out("t", &["v"])).await;
    assert!(again.revision > first.revision && again.changed == 1);
}

async fn a_disabled_user_without_api_keys_leaves_nothing_that_stays(engine: Engine) {
    let store = engine.place().await.store().await;
    apply(&*store, disable("t", "u")).await;
    let before = replay(&*store).await.entries();
    create(&*store, &new("t", "v")).await;
    apply(&*store, disable("t", "v")).await;
    let after = replay(&*store).await.entries();
    // A cutoff of sessions each, which turns forget, and one of the keys of the one who has a key.
    assert_eq!((before, after), (1, 3));
}

async fn a_revoked_key_that_has_expired_leaves_the_view(engine: Engine) {
    let store = engine.place().await.store().await;
    let now = store.keys().await.expect("the time").1;
    let expires = Some(now.after(Duration::from_secs(5)));
    let given = NewApiKey {
        expires,
        ..new("t", "u")
    };
    let (short, long) = (
        create(&*store, &given).await,
        create(&*store, &new("t", "u")).await,
    );
    for key in [&short, &long] {
        let revoke = Mutation::RevokeApiKey {
            tenant: key.tenant_id.clone(),
            key: key.id,
        };
        assert_eq!(apply(&*store, entry(revoke)).await.changed, 1);
    }
    assert_eq!(replay(&*store).await.entries(), 2);
    let forget = || entry(Mutation::ForgetApiKeys(Duration::from_millis(1)));
    assert_eq!(apply(&*store, forget()).await.changed, 0, "not yet");
    eventually("the key has expired", async || {
        (apply(&*store, forget()).await.changed == 1).then_some(())
    })
    .await;
    assert_eq!(replay(&*store).await.entries(), 1);
    assert_eq!(apply(&*store, forget()).await.changed, 0, "once");
}

crate::on_every_engine! {
    the_audit_rows_of_a_large_entry_follow_it_into_the_trail_and_the_chain,
    users_who_are_made_together_are_different_users,
    a_sign_out_that_the_head_covers_writes_nothing,
    a_disabled_user_without_api_keys_leaves_nothing_that_stays,
    a_revoked_key_that_has_expired_leaves_the_view,
}
