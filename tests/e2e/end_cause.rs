//! Why a session ended, for who holds nothing but its token.

use std::time::Duration;

use portcullis_authority::{config::Config, domain::Policy};
use portcullis_contract::v1;
use portcullis_tests::{
    authority::{
        ADMIN, GATEWAY, LOGIN, SUPPORT, TENANT, TestAuthority, reason, session_id, sign_in,
        violations,
    },
    postgres::{self, fresh_url},
    rows::{behind, set_policy_behind},
    wait::eventually,
};
use v1::SessionEndCause as Cause;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn on_both(story: impl AsyncFn(TestAuthority)) {
    story(TestAuthority::sqlite().await).await;
    story(TestAuthority::postgres(&postgres::fresh_url().await).await).await;
}

/// What its token says of a session: why it does not admit, and how it ended.
async fn own(
    authority: &TestAuthority,
    created: &v1::CreateSessionResponse,
) -> (String, Option<v1::SessionEnd>) {
    let request = v1::IntrospectTokenRequest::default();
    let answer = authority
        .sessions(&created.access_token)
        .introspect_token(request)
        .await
        .expect("an answer");
    let answer = answer.into_inner();
    (
        answer.inactive_reason,
        answer.session.expect("a session").end,
    )
}

async fn cause(authority: &TestAuthority, created: &v1::CreateSessionResponse) -> (String, Cause) {
    let (reason, end) = own(authority, created).await;
    (reason, end.map_or(Cause::Unspecified, |end| end.cause()))
}

