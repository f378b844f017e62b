//! Large entries of the log: their rows are made together, and their audit rows follow.

use portcullis_authority::{domain::AuditEvent, store::Store};
use portcullis_contract::position::Revision;
use portcullis_tests::{
    audit::everything,
    calls::{apply, open},
    given::{record, sign_in, sign_out},
    replay::is_alive,
};

/// More users than have their audit rows in the entry's own batch.
const USERS: usize = 300;

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("user-{number}")).collect()
}

fn texts(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

#[tokio::test]
async fn the_audit_rows_of_a_large_entry_follow_it_into_the_trail_and_the_chain() {
    let store = crate::place().await.store().await;
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

#[tokio::test]
async fn users_who_are_made_together_are_different_users() {
    let store = crate::place().await.store().await;
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
