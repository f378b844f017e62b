//! Sign-ins.

use std::collections::BTreeSet;

use futures::future::join_all;
use portcullis_authority::{
    domain::{ClientInfo, Micros, Profile, SessionFilter, SignIn, SignInFacts},
    store::SignInError,
};
use portcullis_contract::id::SessionId;
use portcullis_tests::{
    calls::{apply, list, open, session},
    given::{LIFETIME, disable, sign_in, tenant, user},
    wait::within,
};
use tokio::task::JoinSet;

use crate::Engine;

fn requested(tenant_id: &str, user_id: &str, id: &str, digest: u8) -> SignIn {
    SignIn {
        request: Some((id.into(), [digest; 32])),
        ..sign_in(tenant_id, user_id)
    }
}

async fn a_session_is_kept_as_it_was_opened(engine: Engine) {
    let store = engine.place().await.store().await;
    let client = ClientInfo {
        ip: "2001:db8::1".into(),
        user_agent: "Agent/1".into(),
        device_id: "d".into(),
        app_name: "app".into(),
    };
    let new = SignIn {
        client: client.clone(),
        remember_me: true,
        facts: SignInFacts {
            amr: vec!["pwd".into(), "otp".into()],
            audiences: vec!["a".into(), "b".into()],
            client_id: "a client".into(),
            identity_provider: None,
        },
        acr: "2".into(),
        auth_time: Some(Micros(1_700_000_000_000_000)),
        salt: [9; 16],
        ..sign_in("t", "u")
    };
    let opened = store
        .sign_in(&new)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let (kept, now) = store
        .session(&new.tenant_id, new.id)
        .await
        .expect("an answer")
        .expect("a session");
    for session in [&opened.session, &kept] {
        assert_eq!(
            (session.id, &session.tenant_id, &session.user_id),
            (new.id, &new.tenant_id, &new.user_id)
        );
        assert!(
            session.client == client
                && session.remember_me
                && session.facts == new.facts
                && session.acr == "2"
        );
        assert_eq!(session.auth_time.seconds(), 1_700_000_000);
        assert_eq!(
            (session.salt, session.generation, session.rotated),
            ([9; 16], 0, None)
        );
        assert_eq!(session.expires, session.created.after(LIFETIME));
        assert!(session.end.is_none());
    }
    assert_eq!(
        (opened.session.subject, opened.session.created),
        (kept.subject, kept.created)
    );
    assert!(opened.now >= kept.created && now >= opened.now);
    let unsaid = open(&*store, &sign_in("t", "u")).await;
    assert_eq!(unsaid.auth_time, unsaid.created);
}

async fn serials_tell_credentials_users_and_tenants_apart(engine: Engine) {
    let store = engine.place().await.store().await;
    let mut serials = Vec::new();
    for (tenant, user) in [("t", "u"), ("t", "u"), ("t", "v"), ("other", "u")] {
        serials.push(open(&*store, &sign_in(tenant, user)).await.subject);
    }
    let [first, second, of_another, elsewhere] = serials[..] else {
        panic!("four sessions")
    };
    assert_eq!(
        serials
            .iter()
            .map(|subject| subject.serial)
            .collect::<BTreeSet<_>>()
            .len(),
        4
    );
    assert!(
        serials.iter().all(|subject| subject.serial.0 > 0),
        "0 means none"
    );
    assert_eq!((first.user, first.tenant), (second.user, second.tenant));
    assert!(first.user != of_another.user && first.tenant == of_another.tenant);
    assert!(elsewhere.user != first.user && elsewhere.tenant != first.tenant);
}

async fn a_request_id_opens_one_session(engine: Engine) {
    let store = engine.place().await.store().await;
    let first = open(&*store, &requested("t", "u", "r", 1)).await;
    assert_eq!(
        open(&*store, &requested("t", "u", "r", 1)).await.id,
        first.id
    );
    let elsewhere = open(&*store, &requested("other", "u", "r", 1)).await;
    assert_ne!(elsewhere.id, first.id, "request ids are the tenant's");
    assert_ne!(
        open(&*store, &requested("t", "u", "s", 1)).await.id,
        first.id
    );
}

async fn a_request_id_with_other_arguments_is_refused(engine: Engine) {
    let store = engine.place().await.store().await;
    open(&*store, &requested("t", "u", "r", 1)).await;
    for user in ["u", "unknown"] {
        let reused = store.sign_in(&requested("t", user, "r", 2)).await;
        assert!(matches!(reused, Err(SignInError::RequestReused)));
    }
    assert!(
        store
            .user(&tenant("t"), &user("unknown"))
            .await
            .expect("an answer")
            .is_none(),
        "nothing is left of it"
    );
}

async fn a_repeated_statement_opens_one_session(engine: Engine) {
    let store = engine.place().await.store().await;
    let new = sign_in("t", "u");
    let (first, again) = (open(&*store, &new).await, open(&*store, &new).await);
    assert_eq!((first.id, first.subject), (again.id, again.subject));
}

