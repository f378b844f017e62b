//! Sessions of identity providers: which ones a logout ends, and logout tokens that count once.

use std::time::Duration;

use portcullis_authority::{
    domain::{ProviderLogout, ProviderSession, Session, SignIn, SignInFacts},
    store::{Store, sql::Value},
};
use portcullis_contract::id::SessionId;
use portcullis_tests::{
    calls::{apply, open, session},
    given::{revoke, sign_in, sign_out, tenant},
    place::Place,
    rows::query,
    wait::eventually,
};

use crate::Engine;

const ISSUER: &str = "https://idp.test";

fn named(session_id: &str, subject: &str) -> ProviderSession {
    ProviderSession {
        issuer: ISSUER.into(),
        session_id: session_id.into(),
        subject: subject.into(),
    }
}

fn sign_in_by(tenant_id: &str, user_id: &str, by: ProviderSession) -> SignIn {
    let new = sign_in(tenant_id, user_id);
    SignIn {
        facts: SignInFacts {
            identity_provider: Some(by),
            ..new.facts.clone()
        },
        ..new
    }
}

async fn found(store: &dyn Store, named: ProviderSession, of: Option<&str>) -> Vec<SessionId> {
    let logout = ProviderLogout {
        named,
        tenant: of.map(tenant),
    };
    let sessions = store.provider_sessions(&logout, 100).await;
    let mut ids: Vec<_> = sessions
        .expect("an answer")
        .into_iter()
        .map(|(_, id)| id)
        .collect();
    ids.sort_by_key(|id| id.to_bytes());
    ids
}

fn ids(sessions: &[&Session]) -> Vec<SessionId> {
    let mut ids: Vec<_> = sessions.iter().map(|session| session.id).collect();
    ids.sort_by_key(|id| id.to_bytes());
    ids
}

async fn a_logout_finds_the_active_sessions_that_it_names(engine: Engine) {
    let store = engine.place().await.store().await;
    let store = &*store;
    let laptop = open(store, &sign_in_by("t", "a", named("s1", "u1"))).await;
    let phone = open(store, &sign_in_by("t", "a", named("s2", "u1"))).await;
    let nameless = open(store, &sign_in_by("t", "a", named("", "u1"))).await;
    let elsewhere = open(store, &sign_in_by("o", "b", named("s1", ""))).await;
    open(store, &sign_in("t", "a")).await;
    let mut foreign = named("s1", "u1");
    foreign.issuer = "https://another.test".into();
    let foreign = open(store, &sign_in_by("t", "a", foreign)).await;

    let kept = session(store, &laptop).await;
    assert_eq!(kept.facts.identity_provider, Some(named("s1", "u1")));

    let both = named("s1", "u1");
    assert_eq!(
        found(store, both.clone(), None).await,
        ids(&[&laptop, &nameless, &elsewhere])
    );
    assert_eq!(
        found(store, both.clone(), Some("t")).await,
        ids(&[&laptop, &nameless])
    );
    assert_eq!(
        found(store, both.clone(), Some("o")).await,
        ids(&[&elsewhere])
    );
    assert_eq!(
        found(store, named("s1", ""), None).await,
        ids(&[&laptop, &elsewhere])
    );
    let of_subject = named("", "u1");
    assert_eq!(
        found(store, of_subject.clone(), None).await,
        ids(&[&laptop, &phone, &nameless])
    );
    assert!(found(store, named("u1", ""), None).await.is_empty());
    assert!(found(store, named("", ""), None).await.is_empty());

    // By their own event, and by a cutoff.
    apply(store, revoke(&[&laptop])).await;
    assert_eq!(
        found(store, of_subject.clone(), None).await,
        ids(&[&phone, &nameless])
    );
    apply(store, sign_out("t", &["a"])).await;
    assert!(found(store, of_subject, None).await.is_empty());
    assert_eq!(found(store, both, None).await, ids(&[&elsewhere]));
    assert!(session(store, &foreign).await.end.is_some());
}

async fn a_logout_of_many_sessions_is_found_in_pieces(engine: Engine) {
    let store = engine.place().await.store().await;
    for _ in 0..5 {
        open(&*store, &sign_in_by("t", "a", named("", "u1"))).await;
    }
    let logout = ProviderLogout {
        named: named("", "u1"),
        tenant: None,
    };
    for (limit, expected) in [(2, 2), (5, 5), (9, 5)] {
        let sessions = store.provider_sessions(&logout, limit).await;
        assert_eq!(sessions.expect("an answer").len(), expected);
    }
}

async fn a_logout_token_is_remembered_and_forgotten(engine: Engine) {
    let place = engine.place().await;
    let store = place.store().await;
    let minute = Duration::from_secs(60);
    assert!(!knows(&*store, 1).await);
    for _ in 0..2 {
        store
            .remember_logout_token(&[1; 32], minute)
            .await
            .expect("remembered");
        assert!(knows(&*store, 1).await);
    }
    assert!(!knows(&*store, 2).await);

    for digest in 10..16 {
        let remembered = store
            .remember_logout_token(&[digest; 32], Duration::ZERO)
            .await;
        remembered.expect("remembered");
    }
    // Each that is remembered forgets more than one whose time is over, so the table stays small.
    eventually("the old ones to be forgotten", async || {
        store
            .remember_logout_token(&[20; 32], minute)
            .await
            .expect("remembered");
        (count(&place).await == 2).then_some(())
    })
    .await;
    assert!(knows(&*store, 1).await && knows(&*store, 20).await);
}

async fn knows(store: &dyn Store, digest: u8) -> bool {
    store
        .knows_logout_token(&[digest; 32])
        .await
        .expect("an answer")
}

async fn count(place: &Place) -> usize {
    let none: [Value; 0] = [];
    query(place, "SELECT digest FROM logout_tokens", &none)
        .await
        .len()
}

crate::on_every_engine! {
    a_logout_finds_the_active_sessions_that_it_names,
    a_logout_of_many_sessions_is_found_in_pieces,
    a_logout_token_is_remembered_and_forgotten,
}
