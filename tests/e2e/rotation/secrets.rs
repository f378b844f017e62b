//! The secrets that make refresh tokens and page tokens.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis_contract::v1;
use portcullis_tests::{
    authority::{ADMIN, OPERATOR, TENANT, TestAuthority, reason},
    wait::eventually,
};
use tonic::Status;

use super::{Pair, making, number_of, refresh_at, rotate};

async fn retire(
    authority: &TestAuthority,
    kind: v1::SecretKind,
    number: u32,
    force: bool,
) -> Result<v1::Secret, Status> {
    let request = v1::RetireSecretRequest {
        kind: kind.into(),
        number,
        reason: "old".into(),
        force,
    };
    let retired = authority.keys(OPERATOR).retire_secret(request).await?;
    Ok(retired.into_inner().secret.expect("a secret"))
}

fn renumbered(token: &str, number: u8) -> String {
    let text = token.strip_prefix("prt_").expect("a refresh token");
    let mut bytes = URL_SAFE_NO_PAD.decode(text).expect("base64");
    bytes[0] = number;
    format!("prt_{}", URL_SAFE_NO_PAD.encode(bytes))
}

#[tokio::test]
async fn a_token_of_a_secret_that_an_authority_has_not_read_yet_is_good_there() {
    let pair = Pair::start().await;
    let mut slow = pair.other;
    // Its own delay decides how often it reads the secrets by itself: every 15 s.
    slow.config.keys.activation_delay = Duration::from_secs(3600);
    slow.config.log.checkpoint_interval = Duration::from_secs(3600);
    slow.stop().await;
    slow.start().await;
    let first = slow.sign_in("ada").await;
    assert!(
        refresh_at(&slow.endpoint(), &first.refresh_token)
            .await
            .is_ok()
    );

    rotate(&pair.line.authority, v1::SecretKind::Refresh).await;
    making(&pair.line.authority, v1::SecretKind::Refresh, 2).await;
    let session = pair.line.authority.sign_in("ada").await;
    assert_eq!(number_of(&session.refresh_token), 2);
    let refreshed = refresh_at(&slow.endpoint(), &session.refresh_token).await;
    assert!(refreshed.is_ok(), "{refreshed:?}");

    // A number that nobody has made is refused like any forged token.
    let forged = renumbered(&session.refresh_token, 9);
    let refused = refresh_at(&slow.endpoint(), &forged).await;
    assert_eq!(
        reason(&refused.expect_err("forged")),
        "REFRESH_TOKEN_INVALID"
    );
}

#[tokio::test]
async fn a_retired_secret_ends_the_sessions_that_depend_on_it_and_only_when_told() {
    let pair = Pair::start().await;
    let (one, other) = (&pair.line.authority, &pair.other);
    let kind = v1::SecretKind::Refresh;
    let old = one.sign_in("ada").await;
    let in_use = retire(one, kind, 1, true)
        .await
        .expect_err("it makes tokens");
    assert_eq!(reason(&in_use), "SECRET_IN_USE");
    let absent = retire(one, kind, 7, true).await.expect_err("there is none");
    assert_eq!(reason(&absent), "SECRET_NOT_FOUND");

    rotate(one, kind).await;
    making(one, kind, 2).await;
    let new = one.sign_in("bob").await;
    let needed = retire(one, kind, 1, false).await.expect_err("ada needs it");
    assert_eq!(reason(&needed), "FORCE_REQUIRED");
    let run = [
        "keys",
        "retire-secret",
        "refresh",
        "1",
        "--reason",
        "old",
        "--yes",
    ];
    let run = [&run[..], &["--context", "operator"]].concat();
    pair.line.run(&run).await.failed(5, &["--end-sessions"]);
    let forced = [&run[..], &["--end-sessions"]].concat();
    let ended = pair.line.run(&forced).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");

    let refused = refresh_at(&one.endpoint(), &old.refresh_token).await;
    assert_eq!(
        reason(&refused.expect_err("retired")),
        "REFRESH_TOKEN_INVALID"
    );
    eventually("the other authority to follow", async || {
        let refused = refresh_at(&other.endpoint(), &old.refresh_token)
            .await
            .err()?;
        // Until then it is exchanged, and repeated within the grace.
        (reason(&refused) == "REFRESH_TOKEN_INVALID").then_some(())
    })
    .await;
    for authority in [one, other] {
        let refreshed = refresh_at(&authority.endpoint(), &new.refresh_token).await;
        assert!(refreshed.is_ok(), "{refreshed:?}");
    }
    assert_eq!(
        retire(other, kind, 1, false).await.expect("it is").state(),
        v1::SecretState::Retired
    );

    let events = v1::ListAuditEventsRequest::default();
    let events = one.audit(OPERATOR).list_audit_events(events).await;
    let events = events.expect("events").into_inner().events;
    for (action, target) in [("secret.add", "refresh-2"), ("secret.retire", "refresh-1")] {
        let found = events
            .iter()
            .find(|event| event.action == action && event.target == target);
        assert!(found.is_some(), "{action}: {events:?}");
    }
}

