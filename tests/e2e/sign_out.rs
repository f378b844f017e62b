//! Signing out: by the session's own access token, and by any token of the session.

use std::time::Duration;

use portcullis_authority::{config::Config, domain::Policy};
use portcullis_contract::v1;
use portcullis_tests::{
    authority::{
        ADMIN, GATEWAY, LOGIN, OTHER_ADMIN, SUPPORT, TENANT, TestAuthority, reason, session_id,
        sign_in, violations,
    },
    postgres,
    rows::{behind, set_policy_behind},
    wait::eventually,
};
use tonic::{Code, Status};
use v1::SessionEndCause as Cause;

async fn authorities_with(change: impl Fn(&mut Config)) -> [TestAuthority; 2] {
    let url = postgres::fresh_url().await;
    [
        TestAuthority::with(&change).await,
        TestAuthority::with(|config| {
            config.store.url = url;
            change(config);
        })
        .await,
    ]
}

async fn authorities() -> [TestAuthority; 2] {
    authorities_with(|_| {}).await
}

/// The events of the tenant's trail with this action.
async fn trail(authority: &TestAuthority, action: &str) -> usize {
    let request = v1::ListAuditEventsRequest {
        tenant_id: TENANT.into(),
        action: action.into(),
        ..Default::default()
    };
    let mut audit = authority.audit(SUPPORT);
    let listed = audit.list_audit_events(request).await.expect("a list");
    listed.into_inner().events.len()
}

/// Access tokens live for so short that a test sees them expire. Their sessions live on.
async fn authorities_with_short_tokens() -> [TestAuthority; 2] {
    authorities_with(|config| config.tokens.access_token_lifetime = Duration::from_secs(1)).await
}

async fn wait_for_expiry(authority: &TestAuthority, created: &v1::CreateSessionResponse) {
    let request = v1::IntrospectTokenRequest {
        tenant_id: TENANT.into(),
        token: created.access_token.clone(),
        ..Default::default()
    };
    eventually("the access token expires", async || {
        let mut sessions = authority.sessions(GATEWAY);
        let answer = sessions.introspect_token(request.clone()).await;
        let answer = answer.expect("an answer").into_inner();
        (answer.inactive_reason == "expired").then_some(())
    })
    .await;
}

/// Ends a session by the access token of `with`. An empty id stands for the session of the call.
async fn revoke(
    authority: &TestAuthority,
    with: &v1::CreateSessionResponse,
    session_id: &str,
) -> Result<v1::Session, Status> {
    let request = v1::RevokeSessionRequest {
        session_id: session_id.into(),
        ..Default::default()
    };
    let mut sessions = authority.sessions(&with.access_token);
    let revoked = sessions.revoke_session(request).await?;
    Ok(revoked.into_inner().session.expect("a session"))
}

/// The session as staff sees it.
async fn session(authority: &TestAuthority, created: &v1::CreateSessionResponse) -> v1::Session {
    let request = v1::GetSessionRequest {
        tenant_id: TENANT.into(),
        session_id: session_id(created),
    };
    let mut sessions = authority.sessions(SUPPORT);
    let got = sessions.get_session(request).await.expect("a session");
    got.into_inner().session.expect("a session")
}

async fn is_active(authority: &TestAuthority, created: &v1::CreateSessionResponse) -> bool {
    session(authority, created).await.state() == v1::SessionState::Active
}

fn end_cause(session: &v1::Session) -> Cause {
    session
        .end
        .as_ref()
        .map_or(Cause::Unspecified, v1::SessionEnd::cause)
}

/// The policies that guard other sessions, and the error of each.
fn guarding_policies() -> Vec<(Policy, &'static str)> {
    let hides = Policy {
        users_see_sessions: false,
        ..Policy::default()
    };
    let mut asks = Policy::default();
    asks.limits.reauthenticate_within = Some(Duration::from_secs(1));
    let mut both = asks.clone();
    both.users_see_sessions = false;
    vec![
        (Policy::default(), ""),
        (hides, "POLICY_FORBIDS"),
        (asks, "REAUTHENTICATION_REQUIRED"),
        (both, "POLICY_FORBIDS"),
    ]
}

