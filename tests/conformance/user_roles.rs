//! The roles of people in their tenant.

use portcullis_authority::{
    domain::{EntryError, SignIn, UserRole, UserRoles},
    store::Store,
};
use portcullis_tests::{
    audit::{everything, list},
    calls::{append, apply, open},
    given::{disable, enable, record, set_roles, sign_in, sign_out, tenant, user},
};

use crate::Engine;

const ADMIN: &[UserRole] = &[UserRole::Admin];
const NONE: &[UserRole] = &[];

async fn roles(store: &dyn Store, id: &str) -> String {
    let found = store
        .user(&tenant("t"), &user(id))
        .await
        .expect("an answer");
    found.expect("a user").roles.names()
}

fn stating(id: &str, roles: &[UserRole]) -> SignIn {
    SignIn {
        roles: Some(roles.iter().copied().collect()),
        ..sign_in("t", id)
    }
}

async fn roles_are_set_replaced_and_kept(engine: Engine) {
    let store = engine.place().await.store().await;
    open(&*store, &sign_in("t", "u")).await;
    assert_eq!(roles(&*store, "u").await, "none");

    let both = [UserRole::Support, UserRole::Admin];
    assert_eq!(apply(&*store, set_roles("t", "u", &both)).await.changed, 1);
    assert_eq!(roles(&*store, "u").await, "support admin");
    // The same roles again change nothing and leave no trace.
    assert_eq!(apply(&*store, set_roles("t", "u", &both)).await.changed, 0);
    // A sign-in that says nothing about roles leaves them.
    open(&*store, &sign_in("t", "u")).await;
    assert_eq!(roles(&*store, "u").await, "support admin");
    let refused = append(&*store, &[set_roles("t", "nobody", NONE)]).await;
    assert_eq!(refused, [Err(EntryError::UserNotFound)]);
}

async fn a_sign_in_states_the_roles(engine: Engine) {
    let store = engine.place().await.store().await;
    // A new user, a known one, and one whose roles stay the same.
    for (stated, expected) in [(ADMIN, "admin"), (ADMIN, "admin"), (NONE, "none")] {
        open(&*store, &stating("u", stated)).await;
        assert_eq!(roles(&*store, "u").await, expected);
    }
    apply(&*store, record()).await;
    let trail = list(&*store, &everything("t")).await;
    let stated: Vec<_> = trail
        .iter()
        .filter(|event| event.action == "user.set_roles")
        .map(|event| event.details["roles"].as_str())
        .collect();
    assert_eq!(stated, ["none", "admin"], "only what changed, newest first");
}

async fn sign_ins_at_once_state_one_user_s_roles(engine: Engine) {
    let store = engine.place().await.store().await;
    open(&*store, &sign_in("t", "u")).await;
    let (first, second) = (stating("u", ADMIN), stating("u", ADMIN));
    let (one, other) = tokio::join!(open(&*store, &first), open(&*store, &second));
    assert_ne!(one.id, other.id);
    assert_eq!(roles(&*store, "u").await, "admin");
}

async fn the_last_administrator_stays(engine: Engine) {
    const LAST: Result<u32, EntryError> = Err(EntryError::LastAdministrator);
    let store = engine.place().await.store().await;
    for id in ["ada", "bob"] {
        open(&*store, &stating(id, ADMIN)).await;
    }
    open(&*store, &sign_in("t", "eve")).await;

    let outcome = async |entries: &[_]| {
        let outcomes = append(&*store, entries).await;
        let changed: Vec<_> = outcomes
            .into_iter()
            .map(|outcome| outcome.map(|outcome| outcome.changed))
            .collect();
        changed
    };
    // Whoever comes first in the index may go as well as the other.
    assert_eq!(outcome(&[disable("t", "ada")]).await, [Ok(1)]);
    assert_eq!(outcome(&[enable("t", "ada")]).await, [Ok(1)]);

    // Of two entries of one batch that take both, the first one counts.
    let both = [disable("t", "ada"), set_roles("t", "bob", NONE)];
    assert_eq!(outcome(&both).await, [Ok(1), LAST]);
    assert_eq!(outcome(&[disable("t", "bob")]).await, [LAST]);
    assert_eq!(
        outcome(&[set_roles("t", "bob", &[UserRole::Support])]).await,
        [LAST]
    );
    // Others are disabled, and the last one is signed out, as ever.
    assert_eq!(outcome(&[disable("t", "eve")]).await, [Ok(1)]);
    assert_eq!(outcome(&[sign_out("t", &["bob"])]).await, [Ok(1)]);
    assert_eq!(roles(&*store, "bob").await, "admin");

    // A disabled administrator is no help until they are enabled.
    assert_eq!(outcome(&[enable("t", "ada")]).await, [Ok(1)]);
    assert_eq!(outcome(&[disable("t", "bob")]).await, [Ok(1)]);
    assert_eq!(outcome(&[set_roles("t", "ada", NONE)]).await, [LAST]);
}

async fn a_tenant_without_administrators_is_free(engine: Engine) {
    let store = engine.place().await.store().await;
    open(&*store, &sign_in("t", "u")).await;
    assert_eq!(apply(&*store, set_roles("t", "u", NONE)).await.changed, 0);
    assert_eq!(apply(&*store, disable("t", "u")).await.changed, 1);
    // Somebody else's administrators count for nothing.
    let elsewhere = SignIn {
        roles: Some(UserRoles::from_iter([UserRole::Admin])),
        ..sign_in("other", "a")
    };
    open(&*store, &elsewhere).await;
    let refused = append(&*store, &[disable("other", "a")]).await;
    assert_eq!(refused, [Err(EntryError::LastAdministrator)]);
}

async fn of_two_administrators_who_disable_each_other_one_stays(engine: Engine) {
    for round in 0..10 {
        let place = engine.place().await;
        // Two authorities: the appender of one applies a batch at a time.
        let (store, other) = (place.store().await, place.store().await);
        for id in ["ada", "bob"] {
            open(&*store, &stating(id, ADMIN)).await;
        }
        let (ada, bob) = ([disable("t", "ada")], [set_roles("t", "bob", NONE)]);
        let (one, two) = tokio::join!(append(&*store, &ada), append(&*other, &bob));
        let both = [&one[0], &two[0]];
        let refused = both
            .iter()
            .filter(|outcome| matches!(outcome, Err(EntryError::LastAdministrator)))
            .count();
        assert_eq!(refused, 1, "round {round}: {both:?}");
    }
}

crate::on_every_engine!(
    roles_are_set_replaced_and_kept,
    a_sign_in_states_the_roles,
    sign_ins_at_once_state_one_user_s_roles,
    the_last_administrator_stays,
    a_tenant_without_administrators_is_free,
    of_two_administrators_who_disable_each_other_one_stays,
);