#[tokio::test]
async fn a_page_token_of_the_secret_before_is_good_until_that_is_retired() {
    let pair = Pair::start().await;
    let (one, other) = (&pair.line.authority, &pair.other);
    for _ in 0..3 {
        one.sign_in("ada").await;
    }
    let page = async |authority: &TestAuthority, token: &str| {
        let request = v1::ListSessionsRequest {
            tenant_id: TENANT.into(),
            page_size: 1,
            page_token: token.into(),
            ..Default::default()
        };
        let listed = authority.sessions(ADMIN).list_sessions(request).await;
        listed.map(|listed| listed.into_inner().next_page_token)
    };
    let old = page(one, "").await.expect("a page");
    rotate(one, v1::SecretKind::Pages).await;
    making(one, v1::SecretKind::Pages, 2).await;
    // The same position has another token once the new secret makes them.
    let new = eventually("tokens of the new secret", async || {
        let token = page(one, "").await.expect("a page");
        (token != old).then_some(token)
    })
    .await;
    for authority in [one, other] {
        assert!(page(authority, &old).await.is_ok());
        assert!(page(authority, &new).await.is_ok());
    }
    retire(one, v1::SecretKind::Pages, 1, false)
        .await
        .expect("retired");
    let refused = page(one, &old).await.expect_err("retired");
    assert_eq!(reason(&refused), "PAGE_TOKEN_INVALID");
    assert!(page(one, &new).await.is_ok());
}

#[tokio::test]
async fn each_bad_field_is_named() {
    let authority = TestAuthority::sqlite().await;
    let mut keys = authority.keys(OPERATOR);
    let rotate = v1::RotateSecretRequest::default();
    let refused = keys.rotate_secret(rotate).await.expect_err("no kind");
    assert!(
        refused.message().starts_with("kind: required"),
        "{refused:?}"
    );
    let rotate = v1::RotateSecretRequest {
        kind: v1::SecretKind::Refresh.into(),
        reason: String::new(),
    };
    let refused = keys.rotate_secret(rotate).await.expect_err("no reason");
    assert!(refused.message().starts_with("reason: "), "{refused:?}");
    for number in [0, 256] {
        let refused = retire(&authority, v1::SecretKind::Pages, number, false).await;
        let refused = refused.expect_err("no number");
        assert!(refused.message().starts_with("number: must"), "{refused:?}");
    }
    let reseal = v1::ResealSecretsRequest {
        reason: "x".into(),
        values_max: 65,
    };
    let refused = keys.reseal_secrets(reseal).await.expect_err("too many");
    assert!(
        refused.message().starts_with("values_max: must"),
        "{refused:?}"
    );
    let by_admin = authority
        .keys(ADMIN)
        .list_secrets(v1::ListSecretsRequest {})
        .await;
    assert_eq!(
        reason(&by_admin.expect_err("no operator")),
        "PERMISSION_DENIED"
    );
}