/// Signs a user in who authenticated an hour ago.
async fn long_ago(authority: &TestAuthority, user: &str) -> v1::CreateSessionResponse {
    let hour_ago = std::time::SystemTime::now() - Duration::from_secs(3_600);
    let request = v1::CreateSessionRequest {
        auth_time: Some(hour_ago.into()),
        ..sign_in(user)
    };
    let created = authority.sessions(LOGIN).create_session(request).await;
    created.expect("a sign-in").into_inner()
}

/// Sets a policy, and waits until this authority obeys it.
async fn obey(authority: &TestAuthority, policy: &Policy, error: &str) {
    set_policy_behind(authority, TENANT, policy).await;
    let probe = long_ago(authority, "probe").await;
    eventually("the policy is in force", async || {
        let request = v1::RevokeOtherSessionsRequest {
            validate_only: true,
            ..Default::default()
        };
        let mut sessions = authority.sessions(&probe.access_token);
        match sessions.revoke_other_sessions(request).await {
            Ok(_) => error.is_empty().then_some(()),
            Err(status) => (reason(&status) == error).then_some(()),
        }
    })
    .await;
}

#[tokio::test]
async fn the_session_of_the_call_ends_whatever_the_policy_guards() {
    for authority in authorities().await {
        for (policy, error) in guarding_policies() {
            obey(&authority, &policy, error).await;
            for is_named in [true, false] {
                let own = long_ago(&authority, "ada").await;
                let other = long_ago(&authority, "ada").await;
                let foreign = long_ago(&authority, "bob").await;

                // The guards hold for every session but the own one.
                let refused = revoke(&authority, &own, &session_id(&other)).await;
                match error {
                    "" => assert!(refused.is_ok()),
                    error => {
                        assert_eq!(reason(&refused.expect_err("guarded")), error);
                        assert!(is_active(&authority, &other).await);
                    }
                }
                let refused = revoke(&authority, &own, &session_id(&foreign)).await;
                let expected = if error.is_empty() {
                    "SESSION_NOT_FOUND"
                } else {
                    error
                };
                assert_eq!(reason(&refused.expect_err("another user's")), expected);

                let named = if is_named {
                    session_id(&own)
                } else {
                    String::new()
                };
                let ended = revoke(&authority, &own, &named).await;
                let ended = ended.unwrap_or_else(|refused| panic!("{error}: {refused:?}"));
                assert_eq!(ended.state(), v1::SessionState::SignedOut);
                assert_eq!(end_cause(&ended), Cause::User);
                // A tenant that hides sessions from users shows no client, device or place here either.
                assert_eq!(ended.client.is_some(), policy.users_see_sessions);
                assert!(!is_active(&authority, &own).await);
                assert!(is_active(&authority, &foreign).await);
            }
        }
    }
}

#[tokio::test]
async fn an_expired_access_token_ends_its_own_session_and_does_nothing_else() {
    for authority in authorities_with_short_tokens().await {
        let own = authority.sign_in("ada").await;
        let other = authority.sign_in("ada").await;
        wait_for_expiry(&authority, &own).await;

        let refused = revoke(&authority, &own, &session_id(&other)).await;
        assert_eq!(
            reason(&refused.expect_err("another one")),
            "CREDENTIALS_INVALID"
        );
        let mut sessions = authority.sessions(&own.access_token);
        let others = v1::RevokeOtherSessionsRequest {
            include_current: true,
            ..Default::default()
        };
        let refused = sessions.revoke_other_sessions(others).await;
        assert_eq!(
            reason(&refused.expect_err("others too")),
            "CREDENTIALS_INVALID"
        );
        let refused = sessions
            .list_sessions(v1::ListSessionsRequest::default())
            .await;
        assert_eq!(
            reason(&refused.expect_err("expired")),
            "CREDENTIALS_INVALID"
        );
        assert!(is_active(&authority, &own).await && is_active(&authority, &other).await);

        let ended = revoke(&authority, &own, "").await.expect("signed out");
        assert_eq!(end_cause(&ended), Cause::User);
        assert_eq!(ended.client, None, "an old token may be in other hands");
        assert!(!is_active(&authority, &own).await);
        assert!(is_active(&authority, &other).await);
    }
}

