//! The rules of a sign-in as callers meet them, also where two authorities share a database: the number of sessions, the
//! policy in force, what the trail says about refusals, and the client that a token names.

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures::future::join_all;
use portcullis_contract::{token::ACCESS_TOKEN_BYTES_MAX, v1};
use portcullis_tests::{
    authority::{
        ADMIN, LOGIN, OPERATOR, SUPPORT, TENANT, TestAuthority, reason, session_id, sign_in,
        violations,
    },
    postgres::fresh_url,
    wait::eventually,
};
use serde_json::Value;
use tonic::{Code, Status};

/// One authority on SQLite, one on PostgreSQL, and two at one PostgreSQL database.
async fn installations() -> Vec<Vec<TestAuthority>> {
    let alone = TestAuthority::postgres(&fresh_url().await).await;
    let first = TestAuthority::postgres(&fresh_url().await).await;
    let second = first.replica().await;
    vec![
        vec![TestAuthority::sqlite().await],
        vec![alone],
        vec![first, second],
    ]
}

async fn update_policy(authority: &TestAuthority, change: impl FnOnce(&mut v1::Policy)) {
    let request = v1::GetPolicyRequest {
        tenant_id: TENANT.into(),
    };
    let mut tenants = authority.tenants(ADMIN);
    let got = tenants.get_policy(request).await.expect("a policy");
    let mut policy = got.into_inner().policy.expect("a policy");
    change(&mut policy);
    let request = v1::UpdatePolicyRequest {
        tenant_id: TENANT.into(),
        policy: Some(policy),
        reason: "a test".into(),
        ..Default::default()
    };
    tenants.update_policy(request).await.expect("updated");
}

async fn create(
    authority: &TestAuthority,
    request: v1::CreateSessionRequest,
) -> Result<v1::CreateSessionResponse, Status> {
    let created = authority.sessions(LOGIN).create_session(request).await;
    created.map(tonic::Response::into_inner)
}

/// The ids of the user's active sessions.
async fn active(authority: &TestAuthority, user: &str) -> BTreeSet<String> {
    let request = v1::ListSessionsRequest {
        tenant_id: TENANT.into(),
        user_id: user.into(),
        ..Default::default()
    };
    let mut sessions = authority.sessions(SUPPORT);
    let listed = sessions.list_sessions(request).await.expect("a list");
    let listed = listed.into_inner().sessions;
    listed.into_iter().map(|session| session.id).collect()
}

/// The events of the tenant's trail with an action, newest first.
async fn events(authority: &TestAuthority, action: &str) -> Vec<v1::AuditEvent> {
    let request = v1::ListAuditEventsRequest {
        tenant_id: TENANT.into(),
        action: action.into(),
        page_size: 200,
        ..Default::default()
    };
    let mut audit = authority.audit(SUPPORT);
    let listed = audit.list_audit_events(request).await.expect("a list");
    listed.into_inner().events
}

/// Signs a user in several times at once, in turns at all authorities.
async fn sign_in_at_once(
    authorities: &[TestAuthority],
    user: &str,
    count: usize,
) -> Vec<Result<v1::CreateSessionResponse, Status>> {
    let mut calls = Vec::new();
    for authority in authorities.iter().cycle().take(count) {
        calls.push(create(authority, sign_in(user)));
    }
    join_all(calls).await
}

