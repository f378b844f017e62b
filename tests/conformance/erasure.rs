//! The erasure of a user, step by step, and what the verification of the trail makes of it.

use std::sync::Arc;

use portcullis_authority::{
    domain::{Entry, EntryError, ErasedCounts, Erasure, Mutation, Profile, SessionFilter, SignIn},
    store::{Store, sql::Value},
};
use portcullis_contract::{
    id::EventId,
    position::{Revision, sha256},
};
use portcullis_tests::{
    api_keys,
    audit::defer,
    calls::{append, apply, apply_again, list, open, session, try_open},
    given::{disable, enable, entry, record, revoke, sign_in, sign_out, tenant, user},
    place::Place,
    replay::replay,
    rows::query,
};

use crate::Engine;

fn erase(user_id: &str) -> Entry {
    entry(Mutation::EraseUser {
        tenant: tenant("t"),
        user: user(user_id),
    })
}

async fn under_way(store: &dyn Store, user_id: &str) -> Erasure {
    let erasure = store.erasure(&tenant("t"), Some(&user(user_id))).await;
    erasure.expect("an answer").expect("an erasure")
}

/// Removes everything in steps of one row.
async fn remove(store: &dyn Store, erasure: &Erasure) -> ErasedCounts {
    let mut all = ErasedCounts::default();
    loop {
        let removed = store.erase_some(erasure, 1).await.expect("a step");
        if removed.is_nothing() {
            return all;
        }
        all = all.plus(removed);
    }
}

async fn finish(store: &dyn Store, erasure: &Erasure) {
    let finish = entry(Mutation::FinishErasure {
        erasure: erasure.id,
        tenant: erasure.tenant_id.clone(),
        user: erasure.user_id.clone(),
    });
    apply(store, finish.clone()).await;
    apply_again(store, &finish).await;
}

/// The place of the first fault of the trail, and what it is.
async fn fault(store: &dyn Store) -> Option<(Revision, &'static str)> {
    let verdict = store.verify_audit_trail(Revision(0), 1_000).await;
    let fault = verdict.expect("an answer").expect("the beginning").fault;
    fault.map(|fault| (fault.revision, fault.problem))
}

fn named_sign_in(user_id: &str) -> SignIn {
    SignIn {
        profile: Profile {
            user_name: "ada".into(),
            ..Profile::default()
        },
        ..sign_in("t", user_id)
    }
}

/// Users `u` and `v` with a session each and rows in the trail; `u` has acted on `v`.
async fn people(engine: Engine) -> (Place, Arc<dyn Store>) {
    let place = engine.place().await;
    let (store, backend) = (place.store().await, place.engine().await);
    let first = open(&*store, &named_sign_in("u")).await;
    open(&*store, &sign_in("t", "v")).await;
    defer(&backend, "t", "u").await;
    apply(&*store, record()).await;
    apply(&*store, revoke(&[&first])).await;
    let mut by_user = sign_out("t", &["v", "w"]);
    by_user.actor.name = "user:u".into();
    apply(&*store, by_user).await;
    open(&*store, &named_sign_in("u")).await;
    (place, store)
}

async fn steps_remove_rows_once_and_the_trail_verifies_after_each(engine: Engine) {
    let (_place, store) = people(engine).await;
    let begin = erase("u");
    let begun = apply(&*store, begin.clone()).await;
    assert_eq!(begun.changed, 1);
    // Again with the same event, and with another one.
    assert_eq!(apply_again(&*store, &begin).await, begun);
    assert_eq!(apply(&*store, erase("u")).await.changed, 0);

    let erasure = under_way(&*store, "u").await;
    assert_eq!(erasure.id, begin.event_id);
    let other = store.erasure(&tenant("t"), Some(&user("v"))).await;
    assert_eq!(other.expect("an answer"), None);
    let mut all = ErasedCounts::default();
    loop {
        let removed = store.erase_some(&erasure, 1).await.expect("a step");
        assert_eq!(fault(&*store).await, None);
        if removed.is_nothing() {
            break;
        }
        assert_eq!(
            removed.sessions + removed.audit_parts + removed.other_rows,
            1
        );
        all = all.plus(removed);
    }
    // Two sessions; a sign-in's event and the end of a session about the user, by others; two rows by the user.
    assert_eq!(all.sessions, 2);
    assert!(all.audit_parts >= 4, "{all:?}");
    assert_eq!(under_way(&*store, "u").await.removed, all);

    finish(&*store, &erasure).await;
    assert!(store.erasures(10).await.expect("a list").is_empty());
    assert!(
        store
            .user(&tenant("t"), &user("u"))
            .await
            .expect("an answer")
            .is_none()
    );
    assert!(
        store
            .erase_some(&erasure, 1)
            .await
            .expect("a step")
            .is_nothing()
    );
    let verdict = store.verify_audit_trail(Revision(0), 1_000).await;
    let verdict = verdict.expect("an answer").expect("the beginning");
    assert_eq!((verdict.fault, verdict.through), (None, verdict.head));
    let [erased] = &verdict.erased[..] else {
        panic!("{:?}", verdict.erased);
    };
    assert_eq!(erased.erasure, erasure.id);
    // A row about the user by the user has both parts.
    assert!(erased.rows < all.audit_parts, "{erased:?}");
}