fn one(created: &v1::CreateSessionResponse) -> v1::RevokeSessionRequest {
    v1::RevokeSessionRequest {
        session_id: session_id(created),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_user_s_own_sign_out_is_told_from_that_on_another_device() {
    on_both(async |authority| {
        let (signed_out, another) = (
            ("signed_out".to_owned(), Cause::User),
            ("signed_out".to_owned(), Cause::AnotherDevice),
        );
        let [first, second, third] = [
            authority.sign_in("ada").await,
            authority.sign_in("ada").await,
            authority.sign_in("ada").await,
        ];
        authority
            .sessions(&first.access_token)
            .revoke_session(one(&first))
            .await
            .expect("signed out");
        assert_eq!(cause(&authority, &first).await, signed_out);
        authority
            .sessions(&third.access_token)
            .revoke_session(one(&second))
            .await
            .expect("signed out");
        assert_eq!(cause(&authority, &second).await, another);

        let fourth = authority.sign_in("ada").await;
        let mut with_fourth = authority.sessions(&fourth.access_token);
        with_fourth
            .revoke_other_sessions(v1::RevokeOtherSessionsRequest::default())
            .await
            .expect("signed out");
        assert_eq!(cause(&authority, &third).await, another);
        assert_eq!(
            cause(&authority, &fourth).await,
            (String::new(), Cause::Unspecified),
            "it goes on"
        );
        let fifth = authority.sign_in("ada").await;
        let all = v1::RevokeOtherSessionsRequest {
            include_current: true,
            ..Default::default()
        };
        with_fourth
            .revoke_other_sessions(all)
            .await
            .expect("signed out");
        assert_eq!(
            cause(&authority, &fourth).await,
            another,
            "with the current one"
        );
        assert_eq!(cause(&authority, &fifth).await, another);
    })
    .await;
}

#[tokio::test]
async fn the_end_cause_names_the_administrator_s_action() {
    on_both(async |authority| {
        let revoked = |cause: Cause| ("revoked".to_owned(), cause);
        let disabled = authority.sign_in("bob").await;
        let request = v1::DisableUserRequest {
            tenant_id: TENANT.into(),
            user_id: "bob".into(),
            reason: "left the company".into(),
            user_message: "your account is closed".into(),
            ..Default::default()
        };
        authority
            .users(ADMIN)
            .disable_user(request)
            .await
            .expect("disabled");
        assert_eq!(
            cause(&authority, &disabled).await,
            revoked(Cause::UserDisabled)
        );
        let end = own(&authority, &disabled).await.1.expect("an end");
        assert_eq!(
            (end.user_message.as_str(), end.reason.as_str()),
            ("your account is closed", "")
        );

        let replaced = authority.sign_in("ada").await;
        let again = v1::CreateSessionRequest {
            replaces_session_id: session_id(&replaced),
            ..sign_in("ada")
        };
        let again = authority
            .sessions(LOGIN)
            .create_session(again)
            .await
            .expect("signed in")
            .into_inner();
        assert_eq!(cause(&authority, &replaced).await, revoked(Cause::Replaced));
        let request = v1::RevokeOtherSessionsRequest {
            tenant_id: TENANT.into(),
            user_id: "ada".into(),
            include_current: true,
            cause: Cause::PasswordChanged.into(),
            ..Default::default()
        };
        authority
            .sessions(LOGIN)
            .revoke_other_sessions(request)
            .await
            .expect("ended");
        assert_eq!(
            cause(&authority, &again).await,
            revoked(Cause::PasswordChanged)
        );

        let expired = authority.sign_in("eve").await;
        behind(
            &authority,
            "UPDATE sessions SET expires_us = created_us + 1 WHERE user_id = 'eve'",
        )
        .await;
        assert_eq!(
            cause(&authority, &expired).await,
            ("expired".to_owned(), Cause::Unspecified)
        );
    })
    .await;
}

#[tokio::test]
async fn the_sweep_s_end_cause_is_idle_or_policy() {
    let often = |config: &mut Config| {
        config.sessions.sweep_interval = Duration::from_millis(100);
        config.sessions.activity_delay_max = Duration::from_secs(1);
    };
    let url = fresh_url().await;
    let on_postgres = |config: &mut Config| {
        often(config);
        config.store.url = url;
    };
    for authority in [
        TestAuthority::with(often).await,
        TestAuthority::with(on_postgres).await,
    ] {
        let ended = async |created: &v1::CreateSessionResponse| {
            eventually("the sweep", async || own(&authority, created).await.1)
                .await
                .cause()
        };
        let idle = authority.sign_in("idle").await;
        let month_ago = "UPDATE sessions SET created_us = created_us - 2592000000000, \
             active_us = active_us - 2592000000000, expires_us = expires_us + 2592000000000, due_us = 1";
        let walked = "SELECT 'no' FROM policies WHERE sweep_from IS NOT NULL";
        let walked = async || {
            eventually("the walk to end", async || {
                behind(&authority, walked).await.is_none().then_some(())
            })
            .await;
        };
        let mut policy = Policy::default();
        (
            policy.limits.session_lifetime,
            policy.limits.remember_me_lifetime,
        ) = (DAY * 60, DAY * 60);
        set_policy_behind(&authority, TENANT, &policy).await;
        // A walk for the new policy would end the session because of the policy.
        walked().await;
        behind(&authority, "UPDATE installation SET resumed_us = 1").await;
        behind(&authority, month_ago).await;
        let end = eventually("the sweep", async || {
            // Each time: a sweep that began before `resumed_us` changed postpones the session by days.
            let due = "UPDATE sessions SET due_us = 1 WHERE due_us IS NOT NULL";
            behind(&authority, due).await;
            own(&authority, &idle).await.1
        });
        assert_eq!(end.await.cause(), Cause::Idle);

        let mut opened = Vec::new();
        for _ in 0..4 {
            opened.push(authority.sign_in("ada").await);
        }
        policy.limits.sessions_max = Some(2);
        set_policy_behind(&authority, TENANT, &policy).await;
        assert_eq!(
            [ended(&opened[0]).await, ended(&opened[1]).await],
            [Cause::Policy; 2]
        );
        walked().await;
        for kept in &opened[2..] {
            assert_eq!(
                own(&authority, kept).await,
                (String::new(), None),
                "the newest may stay"
            );
        }
        // A policy that was read is believed for a second.
        tokio::time::sleep(Duration::from_millis(1_050)).await;
        authority.sign_in("ada").await;
        assert_eq!(ended(&opened[2]).await, Cause::SessionLimit);
    }
}

#[tokio::test]
async fn an_ended_token_alone_is_enough_to_learn_why_it_ended() {
    on_both(async |authority| {
        let created = authority.sign_in("ada").await;
        let request = v1::RevokeSessionRequest {
            tenant_id: TENANT.into(),
            session_id: session_id(&created),
            reason: "the laptop was stolen".into(),
            user_message: "please call us".into(),
            ..Default::default()
        };
        authority
            .sessions(ADMIN)
            .revoke_session(request)
            .await
            .expect("revoked");
        let mut own = authority.sessions(&created.access_token);
        let answer = own
            .introspect_token(v1::IntrospectTokenRequest::default())
            .await
            .expect("an answer")
            .into_inner();
        let end = answer
            .session
            .and_then(|session| session.end)
            .expect("an end");
        assert!(!answer.active);
        assert_eq!(
            (answer.inactive_reason.as_str(), end.cause()),
            ("revoked", v1::SessionEndCause::Administrator)
        );
        assert_eq!(
            (
                end.user_message.as_str(),
                end.reason.as_str(),
                end.actor.as_str()
            ),
            ("please call us", "", "")
        );

        // What administrators write for each other is not for gateways either, which show it to whoever asks.
        for (bearer, reason, actor) in [
            (GATEWAY, "", ""),
            (SUPPORT, "the laptop was stolen", "service:admin"),
        ] {
            let token = created.access_token.clone();
            let request = v1::IntrospectTokenRequest {
                tenant_id: TENANT.into(),
                token,
                ..Default::default()
            };
            let answer = authority
                .sessions(bearer)
                .introspect_token(request)
                .await
                .expect("an answer")
                .into_inner();
            let end = answer
                .session
                .and_then(|session| session.end)
                .expect("an end");
            assert_eq!(
                (end.reason.as_str(), end.actor.as_str()),
                (reason, actor),
                "{bearer}"
            );
        }

        let other = authority.sign_in("bob").await.access_token;
        let request = v1::IntrospectTokenRequest {
            token: other,
            ..Default::default()
        };
        let foreign = own
            .introspect_token(request)
            .await
            .expect_err("somebody else's");
        assert_eq!(violations(&foreign), ["token"]);
        let listed = own
            .list_sessions(v1::ListSessionsRequest::default())
            .await
            .expect_err("it has ended");
        assert_eq!(reason(&listed), "CREDENTIALS_INVALID");
    })
    .await;
}

#[tokio::test]
async fn a_token_that_admits_no_more_shows_nothing_but_why() {
    let authority =
        TestAuthority::with(|config| config.tokens.access_token_lifetime = Duration::from_secs(1))
            .await;
    let created = authority.sign_in("ada").await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let own = async || {
        let mut sessions = authority.sessions(&created.access_token);
        sessions
            .introspect_token(v1::IntrospectTokenRequest::default())
            .await
            .expect("an answer")
            .into_inner()
    };
    let expired = own().await;
    assert_eq!(
        (expired.active, expired.inactive_reason.as_str()),
        (false, "expired")
    );
    let shown = expired.session.expect("a session");
    let allowed = v1::Session {
        id: session_id(&created),
        tenant_id: TENANT.into(),
        user_id: "ada".into(),
        state: v1::SessionState::Active.into(),
        create_time: shown.create_time,
        expire_time: shown.expire_time,
        ..Default::default()
    };
    assert_eq!(
        shown, allowed,
        "the session lives: whoever has an old token is told nothing of it"
    );
    let id = session_id(&created);
    let request = v1::RevokeSessionRequest {
        tenant_id: TENANT.into(),
        session_id: id,
        ..Default::default()
    };
    authority
        .sessions(ADMIN)
        .revoke_session(request)
        .await
        .expect("revoked");
    let ended = own().await.session.expect("a session");
    assert_eq!(
        ended.end.as_ref().map(v1::SessionEnd::cause),
        Some(v1::SessionEndCause::Administrator)
    );
    assert_eq!((ended.client, ended.device), (None, None));
}
