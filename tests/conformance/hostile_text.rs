//! Texts that want to be something else.

use portcullis_authority::domain::{
    ClientInfo, Entry, Profile, ProviderSession, SessionFilter, SignIn, SignInFacts,
};
use portcullis_contract::id::CALLER_ID_BYTES_MAX;
use portcullis_tests::{
    calls::{append, apply, list, open, session},
    given::{disable, enable, revoke, sign_in, sign_out, sign_out_tenant, tenant, user},
    replay::is_alive,
};

use crate::Engine;

fn hostile() -> Vec<String> {
    let texts = [
        "'; DROP TABLE sessions; --",
        "\"quoted\" and `ticked`",
        "100%_sure\\%\\_",
        "$1 $2 ?1 :name @name",
        "É\u{301}ñ 日本語 🦀 \u{202e}rtl",
        "É",
        "E\u{301}",
        "NULL",
        " leading and trailing ",
        "U",
        "u",
        "0",
        "00",
        "{\"json\": [1]}",
        "\\x00 \\n",
    ];
    let mut texts: Vec<_> = texts.map(String::from).to_vec();
    texts.push("x".repeat(CALLER_ID_BYTES_MAX));
    texts.push("語".repeat(CALLER_ID_BYTES_MAX / 3));
    texts
}

async fn ids_are_kept_byte_for_byte_and_never_taken_for_each_other(engine: Engine) {
    let store = engine.place().await.store().await;
    let mut sessions = Vec::new();
    for text in hostile() {
        sessions.push(open(&*store, &sign_in(&text, &text)).await);
        sessions.push(open(&*store, &sign_in("t", &text)).await);
    }
    for (number, session) in sessions.iter().enumerate() {
        let kept = self::session(&*store, session).await;
        assert_eq!(
            (&kept.tenant_id, &kept.user_id),
            (&session.tenant_id, &session.user_id)
        );
        apply(
            &*store,
            sign_out(session.tenant_id.as_str(), &[session.user_id.as_str()]),
        )
        .await;
        let next = sessions.get(number + 1);
        assert!(!is_alive(&*store, session).await, "{:?}", session.user_id);
        if let Some(next) = next {
            assert!(
                is_alive(&*store, next).await,
                "{:?} was taken for {:?}",
                next.user_id,
                session.user_id
            );
        }
    }
}

async fn every_text_of_a_session_and_its_end_comes_back(engine: Engine) {
    let store = engine.place().await.store().await;
    for text in hostile() {
        let new = SignIn {
            profile: Profile {
                user_name: text.clone(),
                email: text.clone(),
                ..Profile::default()
            },
            client: ClientInfo {
                ip: text.clone(),
                user_agent: text.clone(),
                device_id: text.clone(),
                app_name: text.clone(),
            },
            facts: SignInFacts {
                amr: vec![text.clone(), String::new()],
                audiences: vec![text.clone()],
                client_id: text.clone(),
                identity_provider: Some(ProviderSession {
                    issuer: text.clone(),
                    session_id: text.clone(),
                    subject: text.clone(),
                }),
            },
            acr: text.clone(),
            request: Some((text.clone(), [1; 32])),
            ..sign_in("t", &text)
        };
        let opened = open(&*store, &new).await;
        assert_eq!(open(&*store, &new).await.id, opened.id);
        let end = Entry {
            reason: text.clone(),
            user_message: text.clone(),
            ..revoke(&[&opened])
        };
        apply(&*store, end).await;
        let kept = session(&*store, &opened).await;
        assert!(kept.client == new.client && kept.facts == new.facts && kept.acr == text);
        let end = kept.end.expect("an end");
        assert_eq!((end.reason, end.user_message), (text.clone(), text.clone()));
        let known = store
            .user(&tenant("t"), &user(&text))
            .await
            .expect("an answer")
            .expect("a user");
        assert!(known.profile == new.profile);
        let filter = SessionFilter {
            user_id: Some(user(&text)),
            ..SessionFilter::of(tenant("t"))
        };
        assert_eq!(list(&*store, &filter).await.len(), 1, "{text}");
    }
}

async fn hostile_texts_share_a_batch(engine: Engine) {
    let store = engine.place().await.store().await;
    let texts = hostile();
    let all: Vec<_> = texts.iter().map(String::as_str).collect();
    let mut batch = vec![sign_out("t", &all)];
    batch.extend(all.iter().map(|text| sign_out_tenant(text)));
    batch.extend(all.iter().map(|text| enable(text, text)));
    let outcomes = append(&*store, &batch).await;
    let (applied, unknown) = outcomes.split_at(1 + all.len());
    assert!(applied.iter().all(Result::is_ok) && unknown.iter().all(Result::is_err));
    assert_eq!(applied[0].expect("applied").changed as usize, all.len());
}

async fn one_user_id_in_two_tenants_is_two_users(engine: Engine) {
    let store = engine.place().await.store().await;
    let (one, two) = (
        open(&*store, &sign_in("one", "u")).await,
        open(&*store, &sign_in("two", "u")).await,
    );
    let cases = [
        sign_out("one", &["u"]),
        sign_out_tenant("one"),
        disable("one", "u"),
    ];
    for entry in cases {
        apply(&*store, entry).await;
        assert!(!is_alive(&*store, &one).await && is_alive(&*store, &two).await);
    }
    assert!(
        store
            .user(&tenant("two"), &user("u"))
            .await
            .expect("an answer")
            .expect("a user")
            .disabled
            .is_none()
    );
    let again = open(&*store, &sign_in("two", "u")).await;
    assert!(is_alive(&*store, &again).await);
}

crate::on_every_engine! {
    ids_are_kept_byte_for_byte_and_never_taken_for_each_other,
    every_text_of_a_session_and_its_end_comes_back,
    hostile_texts_share_a_batch,
    one_user_id_in_two_tenants_is_two_users,
}