async fn an_erased_user_is_cut_off_and_others_are_not(engine: Engine) {
    let (_place, store) = people(engine).await;
    let other = open(&*store, &sign_in("t", "v")).await;
    apply(&*store, erase("u")).await;
    let erasure = under_way(&*store, "u").await;
    remove(&*store, &erasure).await;
    let mut filter = SessionFilter::of(tenant("t"));
    filter.state = None;
    let left = list(&*store, &filter).await;
    assert!(left.iter().all(|session| session.user_id == user("v")));
    assert!(left.iter().any(|session| session.id == other.id));
    // An unknown user can be erased as well.
    apply(&*store, erase("nobody")).await;
    let nobody = under_way(&*store, "nobody").await;
    assert_eq!(remove(&*store, &nobody).await, ErasedCounts::default());
    finish(&*store, &nobody).await;
    assert_eq!(fault(&*store).await, None);
}

/// A row of the trail about a user: what an erasure needs of it.
struct Found {
    event: EventId,
    ordinal: i64,
    digest: [u8; 32],
}

async fn find_row(place: &Place, user_id: &str) -> Found {
    let sql = "SELECT event_id, ordinal, subject_proof, target, reason, user_message, user_id, details FROM audit_events \
         WHERE tenant_id = 't' AND user_id = $1 ORDER BY at_us LIMIT 1";
    let row = &query(place, sql, &[user_id.into()]).await[0].0;
    let bytes = |value: &Value| match value {
        Value::Blob(Some(bytes)) => bytes.clone(),
        Value::Text(Some(text)) => text.clone().into_bytes(),
        _ => panic!("{value:?}"),
    };
    let mut hashed = bytes(&row[2]);
    for text in &row[3..] {
        let text = bytes(text);
        hashed.extend((text.len() as u64).to_be_bytes());
        hashed.extend(text);
    }
    let Value::Int(Some(ordinal)) = row[1] else {
        panic!("{row:?}");
    };
    Found {
        event: EventId::from_bytes(bytes(&row[0]).try_into().expect("an id")),
        ordinal,
        digest: sha256(&hashed),
    }
}

/// Erases a row by hand, with the digest that the chain expects.
async fn erase_by_hand(place: &Place, row: &Found, by: EventId) {
    let sql = "UPDATE audit_events SET target = '', reason = '', user_message = '', user_id = '', details = '', \
         subject_proof = $3, subject_erased_by = $4 WHERE event_id = $1 AND ordinal = $2 RETURNING ordinal";
    let values = [
        row.event.into(),
        row.ordinal.into(),
        row.digest[..].into(),
        by.into(),
    ];
    assert_eq!(query(place, sql, &values).await.len(), 1);
}

async fn a_row_that_no_erasure_erased_is_named(engine: Engine) {
    let (place, store) = people(engine).await;
    let row = find_row(&place, "v").await;
    erase_by_hand(&place, &row, row.event).await;
    let (_, problem) = fault(&*store).await.expect("a fault");
    assert_eq!(
        problem,
        "a part of the row was erased by no erasure of the trail"
    );
}

async fn a_row_beyond_those_that_an_erasure_counted_is_named(engine: Engine) {
    let (place, store) = people(engine).await;
    apply(&*store, erase("u")).await;
    let erasure = under_way(&*store, "u").await;
    remove(&*store, &erasure).await;
    finish(&*store, &erasure).await;
    assert_eq!(fault(&*store).await, None);
    let row = find_row(&place, "v").await;
    erase_by_hand(&place, &row, erasure.id).await;
    let (_, problem) = fault(&*store).await.expect("a fault");
    assert_eq!(
        problem,
        "other rows were erased than the erasure has counted"
    );
}

async fn a_text_in_an_erased_part_is_named(engine: Engine) {
    let (place, store) = people(engine).await;
    apply(&*store, erase("u")).await;
    let erasure = under_way(&*store, "u").await;
    remove(&*store, &erasure).await;
    place.disarm().await;
    place
        .execute("UPDATE audit_events SET reason = 'x' WHERE subject_erased_by IS NOT NULL")
        .await
        .expect("changed");
    let (_, problem) = fault(&*store).await.expect("a fault");
    assert_eq!(problem, "a part of the row was erased, and has a text");
}