#[tokio::test]
async fn a_repeated_sign_out_succeeds_and_says_how_the_session_ended() {
    for authority in authorities().await {
        let own = authority.sign_in("ada").await;
        let first = revoke(&authority, &own, "").await.expect("signed out");
        let again = revoke(&authority, &own, &session_id(&own)).await;
        let again = again.expect("its answer may have been lost");
        assert_eq!(again.end, first.end);
        assert_eq!(trail(&authority, "session.revoke").await, 1);

        // Whoever has the token of an ended session learns the end, and no administrator's words.
        let revoked = authority.sign_in("ada").await;
        let request = v1::RevokeSessionRequest {
            tenant_id: TENANT.into(),
            session_id: session_id(&revoked),
            reason: "a secret remark".into(),
            user_message: "call us".into(),
            ..Default::default()
        };
        let mut admin = authority.sessions(ADMIN);
        admin.revoke_session(request).await.expect("revoked");
        let shown = revoke(&authority, &revoked, "").await.expect("has ended");
        assert_eq!(
            end_cause(&shown),
            Cause::Administrator,
            "the first end stays"
        );
        let end = shown.end.expect("an end");
        assert_eq!(
            (end.user_message.as_str(), end.reason.as_str()),
            ("call us", "")
        );
        assert_eq!(shown.client, None);

        // Repetitions cost a write each, and are held to the user's rate.
        let limited = async || {
            let refused = revoke(&authority, &own, "").await.err()?;
            (reason(&refused) == "RATE_LIMITED").then_some(())
        };
        eventually("the rate refuses", limited).await;
        let fresh = authority.sign_in("ada").await;
        revoke(&authority, &fresh, "")
            .await
            .expect("the first sign-out of a session needs no rate");
    }
}

#[tokio::test]
async fn an_old_token_of_a_session_that_ended_long_ago_is_refused() {
    let change = |config: &mut Config| {
        config.tokens.access_token_lifetime = Duration::from_secs(1);
        config.tokens.ended_token_window = Duration::ZERO;
    };
    for authority in authorities_with(change).await {
        let own = authority.sign_in("ada").await;
        wait_for_expiry(&authority, &own).await;
        // The session lives: the window is about ended sessions.
        revoke(&authority, &own, "").await.expect("signed out");
        let refused = async || {
            let status = revoke(&authority, &own, "").await.err()?;
            (reason(&status) == "CREDENTIALS_INVALID").then_some(())
        };
        eventually("the token is too old", refused).await;
    }
}

async fn revoke_token(
    authority: &TestAuthority,
    bearer: &str,
    request: v1::RevokeTokenRequest,
) -> Result<(), Status> {
    let mut sessions = authority.sessions(bearer);
    sessions.revoke_token(request).await.map(drop)
}

fn by_token(tenant: &str, token: &str) -> v1::RevokeTokenRequest {
    v1::RevokeTokenRequest {
        tenant_id: tenant.into(),
        token: token.into(),
        client_ip: "192.0.2.7".into(),
    }
}

async fn refresh(
    authority: &TestAuthority,
    token: &str,
) -> Result<v1::RefreshSessionResponse, Status> {
    let request = v1::RefreshSessionRequest {
        tenant_id: TENANT.into(),
        refresh_token: token.into(),
        ..Default::default()
    };
    let mut sessions = authority.sessions(LOGIN);
    let refreshed = sessions.refresh_session(request).await?;
    Ok(refreshed.into_inner())
}

#[tokio::test]
async fn a_login_service_signs_out_by_any_token_of_the_session() {
    for authority in authorities_with_short_tokens().await {
        let login = |token: String| {
            let authority = &authority;
            async move {
                let ended = revoke_token(authority, LOGIN, by_token(TENANT, &token)).await;
                ended.expect("an answer");
            }
        };
        let refresh_token = authority.sign_in("ada").await;
        login(refresh_token.refresh_token.clone()).await;
        let access_token = authority.sign_in("ada").await;
        login(access_token.access_token.clone()).await;
        let expired = authority.sign_in("ada").await;
        wait_for_expiry(&authority, &expired).await;
        login(expired.access_token.clone()).await;
        let refreshed = authority.sign_in("ada").await;
        let newer = refresh(&authority, &refreshed.refresh_token).await;
        login(newer.expect("refreshed").refresh_token).await;
        // Two generations old: a refresh would take it for theft, a sign-out is a sign-out.
        let older = authority.sign_in("ada").await;
        let newer = refresh(&authority, &older.refresh_token).await;
        let newer = newer.expect("refreshed").refresh_token;
        refresh(&authority, &newer).await.expect("refreshed");
        login(older.refresh_token.clone()).await;

        let signed_out = [refresh_token, access_token, expired, refreshed, older];
        for created in &signed_out {
            let ended = session(&authority, created).await;
            assert_eq!(ended.state(), v1::SessionState::SignedOut);
            assert_eq!(end_cause(&ended), Cause::User);
            let end = ended.end.expect("an end");
            assert_eq!(end.actor, "user:ada", "the service called for the user");
        }
        let events = v1::ListAuditEventsRequest {
            tenant_id: TENANT.into(),
            action: "session.revoke".into(),
            ..Default::default()
        };
        let mut audit = authority.audit(SUPPORT);
        let events = audit.list_audit_events(events).await.expect("events");
        let events = events.into_inner().events;
        assert_eq!(events.len(), signed_out.len());
        for event in events {
            assert_eq!(
                (event.actor.as_str(), event.via.as_str()),
                ("user:ada", "service:login")
            );
            assert_eq!(event.actor_ip, "192.0.2.7");
        }
    }
}

