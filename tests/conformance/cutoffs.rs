//! Sign-outs of users, tenants and everyone: all that was opened before, and nothing opened after.

use portcullis_authority::{
    domain::{EntryError, Mutation, Session},
    store::Store,
};
use portcullis_contract::id::SessionId;
use portcullis_tests::{
    calls::{append, apply, open},
    given::{entry, sign_in, sign_out, sign_out_but, sign_out_tenant, tenant, user},
    replay::is_alive,
};

use crate::Engine;

/// Sessions of the users `a` and `b` of `t`, and of `a` of `other`.
async fn three(store: &dyn Store) -> [Session; 3] {
    [
        open(store, &sign_in("t", "a")).await,
        open(store, &sign_in("t", "b")).await,
        open(store, &sign_in("other", "a")).await,
    ]
}

async fn alive(store: &dyn Store, sessions: &[Session]) -> Vec<bool> {
    let mut alive = Vec::new();
    for session in sessions {
        alive.push(is_alive(store, session).await);
    }
    alive
}

async fn a_cutoff_covers_its_scope_and_what_was_opened_before_it(engine: Engine) {
    let cases = [
        (sign_out("t", &["a"]), [false, true, true]),
        (sign_out("t", &["a", "b"]), [false, false, true]),
        (sign_out_tenant("t"), [false, false, true]),
        (entry(Mutation::SignOutEveryone), [false, false, false]),
    ];
    for (cut, expected) in cases {
        let store = engine.place().await.store().await;
        let before = three(&*store).await;
        let action = cut.mutation.action();
        apply(&*store, cut).await;
        let after = three(&*store).await;
        assert_eq!(alive(&*store, &before).await, expected, "{action}");
        assert_eq!(
            alive(&*store, &after).await,
            [true; 3],
            "opened after {action}"
        );
        apply(&*store, sign_out("t", &["someone"])).await;
        assert_eq!(
            alive(&*store, &before).await,
            expected,
            "{action}, and another revision"
        );
        assert_eq!(
            alive(&*store, &after).await,
            [true; 3],
            "opened after {action}, and another revision"
        );
    }
}

async fn one_session_may_stay(engine: Engine) {
    let store = engine.place().await.store().await;
    let kept = open(&*store, &sign_in("t", "a")).await;
    let [another, of_another, elsewhere] = three(&*store).await;
    apply(&*store, sign_out_but("t", &["a"], Some(kept.id))).await;
    let sessions = [kept, another, of_another, elsewhere];
    assert_eq!(alive(&*store, &sessions).await, [true, false, true, true]);
    let newer = open(&*store, &sign_in("t", "a")).await;
    apply(&*store, sign_out_but("t", &["a"], Some(newer.id))).await;
    assert!(is_alive(&*store, &newer).await);
    assert_eq!(
        alive(&*store, &sessions).await,
        [false, false, true, true],
        "whom the first kept, the second does not"
    );
    apply(&*store, sign_out("t", &["a"])).await;
    assert!(
        !is_alive(&*store, &newer).await,
        "an exemption is from one cutoff"
    );
}

async fn a_repeated_sign_out_is_answered_by_the_cutoff_unless_a_session_of_the_user_is_newer(
    engine: Engine,
) {
    let store = engine.place().await.store().await;
    open(&*store, &sign_in("t", "a")).await;
    let first = apply(&*store, sign_out("t", &["a"])).await;
    open(&*store, &sign_in("t", "b")).await;
    let again = apply(&*store, sign_out("t", &["a"])).await;
    assert_eq!((again.revision, again.changed), (first.revision, 0));

    let newer = open(&*store, &sign_in("t", "a")).await;
    let last = apply(&*store, sign_out("t", &["a"])).await;
    assert!(last.revision > first.revision && !is_alive(&*store, &newer).await);
}

async fn a_newer_session_is_not_overlooked_among_many(engine: Engine) {
    let store = engine.place().await.store().await;
    // One more than are looked at.
    for _ in 0..101 {
        open(&*store, &sign_in("t", "a")).await;
    }
    apply(&*store, sign_out("t", &["a"])).await;
    let newer = open(&*store, &sign_in("t", "a")).await;
    apply(&*store, sign_out("t", &["a"])).await;
    assert!(!is_alive(&*store, &newer).await);
}

async fn two_sign_outs_in_one_batch_that_exempt_different_sessions_end_both(engine: Engine) {
    let store = engine.place().await.store().await;
    let (one, two) = (
        open(&*store, &sign_in("t", "a")).await,
        open(&*store, &sign_in("t", "a")).await,
    );
    let both = [
        sign_out_but("t", &["a"], Some(one.id)),
        sign_out_but("t", &["a"], Some(two.id)),
    ];
    assert!(append(&*store, &both).await.iter().all(Result::is_ok));
    assert_eq!(alive(&*store, &[one, two]).await, [false, false]);
}

async fn only_a_session_of_the_user_may_stay(engine: Engine) {
    let store = engine.place().await.store().await;
    let [own, of_another, elsewhere] = three(&*store).await;
    for keep in [of_another.id, elsewhere.id, SessionId::generate()] {
        let outcome = append(&*store, &[sign_out_but("t", &["a"], Some(keep))]).await;
        assert_eq!(outcome, [Err(EntryError::SessionNotFound)]);
    }
    assert_eq!(
        alive(&*store, &[own, of_another, elsewhere]).await,
        [true; 3]
    );
}

async fn signing_out_an_unknown_user_creates_them(engine: Engine) {
    let store = engine.place().await.store().await;
    let outcome = apply(&*store, sign_out("new", &["someone"])).await;
    assert_eq!((outcome.revision.0, outcome.changed), (1, 1));
    let user = store
        .user(&tenant("new"), &user("someone"))
        .await
        .expect("the store answers");
    assert!(user.expect("a user").disabled.is_none());
    assert!(is_alive(&*store, &open(&*store, &sign_in("new", "someone")).await).await);
}

async fn signing_out_users_counts_them(engine: Engine) {
    let store = engine.place().await.store().await;
    let sessions = [
        open(&*store, &sign_in("t", "a")).await,
        open(&*store, &sign_in("t", "b")).await,
    ];
    assert_eq!(
        apply(&*store, sign_out("t", &["b", "a", "c"]))
            .await
            .changed,
        3
    );
    assert_eq!(alive(&*store, &sessions).await, [false, false]);
}

async fn a_tenant_without_sessions_can_be_signed_out(engine: Engine) {
    let store = engine.place().await.store().await;
    assert_eq!(apply(&*store, sign_out_tenant("empty")).await.revision.0, 1);
    assert!(is_alive(&*store, &open(&*store, &sign_in("empty", "a")).await).await);
}

crate::on_every_engine! {
    a_cutoff_covers_its_scope_and_what_was_opened_before_it,
    one_session_may_stay,
    a_repeated_sign_out_is_answered_by_the_cutoff_unless_a_session_of_the_user_is_newer,
    a_newer_session_is_not_overlooked_among_many,
    two_sign_outs_in_one_batch_that_exempt_different_sessions_end_both,
    only_a_session_of_the_user_may_stay,
    signing_out_an_unknown_user_creates_them,
    signing_out_users_counts_them,
    a_tenant_without_sessions_can_be_signed_out,
}