async fn the_schema_lets_nothing_but_an_erasure_change_a_row(engine: Engine) {
    let (place, _store) = people(engine).await;
    let digest = match engine {
        Engine::Sqlite => "zeroblob(32)",
        Engine::Postgres => "decode(repeat('00', 32), 'hex')",
    };
    let changes = [
        "reason = 'another'".to_owned(),
        "at_us = at_us + 1".to_owned(),
        "actor = '', actor_ip = ''".to_owned(),
        format!("actor = '', actor_ip = '', actor_proof = {digest}"),
        format!("actor_proof = {digest}, actor_erased_by = event_id"),
        format!(
            "actor = '', actor_ip = '', actor_proof = {digest}, actor_erased_by = event_id, via = 'x'"
        ),
        format!("reason = '', subject_proof = {digest}, subject_erased_by = event_id"),
    ];
    for change in changes {
        let refused = place
            .execute(&format!(
                "UPDATE audit_events SET {change} WHERE actor <> ''"
            ))
            .await
            .expect_err(&change);
        assert!(refused.contains("audit rows stay as they are"), "{refused}");
    }
    let refused = place.execute("DELETE FROM audit_events").await;
    assert!(refused.expect_err("refused").contains("audit rows stay"));
}

async fn a_user_under_erasure_is_not_enabled_and_waiting_events_are_known(engine: Engine) {
    let (place, store) = people(engine).await;
    let backend = place.engine().await;
    apply(&*store, disable("t", "v")).await;
    apply(&*store, erase("u")).await;
    apply(&*store, record()).await;
    let erasure = under_way(&*store, "u").await;
    assert!(
        !store
            .has_pending_events_of(&erasure)
            .await
            .expect("an answer")
    );
    defer(&backend, "t", "u2").await;
    assert!(
        !store
            .has_pending_events_of(&erasure)
            .await
            .expect("an answer")
    );
    defer(&backend, "t", "u").await;
    assert!(
        store
            .has_pending_events_of(&erasure)
            .await
            .expect("an answer")
    );
    apply(&*store, record()).await;
    assert!(
        !store
            .has_pending_events_of(&erasure)
            .await
            .expect("an answer")
    );

    let results = append(&*store, &[enable("t", "u")]).await;
    assert_eq!(results, [Err(EntryError::UserNotFound)]);
}

async fn a_deleted_tenant_leaves_no_row_but_the_trail_and_others_stay(engine: Engine) {
    let (place, store) = people(engine).await;
    let kept = open(&*store, &sign_in("other", "u")).await;
    let key = api_keys::create(&*store, &api_keys::new("t", "v")).await;
    let delete = entry(Mutation::DeleteTenant {
        tenant: tenant("t"),
    });
    let begun = apply(&*store, delete.clone()).await;
    assert_eq!(apply_again(&*store, &delete).await, begun);
    // Nobody gets in while it goes on, known or not.
    for user_id in ["v", "new"] {
        assert!(try_open(&*store, &sign_in("t", user_id)).await.is_none());
    }
    let refused = api_keys::try_create(&*store, &api_keys::new("t", "v")).await;
    assert_eq!(refused.err(), Some(EntryError::UserDisabled));

    let erasure = store.erasure(&tenant("t"), None).await;
    let erasure = erasure.expect("an answer").expect("a deletion");
    let all = remove(&*store, &erasure).await;
    assert!(all.sessions == 3 && all.other_rows >= 4, "{all:?}");
    finish(&*store, &erasure).await;
    for table in [
        "sessions",
        "users",
        "api_keys",
        "user_history",
        "policies",
        "tenants",
    ] {
        let sql = format!("SELECT 1 FROM {table} WHERE tenant_id = 't'");
        assert!(query(&place, &sql, &[]).await.is_empty(), "{table}");
    }
    let sql = "SELECT 1 FROM audit_events WHERE tenant_id = 't' AND (user_id <> '' OR actor <> '')";
    assert!(query(&place, sql, &[]).await.is_empty());
    assert_eq!(fault(&*store).await, None);

    // A session of another tenant's user of the same name is there, and the token of the key is refused for good.
    session(&*store, &kept).await;
    let view = replay(&*store).await;
    assert!(!api_keys::accepts(&view, &key.subject));
    // Whoever comes now is of a new tenant.
    open(&*store, &sign_in("t", "v")).await;
}

crate::on_every_engine!(
    a_deleted_tenant_leaves_no_row_but_the_trail_and_others_stay,
    steps_remove_rows_once_and_the_trail_verifies_after_each,
    an_erased_user_is_cut_off_and_others_are_not,
    a_row_that_no_erasure_erased_is_named,
    a_row_beyond_those_that_an_erasure_counted_is_named,
    a_text_in_an_erased_part_is_named,
    the_schema_lets_nothing_but_an_erasure_change_a_row,
    a_user_under_erasure_is_not_enabled_and_waiting_events_are_known,
);
