//! Users who may not sign in.

use portcullis_authority::{
    domain::{Cause, EntryError, Outcome},
    store::sql::Lane,
};
use portcullis_contract::{
    delta::{self, Change, Scope},
    key::CredentialKind,
    position::Revision,
};
use portcullis_tests::{
    api_keys::{create, new},
    calls::{append, apply, head, open, session, try_open},
    given::{disable, enable, sign_in, sign_out, tenant, user},
    replay::is_alive,
};

use crate::Engine;

async fn a_disabled_user_is_signed_out_and_stays_out_until_enabled(engine: Engine) {
    let store = engine.place().await.store().await;
    let before = open(&*store, &sign_in("t", "u")).await;
    apply(&*store, disable("t", "u")).await;
    assert!(!is_alive(&*store, &before).await);
    assert_eq!(
        session(&*store, &before).await.end.expect("an end").cause,
        Cause::UserDisabled
    );
    assert!(try_open(&*store, &sign_in("t", "u")).await.is_none());
    assert!(
        try_open(&*store, &sign_in("t", "v")).await.is_some(),
        "others are not touched"
    );

    assert_eq!(
        apply(&*store, enable("t", "u")).await,
        Outcome {
            revision: Revision(2),
            changed: 1
        }
    );
    assert!(
        !is_alive(&*store, &before).await,
        "enabling revives nothing"
    );
    assert!(is_alive(&*store, &open(&*store, &sign_in("t", "u")).await).await);
}

async fn disabling_an_unknown_user_keeps_them_out(engine: Engine) {
    let store = engine.place().await.store().await;
    apply(&*store, disable("t", "u")).await;
    assert!(try_open(&*store, &sign_in("t", "u")).await.is_none());
    let known = store
        .user(&tenant("t"), &user("u"))
        .await
        .expect("an answer")
        .expect("a user");
    assert!(known.disabled.is_some());
}

async fn disabling_cuts_api_keys_too_and_signing_out_does_not(engine: Engine) {
    let store = engine.place().await.store().await;
    let serial = open(&*store, &sign_in("t", "u")).await.subject.user;
    create(&*store, &new("t", "u")).await;
    append(&*store, &[sign_out("t", &["u"])]).await;
    append(&*store, &[disable("t", "u")]).await;
    for (after, expected) in [(1, false), (2, true)] {
        let batches = store.tail(Revision(after), 1).await.expect("a tail");
        let changes = delta::decode(&batches[0].frame.delta).expect("a delta");
        let cuts = |kind| {
            let is = |change: &Change| matches!(change, Change::Cut { credential, scope, .. } if *credential == kind && *scope == Scope::User(serial));
            changes.iter().any(is)
        };
        assert!(cuts(CredentialKind::Session));
        assert_eq!(cuts(CredentialKind::ApiKey), expected);
    }
}

async fn enabling_finds_users_and_does_not_make_them(engine: Engine) {
    let store = engine.place().await.store().await;
    open(&*store, &sign_in("t", "u")).await;
    let entries = [
        enable("t", "nobody"),
        enable("nowhere", "u"),
        enable("t", "u"),
    ];
    let outcomes = append(&*store, &entries).await;
    let unchanged = Ok(Outcome {
        revision: Revision(0),
        changed: 0,
    });
    assert_eq!(
        outcomes,
        [
            Err(EntryError::UserNotFound),
            Err(EntryError::UserNotFound),
            unchanged
        ]
    );
    assert_eq!(head(&*store).await, Revision(0));
    assert!(
        store
            .user(&tenant("t"), &user("nobody"))
            .await
            .expect("an answer")
            .is_none()
    );
}

async fn disabling_twice_keeps_the_first_time_and_cuts_once(engine: Engine) {
    let store = engine.place().await.store().await;
    apply(&*store, disable("t", "u")).await;
    let disabled = async || {
        store
            .user(&tenant("t"), &user("u"))
            .await
            .expect("an answer")
            .expect("a user")
            .disabled
    };
    let first = disabled().await;
    assert_eq!(
        apply(&*store, disable("t", "u")).await.revision,
        Revision(1)
    );
    assert_eq!(disabled().await, first);
    apply(&*store, sign_out("t", &["v"])).await;
    assert_eq!(
        apply(&*store, disable("t", "u")).await.revision,
        Revision(3)
    );
    assert_eq!(disabled().await, first);
}

async fn nobody_is_looked_up_without_a_connection(engine: Engine) {
    let (store, faults) = engine.place().await.faulty_store().await;
    faults.cut_off(Lane::Read);
    let found = store.users(&tenant("t"), &[]).await.expect("an answer");
    assert!(found.is_empty());
    let asked = store.users(&tenant("t"), &[user("u")]).await;
    assert!(asked.is_err(), "somebody needs a connection");
}

crate::on_every_engine! {
    nobody_is_looked_up_without_a_connection,
    a_disabled_user_is_signed_out_and_stays_out_until_enabled,
    disabling_an_unknown_user_keeps_them_out,
    disabling_cuts_api_keys_too_and_signing_out_does_not,
    enabling_finds_users_and_does_not_make_them,
    disabling_twice_keeps_the_first_time_and_cuts_once,
}