async fn exactly_the_allowed_number_stays(
    authorities: &[TestAuthority],
    at_limit: v1::SessionLimitAction,
) {
    let mut refused = 0;
    for (sessions_max, count, rounds) in [(1, 2, 40), (3, 25, 1)] {
        update_policy(&authorities[0], |policy| {
            policy.sessions_max = sessions_max;
            policy.at_limit = at_limit.into();
        })
        .await;
        for round in 0..rounds {
            let user = format!("{}{sessions_max}-{round}", at_limit.as_str_name());
            let mut opened = BTreeSet::new();
            for answer in sign_in_at_once(authorities, &user, count).await {
                match answer {
                    Ok(created) => {
                        opened.insert(session_id(&created));
                    }
                    Err(error) => {
                        assert_eq!(reason(&error), "SESSION_LIMIT");
                        refused += 1;
                    }
                }
            }
            let stay = active(&authorities[0], &user).await;
            assert_eq!(stay.len(), sessions_max as usize, "{user}");
            assert!(stay.is_subset(&opened), "{user}");
            if at_limit == v1::SessionLimitAction::Refuse {
                assert_eq!(stay, opened, "{user}: nobody else is told that they are in");
            } else {
                assert_eq!(opened.len(), count, "{user}: nobody is refused");
            }
        }
    }
    let expected = match at_limit {
        v1::SessionLimitAction::Refuse => 40 + 22,
        _ => 0,
    };
    assert_eq!(refused, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_sign_ins_at_once_exactly_the_allowed_number_stays() {
    for authorities in installations().await {
        exactly_the_allowed_number_stays(&authorities, v1::SessionLimitAction::EndOldest).await;
        exactly_the_allowed_number_stays(&authorities, v1::SessionLimitAction::Refuse).await;
        // 80 and 25 sign-ins that ended the oldest, 40 and 3 that were let in.
        eventually("the sign-ins are in the trail", async || {
            let created = all_created(&authorities[0]).await;
            (created >= 148).then_some(())
        })
        .await;
        assert_eq!(
            all_created(&authorities[0]).await,
            148,
            "refused ones leave none"
        );
    }
}

async fn all_created(authority: &TestAuthority) -> usize {
    events(authority, "session.create").await.len()
}

#[tokio::test]
async fn a_policy_is_in_force_everywhere_when_its_update_answers() {
    for authorities in installations().await {
        let acr = |acr: &str| v1::CreateSessionRequest {
            acr: acr.into(),
            remember_me: true,
            ..sign_in("ada")
        };
        for round in 0..5 {
            // Every authority has the policy of before in its cache.
            for authority in &authorities {
                let created = create(authority, acr("any")).await.expect("signed in");
                assert!(created.session.expect("a session").remember_me);
            }
            update_policy(&authorities[0], |policy| {
                policy.required_acr = vec!["two".into()];
                policy.remember_me_allowed = false;
                policy.users_see_sessions = false;
                policy.access_token_lifetime = Some(prost_types::Duration {
                    seconds: 60,
                    nanos: 0,
                });
            })
            .await;
            for authority in &authorities {
                let forbidden = create(authority, acr("any"))
                    .await
                    .expect_err("no such acr");
                assert_eq!(reason(&forbidden), "POLICY_FORBIDS", "round {round}");
                let created = create(authority, acr("two")).await.expect("signed in");
                let session = created.session.expect("a session");
                assert!(!session.remember_me, "round {round}");
                let opened = session.create_time.expect("a time").seconds;
                let expires = created.access_token_expire_time.expect("a time").seconds;
                assert!(expires - opened <= 60, "round {round}");
                let mut own = authority.sessions(&created.access_token);
                let own = own.list_sessions(v1::ListSessionsRequest::default()).await;
                assert_eq!(reason(&own.expect_err("hidden")), "POLICY_FORBIDS");
            }
            update_policy(&authorities[0], |policy| {
                policy.required_acr.clear();
                policy.remember_me_allowed = true;
                policy.users_see_sessions = true;
                policy.access_token_lifetime = None;
            })
            .await;
        }
    }
}

/// Signs in while the policy changes again and again: no session breaks the policy that was in force when its call
/// began and when it ended.
#[tokio::test(flavor = "multi_thread")]
async fn sign_ins_while_the_policy_changes_follow_one_or_the_other() {
    for authorities in installations().await {
        let last = authorities.last().expect("an authority");
        let changing = async {
            for round in 0..6 {
                update_policy(&authorities[0], |policy| {
                    policy.remember_me_allowed = round % 2 == 1;
                })
                .await;
                // Between two updates every answer is known.
                let remembered = v1::CreateSessionRequest {
                    remember_me: true,
                    ..sign_in("bob")
                };
                let created = create(last, remembered).await.expect("signed in");
                let session = created.session.expect("a session");
                assert_eq!(session.remember_me, round % 2 == 1);
            }
        };
        let signing_in = async {
            for number in 0..40 {
                let request = v1::CreateSessionRequest {
                    remember_me: true,
                    ..sign_in(&format!("u{}", number % 5))
                };
                match create(last, request).await {
                    Ok(_) => {}
                    Err(error) => assert_eq!(reason(&error), "UNAVAILABLE"),
                }
            }
        };
        futures::future::join(changing, signing_in).await;
    }
}

#[tokio::test]
async fn refused_sign_ins_are_in_the_trail_merged_with_a_count() {
    for mut authorities in installations().await {
        let authority = &mut authorities[0];
        let reused = |acr: &str| v1::CreateSessionRequest {
            request_id: "r".into(),
            acr: acr.into(),
            ..sign_in("ada")
        };
        create(authority, reused("")).await.expect("signed in");
        update_policy(authority, |policy| {
            policy.sessions_max = 1;
            policy.at_limit = v1::SessionLimitAction::Refuse.into();
        })
        .await;
        create(authority, sign_in("off")).await.expect("signed in");
        let disable = v1::DisableUserRequest {
            tenant_id: TENANT.into(),
            user_id: "off".into(),
            reason: "a test".into(),
            ..Default::default()
        };
        let mut users = authority.users(ADMIN);
        users.disable_user(disable).await.expect("disabled");

        for _ in 0..20 {
            for (request, expected) in [
                (sign_in("ada"), "SESSION_LIMIT"),
                (reused("other"), "REQUEST_ID_REUSED"),
                (sign_in("off"), "USER_DISABLED"),
            ] {
                let refused = create(authority, request).await.expect_err("refused");
                assert_eq!(reason(&refused), expected);
            }
        }
        update_policy(authority, |policy| policy.required_acr = vec!["two".into()]).await;
        let from = v1::Client {
            ip: "192.0.2.7".into(),
            ..Default::default()
        };
        let request = v1::CreateSessionRequest {
            client: Some(from),
            ..sign_in("eve")
        };
        let refused = create(authority, request).await.expect_err("refused");
        assert_eq!(reason(&refused), "POLICY_FORBIDS");

        let found = eventually("the first of each is in the trail", async || {
            let found = events(authority, "session.refuse").await;
            (found.len() == 4).then_some(found)
        })
        .await;
        assert!(found.iter().all(|event| event.details["count"] == "1"));
        let eve = &found[0];
        assert_eq!((eve.user_id.as_str(), eve.target.as_str()), ("eve", "eve"));
        assert_eq!(eve.actor, "service:login");
        assert_eq!(
            [
                &eve.details["reason"],
                &eve.details["rule"],
                &eve.details["ip"]
            ],
            ["POLICY_FORBIDS", "required_acr", "192.0.2.7"]
        );
        assert_eq!(events(authority, "session.create").await.len(), 2);

        // What was merged is not lost with the process.
        authority.stop().await;
        authority.start().await;
        let merged = eventually("the rest is in the trail", async || {
            let found = events(authority, "session.refuse").await;
            (found.len() == 7).then_some(found)
        })
        .await;
        let mut counts = Vec::new();
        for event in &merged[..3] {
            counts.push((
                event.details["reason"].as_str(),
                event.details["count"].as_str(),
            ));
        }
        counts.sort_unstable();
        assert_eq!(
            counts,
            [
                ("REQUEST_ID_REUSED", "19"),
                ("SESSION_LIMIT", "19"),
                ("USER_DISABLED", "19")
            ]
        );
        let verify = v1::VerifyAuditTrailRequest::default();
        let mut audit = authority.audit(OPERATOR);
        let verified = audit.verify_audit_trail(verify).await.expect("verified");
        let verified = verified.into_inner();
        assert!(verified.fault.is_none() && verified.through_revision == verified.head_revision);
    }
}

/// The claims of a token, without a look at its signature.
fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).expect("claims");
    let json = URL_SAFE_NO_PAD.decode(part).expect("base64");
    serde_json::from_slice(&json).expect("JSON")
}