/// The same token with another letter in the middle of its code.
fn forged(token: &str) -> String {
    let at = token.len() - 10;
    let other = if &token[at..=at] == "A" { "B" } else { "A" };
    format!("{}{other}{}", &token[..at], &token[at + 1..])
}

#[tokio::test]
async fn a_token_that_ends_nothing_gets_the_same_answer_and_leaves_no_trace() {
    for authority in authorities().await {
        let live = authority.sign_in("ada").await;
        let ended = authority.sign_in("ada").await;
        let ending = by_token(TENANT, &ended.refresh_token);
        revoke_token(&authority, LOGIN, ending)
            .await
            .expect("ended");
        let before = trail(&authority, "session.revoke").await;

        // Its session is of this tenant, and its code is of another one.
        let deleted = authority.sign_in("gone").await;
        let id = session_id(&deleted);
        behind(&authority, "DELETE FROM sessions WHERE user_id = 'gone'").await;
        let mut cases = vec![
            ("forged, of a live session", forged(&live.refresh_token)),
            ("forged, of no session", forged(&deleted.refresh_token)),
            ("of no session", deleted.refresh_token.clone()),
            (
                "an access token of no session",
                deleted.access_token.clone(),
            ),
            ("forged access token", forged(&live.access_token)),
            ("of an ended session", ended.refresh_token.clone()),
            (
                "an access token of an ended session",
                ended.access_token.clone(),
            ),
            ("a session's id", id),
            ("cut", live.refresh_token[..40].to_owned()),
            ("with a space", format!(" {}", live.refresh_token)),
            ("a prefix", "prt_".to_owned()),
            ("dots", "..".to_owned()),
            ("not ASCII", "prt_é".to_owned()),
            ("long", "A".repeat(60_000)),
            (
                "long and of the form",
                format!("prt_{}", "A".repeat(60_000)),
            ),
        ];
        cases.push(("a service's bearer", ADMIN.to_owned()));
        for (case, token) in cases {
            let answer = revoke_token(&authority, LOGIN, by_token(TENANT, &token)).await;
            assert!(answer.is_ok(), "{case}: {answer:?}");
        }
        // A genuine token, named with another tenant, by a service of all tenants and by one of that tenant only.
        for token in [&live.refresh_token, &live.access_token] {
            for bearer in [LOGIN, OTHER_ADMIN] {
                let answer = revoke_token(&authority, bearer, by_token("other", token)).await;
                assert!(answer.is_ok(), "{answer:?}");
            }
        }
        assert!(is_active(&authority, &live).await);
        assert_eq!(trail(&authority, "session.revoke").await, before);
    }
}

#[tokio::test]
async fn a_sign_out_by_token_names_what_the_caller_did_wrong() {
    for authority in authorities().await {
        let live = authority.sign_in("ada").await;
        let empty = revoke_token(&authority, LOGIN, by_token(TENANT, "")).await;
        let empty = empty.expect_err("no token");
        assert_eq!(empty.code(), Code::InvalidArgument);
        assert_eq!(violations(&empty), ["token"]);
        let nowhere = revoke_token(&authority, LOGIN, by_token("", &live.refresh_token)).await;
        assert_eq!(violations(&nowhere.expect_err("no tenant")), ["tenant_id"]);
        for bearer in [SUPPORT, ADMIN, GATEWAY, live.access_token.as_str()] {
            let denied = by_token(TENANT, &live.refresh_token);
            let denied = revoke_token(&authority, bearer, denied).await;
            assert_eq!(reason(&denied.expect_err("no login")), "PERMISSION_DENIED");
        }
        let denied = by_token(TENANT, &live.refresh_token);
        let denied = revoke_token(&authority, OTHER_ADMIN, denied).await;
        assert_eq!(
            reason(&denied.expect_err("not its tenant")),
            "PERMISSION_DENIED"
        );
        assert!(is_active(&authority, &live).await);

        // An address that is none refuses no sign-out.
        let request = v1::RevokeTokenRequest {
            client_ip: "unknown".into(),
            ..by_token(TENANT, &live.refresh_token)
        };
        revoke_token(&authority, LOGIN, request)
            .await
            .expect("ended");
        assert!(!is_active(&authority, &live).await);
    }
}

