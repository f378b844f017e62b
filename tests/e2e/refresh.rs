//! Refresh tokens by rpc: rotation, two tabs, theft.

use portcullis_contract::v1;
use portcullis_tests::{
    authority::{ADMIN, LOGIN, SUPPORT, TENANT, TestAuthority, reason, session_id, sign_in},
    gate::refused,
    postgres,
    wait::eventually,
};
use portcullis_validator::Rejection;
use tonic::{Code, Status};

async fn refresh(
    authority: &TestAuthority,
    token: &str,
) -> Result<v1::RefreshSessionResponse, Status> {
    let request = v1::RefreshSessionRequest {
        tenant_id: TENANT.into(),
        refresh_token: token.into(),
        ..Default::default()
    };
    authority
        .sessions(LOGIN)
        .refresh_session(request)
        .await
        .map(tonic::Response::into_inner)
}

async fn on_both(story: impl AsyncFn(TestAuthority)) {
    story(TestAuthority::sqlite().await).await;
    story(TestAuthority::postgres(&postgres::fresh_url().await).await).await;
}

#[tokio::test]
async fn each_refresh_gives_the_next_tokens_of_the_same_session() {
    on_both(async |authority| {
        let gate = authority.ready_gate().await;
        let created = authority.sign_in("ada").await;
        let mut token = created.refresh_token.clone();
        for _ in 0..3 {
            let refreshed = refresh(&authority, &token).await.expect("refreshed");
            assert_ne!(refreshed.refresh_token, token);
            assert_ne!(refreshed.access_token, created.access_token);
            let identity = gate.check(&refreshed.access_token).expect("admitted");
            assert_eq!(identity.session_id.to_string(), session_id(&created));
            token = refreshed.refresh_token;
        }
        assert!(
            gate.check(&created.access_token).is_ok(),
            "an access token lives until it expires"
        );
    })
    .await;
}

#[tokio::test]
async fn two_tabs_that_refresh_at_once_get_the_same_successor() {
    on_both(async |authority| {
        let created = authority.sign_in("ada").await;
        let tabs = [(); 8].map(|()| refresh(&authority, &created.refresh_token));
        let tabs = futures::future::join_all(tabs).await;
        let tokens: Vec<_> = tabs
            .into_iter()
            .map(|tab| tab.expect("refreshed").refresh_token)
            .collect();
        assert!(
            tokens.iter().all(|token| *token == tokens[0]),
            "one winner, one successor"
        );
        refresh(&authority, &tokens[0])
            .await
            .expect("the successor is good");
    })
    .await;
}

#[tokio::test]
async fn an_old_token_after_its_successor_was_used_is_theft_and_ends_the_session() {
    on_both(async |authority| {
        let gate = authority.ready_gate().await;
        let created = authority.sign_in("ada").await;
        let first = refresh(&authority, &created.refresh_token)
            .await
            .expect("refreshed");
        let second = refresh(&authority, &first.refresh_token)
            .await
            .expect("refreshed");
        let theft = refresh(&authority, &created.refresh_token)
            .await
            .expect_err("two generations old");
        assert_eq!(
            (theft.code(), reason(&theft).as_str()),
            (Code::Unauthenticated, "REFRESH_TOKEN_REUSED")
        );
        assert_eq!(
            refused(&gate, &second.access_token).await,
            Rejection::Revoked
        );
        let over = refresh(&authority, &second.refresh_token)
            .await
            .expect_err("it has ended");
        assert_eq!(reason(&over), "SESSION_ENDED");
        let request = v1::GetSessionRequest {
            tenant_id: TENANT.into(),
            session_id: session_id(&created),
        };
        let found = authority
            .sessions(SUPPORT)
            .get_session(request)
            .await
            .expect("found")
            .into_inner();
        let end = found
            .session
            .and_then(|session| session.end)
            .expect("an end");
        assert_eq!(end.cause(), v1::SessionEndCause::RefreshTokenReused);
        assert_eq!(end.actor, "authority");
        refresh(&authority, &created.refresh_token)
            .await
            .expect_err("again");
        let action = "finding.refresh_token_reused".to_owned();
        let request = v1::ListAuditEventsRequest {
            tenant_id: TENANT.into(),
            action,
            ..Default::default()
        };
        let listed = async || {
            let found = authority
                .audit(ADMIN)
                .list_audit_events(request.clone())
                .await
                .expect("a list")
                .into_inner();
            (!found.events.is_empty()).then_some(found.events)
        };
        let found = eventually("the finding is in the trail", listed).await;
        assert_eq!(
            found
                .iter()
                .map(|event| event.target.clone())
                .collect::<Vec<_>>(),
            [session_id(&created)]
        );
    })
    .await;
}

#[tokio::test]
async fn a_token_that_is_not_one_is_refused_and_ends_nothing() {
    let authority = TestAuthority::sqlite().await;
    let gate = authority.ready_gate().await;
    let created = authority.sign_in("ada").await;
    let good = &created.refresh_token;
    let mut forged = good.clone();
    forged.replace_range(70..71, if &good[70..71] == "A" { "B" } else { "A" });
    let garbage = "A".repeat(100_000);
    for token in [
        "",
        "prt_",
        &good[..good.len() - 1],
        &format!("{good}A"),
        &forged,
        &created.access_token,
        &garbage,
    ] {
        let refused = refresh(&authority, token)
            .await
            .expect_err("not a refresh token");
        assert_eq!(reason(&refused), "REFRESH_TOKEN_INVALID", "{token:.20}");
    }
    let request = v1::RefreshSessionRequest {
        tenant_id: "elsewhere".into(),
        refresh_token: good.clone(),
        ..Default::default()
    };
    let refused = authority
        .sessions(LOGIN)
        .refresh_session(request)
        .await
        .expect_err("another tenant");
    assert_eq!(reason(&refused), "REFRESH_TOKEN_INVALID");
    assert!(gate.check(&created.access_token).is_ok());
    refresh(&authority, good)
        .await
        .expect("the good one still is");
    assert!(
        gate.check(good).is_err(),
        "a refresh token is no access token"
    );
}

#[tokio::test]
async fn a_repeated_sign_in_with_a_request_id_is_one_session() {
    on_both(async |authority| {
        let request = || v1::CreateSessionRequest {
            request_id: "r-1".into(),
            ..sign_in("ada")
        };
        let mut login = authority.sessions(LOGIN);
        let first = login
            .create_session(request())
            .await
            .expect("opened")
            .into_inner();
        let second = login
            .create_session(request())
            .await
            .expect("the same")
            .into_inner();
        assert_eq!(session_id(&first), session_id(&second));
        assert_eq!(first.refresh_token, second.refresh_token);
        let other = v1::CreateSessionRequest {
            request_id: "r-1".into(),
            ..sign_in("bob")
        };
        let refused = login
            .create_session(other)
            .await
            .expect_err("other arguments");
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::AlreadyExists, "REQUEST_ID_REUSED")
        );
    })
    .await;
}