#[tokio::test]
async fn a_token_names_its_client_and_every_refresh_keeps_it() {
    for authorities in installations().await {
        let authority = &authorities[0];
        let gate = authority.ready_gate().await;
        let longest = "~ \"\\".repeat(32);
        for (given, expected) in [
            ("", "login"),
            ("shop-web", "shop-web"),
            (&longest, &longest),
        ] {
            let request = v1::CreateSessionRequest {
                client_id: given.into(),
                ..sign_in("ada")
            };
            let created = create(authority, request).await.expect("signed in");
            assert_eq!(claims(&created.access_token)["client_id"], expected);
            let identity = gate.check(&created.access_token).expect("admitted");
            assert_eq!(identity.client_id, expected);

            let mut token = created.refresh_token.clone();
            for authority in &authorities {
                let refresh = v1::RefreshSessionRequest {
                    tenant_id: TENANT.into(),
                    refresh_token: token,
                    ..Default::default()
                };
                let refreshed = authority.sessions(LOGIN).refresh_session(refresh).await;
                let refreshed = refreshed.expect("refreshed").into_inner();
                assert_eq!(claims(&refreshed.access_token)["client_id"], expected);
                token = refreshed.refresh_token;
            }
            let get = v1::GetSessionRequest {
                tenant_id: TENANT.into(),
                session_id: session_id(&created),
            };
            let kept = authority.sessions(SUPPORT).get_session(get).await;
            let kept = kept
                .expect("found")
                .into_inner()
                .session
                .expect("a session");
            assert_eq!(kept.client_id, expected);
        }
        for wrong in ["x".repeat(129), "a\tb".into(), "né".into()] {
            let request = v1::CreateSessionRequest {
                client_id: wrong,
                ..sign_in("ada")
            };
            let refused = create(authority, request).await.expect_err("refused");
            assert_eq!(refused.code(), Code::InvalidArgument);
            assert_eq!(violations(&refused), ["client_id"]);
        }
    }
}