/// A user of one tenant, by an administrator's calls.
async fn set_disabled(authority: &TestAuthority, user: &str, is_disabled: bool) {
    let mut users = authority.users(ADMIN);
    if is_disabled {
        let request = v1::DisableUserRequest {
            tenant_id: TENANT.into(),
            user_id: user.into(),
            reason: "a test".into(),
            ..Default::default()
        };
        users.disable_user(request).await.expect("disabled");
    } else {
        let request = v1::EnableUserRequest {
            tenant_id: TENANT.into(),
            user_id: user.into(),
            reason: "a test".into(),
            ..Default::default()
        };
        users.enable_user(request).await.expect("enabled");
    }
}

/// The answer says what helps now. How the session ended then is in the session.
#[tokio::test]
async fn a_refresh_of_an_ended_session_says_whether_the_user_is_disabled_now() {
    for authority in authorities().await {
        let disabled = authority.sign_in("ada").await;
        let earlier = authority.sign_in("ada").await;
        let expired = authority.sign_in("ada").await;
        let refreshed = authority.sign_in("ada").await;
        refresh(&authority, &refreshed.refresh_token)
            .await
            .expect("refreshed");
        revoke(&authority, &earlier, "").await.expect("signed out");
        let expire = "UPDATE sessions SET expires_us = 1 WHERE session_id = (SELECT session_id FROM sessions \
             WHERE user_id = 'ada' ORDER BY session_id LIMIT 1 OFFSET 2)";
        behind(&authority, expire).await;
        let old_tokens = [&disabled, &earlier, &expired, &refreshed];
        let answers = async || {
            let mut answers = Vec::new();
            for created in old_tokens {
                let refused = refresh(&authority, &created.refresh_token).await;
                answers.push(reason(&refused.expect_err("has ended")));
            }
            answers
        };

        for _ in 0..2 {
            set_disabled(&authority, "ada", true).await;
            assert_eq!(answers().await, ["USER_DISABLED"; 4]);
            set_disabled(&authority, "ada", false).await;
            assert_eq!(answers().await, ["SESSION_ENDED"; 4]);
        }
        let ended = session(&authority, &disabled).await;
        assert_eq!(end_cause(&ended), Cause::UserDisabled, "history stays");
        let fresh = authority.sign_in("ada").await;
        refresh(&authority, &fresh.refresh_token)
            .await
            .expect("the user is back");
    }
}

#[tokio::test]
async fn a_forged_refresh_token_does_not_tell_whether_its_session_exists() {
    for authority in authorities().await {
        let live = authority.sign_in("ada").await;
        let deleted = authority.sign_in("gone").await;
        behind(&authority, "DELETE FROM sessions WHERE user_id = 'gone'").await;
        // As many and as long as a request may have, which is too much for a token.
        let audiences: Vec<_> = (0..16).map(|n| format!("{n}{}", "a".repeat(250))).collect();
        let wide = |token: String| v1::RefreshSessionRequest {
            tenant_id: TENANT.into(),
            refresh_token: token,
            audiences: audiences.clone(),
            ..Default::default()
        };
        let mut sessions = authority.sessions(LOGIN);
        for token in [
            forged(&live.refresh_token),
            forged(&deleted.refresh_token),
            deleted.refresh_token.clone(),
        ] {
            let refused = sessions.refresh_session(wide(token)).await;
            assert_eq!(
                reason(&refused.expect_err("forged")),
                "REFRESH_TOKEN_INVALID"
            );
        }
        let genuine = sessions
            .refresh_session(wide(live.refresh_token.clone()))
            .await;
        assert_eq!(violations(&genuine.expect_err("too long")), ["audiences"]);
    }
}