async fn sign_ins_that_wait_together_succeed_and_fail_each_for_itself(engine: Engine) {
    let store = engine.place().await.store().await;
    for id in ["u", "disabled"] {
        open(&*store, &sign_in("t", id)).await;
    }
    apply(&*store, disable("t", "disabled")).await;
    let first = open(&*store, &requested("t", "u", "r", 1)).await;
    let ids = ["u", "disabled", "unknown", "u", "unknown", "disabled", "u"];
    let mut all: Vec<_> = ids.map(|id| sign_in("t", id)).into();
    all.extend([
        requested("t", "u", "r", 1),
        requested("t", "u", "r", 2),
        sign_in("elsewhere", "u"),
    ]);
    let opened = join_all(all.iter().map(|new| store.sign_in(new))).await;
    for (new, opened) in all.iter().zip(&opened) {
        match (opened, new.user_id.as_str(), &new.request) {
            (Err(SignInError::UserDisabled), "disabled", None)
            | (Err(SignInError::RequestReused), _, Some((_, [2, ..]))) => {}
            (Ok(again), _, Some((_, [1, ..]))) => assert_eq!(again.session.id, first.id),
            (Ok(opened), "u" | "unknown", None) => {
                let kept = session(&*store, &opened.session).await;
                assert_eq!(
                    (kept.id, &kept.user_id, &kept.tenant_id),
                    (new.id, &new.user_id, &new.tenant_id)
                );
            }
            (opened, user, _) => panic!("{user}: {:?}", opened.as_ref().err()),
        }
    }
}

async fn concurrent_opens(engine: Engine, known: bool) {
    let place = engine.place().await;
    let store = place.store().await;
    if known {
        open(&*store, &sign_in("t", "u")).await;
    }
    let mut opening = JoinSet::new();
    for seed in 0..6 {
        let (store, faults) = place.faulty_store().await;
        faults.shuffle(seed);
        opening.spawn(async move {
            open(&*store, &requested("t", "u", "r", 1))
                .await
                .id
                .to_bytes()
        });
    }
    let ids: BTreeSet<_> = within("all sign-ins", opening.join_all())
        .await
        .into_iter()
        .collect();
    let listed = list(&*store, &SessionFilter::of(tenant("t"))).await;
    assert_eq!((ids.len(), listed.len()), (1, 1 + usize::from(known)));
}

async fn sign_ins_at_once_with_one_request_id_open_one_session(engine: Engine) {
    concurrent_opens(engine, true).await;
    concurrent_opens(engine, false).await;
}

async fn sign_ins_at_once_of_an_unknown_user_make_one_user(engine: Engine) {
    let place = engine.place().await;
    let mut opening = JoinSet::new();
    for seed in 0..6 {
        let (store, faults) = place.faulty_store().await;
        faults.shuffle(seed);
        opening.spawn(async move { open(&*store, &sign_in("t", "u")).await.subject });
    }
    let subjects = within("all sign-ins", opening.join_all()).await;
    assert!(subjects.iter().all(|subject| (subject.user, subject.tenant) == (subjects[0].user, subjects[0].tenant)));
    assert_eq!(
        subjects
            .iter()
            .map(|subject| subject.serial)
            .collect::<BTreeSet<_>>()
            .len(),
        6
    );
}

async fn a_sign_in_updates_the_profile_and_keeps_fields_that_it_omits(engine: Engine) {
    let store = engine.place().await.store().await;
    let profile = |texts: [&str; 4]| {
        let [user_name, given_name, family_name, email] = texts.map(String::from);
        Profile {
            user_name,
            given_name,
            family_name,
            email,
        }
    };
    let steps = [
        (["ann", "Ann", "", ""], ["ann", "Ann", "", ""]),
        (["", "", "", ""], ["ann", "Ann", "", ""]),
        (
            ["", "Anna", "Smith", "a@example.org"],
            ["ann", "Anna", "Smith", "a@example.org"],
        ),
        (
            ["ann", "Anna", "Smith", "a@example.org"],
            ["ann", "Anna", "Smith", "a@example.org"],
        ),
        (
            ["", "", "", "b@example.org"],
            ["ann", "Anna", "Smith", "b@example.org"],
        ),
        (
            ["anna", "", "", ""],
            ["anna", "Anna", "Smith", "b@example.org"],
        ),
    ];
    for (said, expected) in steps {
        open(
            &*store,
            &SignIn {
                profile: profile(said),
                ..sign_in("t", "u")
            },
        )
        .await;
        let known = store
            .user(&tenant("t"), &user("u"))
            .await
            .expect("an answer")
            .expect("a user");
        assert!(known.profile == profile(expected), "after {said:?}");
    }
}

async fn a_session_is_found_in_its_tenant_only(engine: Engine) {
    let store = engine.place().await.store().await;
    let opened = open(&*store, &sign_in("t", "u")).await;
    assert_eq!(session(&*store, &opened).await.id, opened.id);
    assert!(
        store
            .session(&tenant("other"), opened.id)
            .await
            .expect("an answer")
            .is_none()
    );
    assert!(
        store
            .session(&tenant("t"), SessionId::generate())
            .await
            .expect("an answer")
            .is_none()
    );
}

crate::on_every_engine! {
    a_session_is_kept_as_it_was_opened,
    serials_tell_credentials_users_and_tenants_apart,
    a_request_id_opens_one_session,
    a_request_id_with_other_arguments_is_refused,
    a_repeated_statement_opens_one_session,
    sign_ins_that_wait_together_succeed_and_fail_each_for_itself,
    sign_ins_at_once_with_one_request_id_open_one_session,
    sign_ins_at_once_of_an_unknown_user_make_one_user,
    a_sign_in_updates_the_profile_and_keeps_fields_that_it_omits,
    a_session_is_found_in_its_tenant_only,
}