/// Every text of a token at its longest, of characters that JSON has to escape.
#[tokio::test]
async fn the_longest_token_is_within_its_bound() {
    let authority = TestAuthority::sqlite().await;
    let request = v1::CreateSessionRequest {
        tenant_id: "\"".repeat(128),
        user: Some(v1::SessionUser {
            id: "\\".repeat(128),
            ..Default::default()
        }),
        audiences: vec!["\"".repeat(256); 8],
        client_id: "\"".repeat(128),
        ..Default::default()
    };
    let created = create(&authority, request).await.expect("signed in");
    // The signature of RS256 is 256 bytes longer than that of Ed25519 here.
    let longest = created.access_token.len() + 256 * 4 / 3;
    assert!(longest < ACCESS_TOKEN_BYTES_MAX, "{longest}");
}

#[tokio::test]
async fn a_sign_in_says_how_many_other_sessions_the_user_has() {
    for authorities in installations().await {
        let authority = authorities.last().expect("an authority");
        let others = async |request: v1::CreateSessionRequest| {
            let created = create(authority, request).await.expect("signed in");
            assert!(!created.other_sessions_capped);
            (created.other_sessions, session_id(&created))
        };
        let (none, first) = others(sign_in("ada")).await;
        let (one, second) = others(sign_in("ada")).await;
        assert_eq!((none, one), (0, 1));
        let replacing = v1::CreateSessionRequest {
            replaces_session_id: second,
            request_id: "r".into(),
            ..sign_in("ada")
        };
        assert_eq!(others(replacing.clone()).await.0, 1);
        assert_eq!(others(replacing).await.0, 1, "repeated");
        assert_eq!(others(sign_in("bob")).await.0, 0, "of another user");

        let revoke = v1::RevokeSessionRequest {
            tenant_id: TENANT.into(),
            session_id: first,
            ..Default::default()
        };
        let mut sessions = authority.sessions(ADMIN);
        sessions.revoke_session(revoke).await.expect("ended");
        assert_eq!(others(sign_in("ada")).await.0, 1, "one has ended");
        update_policy(&authorities[0], |policy| policy.sessions_max = 2).await;
        assert_eq!(others(sign_in("ada")).await.0, 1, "one had to make room");
        assert_eq!(active(authority, "ada").await.len(), 2);
    }
}

#[tokio::test]
async fn refused_sign_ins_take_no_place_in_the_quota() {
    let url = fresh_url().await;
    let few = |config: &mut portcullis_authority::config::Config| {
        config.limits.tenant_sessions_max = 4;
    };
    let postgres = TestAuthority::with(|config| {
        config.store.url = url;
        few(config);
    });
    for authority in [TestAuthority::with(few).await, postgres.await] {
        create(&authority, sign_in("ada")).await.expect("signed in");
        update_policy(&authority, |policy| {
            policy.required_acr = vec!["two".into()];
        })
        .await;
        let repeated = v1::CreateSessionRequest {
            acr: "two".into(),
            request_id: "r".into(),
            ..sign_in("ada")
        };
        for _ in 0..10 {
            let refused = create(&authority, sign_in("ada"))
                .await
                .expect_err("refused");
            assert_eq!(reason(&refused), "POLICY_FORBIDS");
            create(&authority, repeated.clone())
                .await
                .expect("one session");
        }
        let other = v1::CreateSessionRequest {
            acr: "two".into(),
            ..sign_in("bob")
        };
        create(&authority, other).await.expect("there is room");
    }
}
