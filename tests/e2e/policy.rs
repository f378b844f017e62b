//! A tenant's policy by rpc: its etag, what it refuses, and what sign-ins and users feel of it.

use std::time::{Duration, SystemTime};

use portcullis_authority::config::Config;
use portcullis_contract::v1;
use portcullis_tests::{
    authority::{
        ADMIN, LOGIN, SUPPORT, TENANT, TestAuthority, reason, session_id, sign_in, violations,
    },
    gate::refused,
    postgres,
    wait::eventually,
};
use portcullis_validator::Rejection;
use tonic::{Code, Status};

async fn on_both(story: impl AsyncFn(TestAuthority)) {
    story(TestAuthority::sqlite().await).await;
    story(TestAuthority::postgres(&postgres::fresh_url().await).await).await;
}

async fn policy(authority: &TestAuthority) -> v1::Policy {
    let request = v1::GetPolicyRequest {
        tenant_id: TENANT.into(),
    };
    let got = authority
        .tenants(SUPPORT)
        .get_policy(request)
        .await
        .expect("a policy");
    got.into_inner().policy.expect("a policy")
}

async fn update(
    authority: &TestAuthority,
    policy: v1::Policy,
    preset: &str,
) -> Result<v1::Policy, Status> {
    let request = v1::UpdatePolicyRequest {
        tenant_id: TENANT.into(),
        policy: Some(policy),
        preset: preset.into(),
        reason: "a test".into(),
        ..Default::default()
    };
    let updated = authority.tenants(ADMIN).update_policy(request).await?;
    Ok(updated.into_inner().policy.expect("a policy"))
}

/// What an update would end, by the bearer of an administrator.
async fn preview(
    authority: &TestAuthority,
    bearer: &str,
    policy: v1::Policy,
    preset: &str,
) -> Result<v1::UpdatePolicyResponse, Status> {
    let request = v1::UpdatePolicyRequest {
        tenant_id: TENANT.into(),
        policy: Some(policy),
        preset: preset.into(),
        validate_only: true,
        ..Default::default()
    };
    let previewed = authority.tenants(bearer).update_policy(request).await?;
    Ok(previewed.into_inner())
}

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

/// From the opening of the session to its end by itself, in seconds.
fn life(created: &v1::CreateSessionResponse) -> i64 {
    let session = created.session.as_ref().expect("a session");
    session.expire_time.expect("a time").seconds - session.create_time.expect("a time").seconds
}

async fn signed_in(
    authority: &TestAuthority,
    change: impl FnOnce(&mut v1::CreateSessionRequest),
) -> Result<v1::CreateSessionResponse, Status> {
    let mut request = sign_in("ada");
    change(&mut request);
    authority
        .sessions(LOGIN)
        .create_session(request)
        .await
        .map(tonic::Response::into_inner)
}

#[tokio::test]
async fn only_an_update_with_the_newest_etag_replaces_a_policy() {
    on_both(async |authority| {
        let first = policy(&authority).await;
        assert_eq!(
            (first.idle_timeout, first.session_lifetime),
            (seconds(7 * 86_400), seconds(7 * 86_400))
        );
        assert!(first.remember_me_allowed && first.users_see_sessions && !first.keep_last_page);
        let second = update(
            &authority,
            v1::Policy {
                sessions_max: 3,
                ..first.clone()
            },
            "",
        )
        .await
        .expect("updated");
        assert_ne!(second.etag, first.etag);
        assert_eq!(policy(&authority).await, second);
        for stale in [first.etag.as_str(), "", "x", "17"] {
            let stale = v1::Policy {
                etag: stale.into(),
                sessions_max: 9,
                ..first.clone()
            };
            let refused = update(&authority, stale, "").await.expect_err("stale");
            assert_eq!(
                (refused.code(), reason(&refused).as_str()),
                (Code::FailedPrecondition, "ETAG_MISMATCH")
            );
            assert_eq!(violations(&refused), ["policy.etag"]);
        }
        assert_eq!(policy(&authority).await, second, "nothing half done");
        let preset = update(&authority, second, "nist_800_63b_aal2")
            .await
            .expect("updated");
        assert_eq!(
            (preset.session_lifetime_max, preset.idle_timeout),
            (seconds(12 * 3_600), seconds(30 * 60))
        );
        assert_eq!(
            preset.sessions_max, 3,
            "what the standard does not speak of stays"
        );
        assert!(preset.source.contains("800-63B"), "{}", preset.source);
    })
    .await;
}

#[tokio::test]
async fn a_bad_policy_is_refused_with_its_fields() {
    let authority = TestAuthority::sqlite().await;
    let good = policy(&authority).await;
    type Change = fn(&mut v1::Policy);
    let cases: [(&str, Change); 11] = [
        ("policy.idle_timeout", |policy| {
            policy.idle_timeout = seconds(-1);
        }),
        ("policy.idle_timeout", |policy| {
            policy.idle_timeout = seconds(0);
        }),
        ("policy.session_lifetime_max", |policy| {
            policy.session_lifetime_max = seconds(i64::MAX);
        }),
        ("policy.session_lifetime", |policy| {
            policy.session_lifetime = None;
        }),
        ("policy.remember_me_lifetime", |policy| {
            policy.remember_me_lifetime = seconds(91 * 86_400);
        }),
        ("policy.access_token_lifetime", |policy| {
            policy.access_token_lifetime = seconds(86_400);
        }),
        ("policy.at_limit", |policy| policy.at_limit = 7),
        ("policy.findings_disabled", |policy| {
            policy.findings_disabled = vec![99];
        }),
        ("policy.required_acr", |policy| {
            policy.required_acr = vec![String::new()];
        }),
        ("policy.users[ada].idle_timeout", |policy| {
            let looser = v1::UserPolicy {
                idle_timeout: seconds(30 * 86_400),
                ..Default::default()
            };
            policy.users.insert("ada".into(), looser);
        }),
        ("policy.users[ada].session_lifetime", |policy| {
            let endless = v1::UserPolicy {
                session_lifetime: seconds(i64::MAX),
                ..Default::default()
            };
            policy.users.insert("ada".into(), endless);
        }),
    ];
    for (field, change) in cases {
        let mut bad = good.clone();
        change(&mut bad);
        let refused = update(&authority, bad, "").await.expect_err(field);
        assert_eq!(refused.code(), Code::InvalidArgument, "{field}");
        assert!(
            violations(&refused)
                .iter()
                .any(|violation| violation == field),
            "{field}: {:?}",
            violations(&refused)
        );
    }
    let refused = update(&authority, good.clone(), "nist")
        .await
        .expect_err("no such preset");
    assert_eq!(violations(&refused), ["preset"]);
    assert_eq!(policy(&authority).await, good, "nothing half done");
}

#[tokio::test]
async fn sign_ins_obey_the_policy_and_a_user_the_stricter_values() {
    on_both(async |authority| {
        let mut wanted = policy(&authority).await;
        wanted.session_lifetime = seconds(3_600);
        wanted.remember_me_lifetime = seconds(7_200);
        wanted.access_token_lifetime = seconds(60);
        wanted.required_acr = vec!["mfa".into()];
        let own = v1::UserPolicy {
            remember_me_forbidden: true,
            ..Default::default()
        };
        wanted.users.insert("root".into(), own);
        update(&authority, wanted, "").await.expect("updated");

        let weak = signed_in(&authority, |_| {})
            .await
            .expect_err("no second factor");
        assert_eq!(
            (weak.code(), reason(&weak).as_str()),
            (Code::FailedPrecondition, "POLICY_FORBIDS")
        );
        let strong = |request: &mut v1::CreateSessionRequest| request.acr = "mfa".into();
        let plain = signed_in(&authority, strong).await.expect("signed in");
        assert_eq!(life(&plain), 3_600);
        let until = plain.access_token_expire_time.expect("a time").seconds;
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .expect("after 1970")
            .as_secs();
        assert!(
            (until - i64::try_from(now).expect("fits")) <= 61,
            "the access token lives as the policy says"
        );
        let remembered = signed_in(&authority, |request| {
            (request.acr, request.remember_me) = ("mfa".into(), true);
        });
        assert_eq!(life(&remembered.await.expect("signed in")), 7_200);
        let forbidden = signed_in(&authority, |request| {
            (request.acr, request.remember_me) = ("mfa".into(), true);
            request.user.as_mut().expect("a user").id = "root".into();
        });
        let forbidden = forbidden.await.expect("signed in");
        assert_eq!(life(&forbidden), 3_600);
        assert!(!forbidden.session.expect("a session").remember_me);
    })
    .await;
}

#[tokio::test]
async fn at_the_limit_a_sign_in_is_refused_or_ends_the_oldest() {
    on_both(async |authority| {
        let gate = authority.ready_gate().await;
        let mut wanted = policy(&authority).await;
        wanted.sessions_max = 2;
        wanted.at_limit = v1::SessionLimitAction::EndOldest.into();
        let wanted = update(&authority, wanted, "").await.expect("updated");
        let mut opened = Vec::new();
        for _ in 0..3 {
            opened.push(signed_in(&authority, |_| {}).await.expect("signed in"));
        }
        assert_eq!(
            refused(&gate, &opened[0].access_token).await,
            Rejection::Revoked
        );
        assert!(
            gate.check(&opened[1].access_token).is_ok()
                && gate.check(&opened[2].access_token).is_ok()
        );
        let request = v1::GetSessionRequest {
            tenant_id: TENANT.into(),
            session_id: session_id(&opened[0]),
        };
        let ended = authority
            .sessions(SUPPORT)
            .get_session(request)
            .await
            .expect("a session")
            .into_inner();
        let end = ended
            .session
            .and_then(|session| session.end)
            .expect("an end");
        assert_eq!(end.cause(), v1::SessionEndCause::SessionLimit);

        update(
            &authority,
            v1::Policy {
                at_limit: v1::SessionLimitAction::Refuse.into(),
                ..wanted
            },
            "",
        )
        .await
        .expect("updated");
        let third = signed_in(&authority, |_| {})
            .await
            .expect_err("at the limit");
        assert_eq!(
            (third.code(), reason(&third).as_str()),
            (Code::FailedPrecondition, "SESSION_LIMIT")
        );
        let replacing = signed_in(&authority, |request| {
            request.replaces_session_id = session_id(&opened[1]);
        })
        .await;
        assert!(
            replacing.is_ok(),
            "who replaces a session needs no place for it"
        );
        let at_once = (0..8).map(|_| {
            signed_in(&authority, |request| {
                request.user.as_mut().expect("a user").id = "bob".into();
            })
        });
        let at_once = futures::future::join_all(at_once).await;
        assert!(
            at_once.iter().flatten().count() == 2,
            "sign-ins at once get the places that there are"
        );
    })
    .await;
}

#[tokio::test]
async fn a_tenant_may_keep_its_users_from_their_sessions_or_ask_for_a_recent_sign_in() {
    on_both(async |authority| {
        let old = signed_in(&authority, |request| {
            let hour_ago = SystemTime::now() - Duration::from_secs(3_600);
            request.auth_time = Some(hour_ago.into());
        });
        let old = old.await.expect("signed in");
        let recent = signed_in(&authority, |_| {}).await.expect("signed in");
        let wanted = policy(&authority).await;
        let wanted = v1::Policy {
            reauthenticate_within: seconds(600),
            ..wanted
        };
        let wanted = update(&authority, wanted, "").await.expect("updated");
        let others = v1::RevokeOtherSessionsRequest::default();
        let refused = authority
            .sessions(&old.access_token)
            .revoke_other_sessions(others.clone())
            .await;
        assert_eq!(
            reason(&refused.expect_err("too long ago")),
            "REAUTHENTICATION_REQUIRED"
        );
        let one = v1::RevokeSessionRequest {
            session_id: session_id(&recent),
            ..Default::default()
        };
        let refused = authority
            .sessions(&old.access_token)
            .revoke_session(one)
            .await;
        assert_eq!(
            reason(&refused.expect_err("too long ago")),
            "REAUTHENTICATION_REQUIRED"
        );
        let listed = authority
            .sessions(&old.access_token)
            .list_sessions(v1::ListSessionsRequest::default())
            .await;
        assert_eq!(
            listed
                .expect("looking is allowed")
                .into_inner()
                .sessions
                .len(),
            2
        );
        authority
            .sessions(&recent.access_token)
            .revoke_other_sessions(others)
            .await
            .expect("lately signed in");

        update(
            &authority,
            v1::Policy {
                users_see_sessions: false,
                ..wanted
            },
            "",
        )
        .await
        .expect("updated");
        let listed = authority
            .sessions(&recent.access_token)
            .list_sessions(v1::ListSessionsRequest::default())
            .await;
        assert_eq!(
            reason(&listed.expect_err("not for users")),
            "POLICY_FORBIDS"
        );
        let get = v1::GetSessionRequest {
            session_id: session_id(&recent),
            ..Default::default()
        };
        let got = authority
            .sessions(&recent.access_token)
            .get_session(get)
            .await;
        assert_eq!(reason(&got.expect_err("not for users")), "POLICY_FORBIDS");
        let about = v1::ListAuditEventsRequest::default();
        let events = authority
            .audit(&recent.access_token)
            .list_audit_events(about)
            .await;
        assert_eq!(
            reason(&events.expect_err("not for users")),
            "POLICY_FORBIDS"
        );
    })
    .await;
}

#[tokio::test]
async fn a_user_may_be_asked_for_a_sign_in_more_recent_than_others() {
    let authority = TestAuthority::sqlite().await;
    let mut wanted = policy(&authority).await;
    let stricter = v1::UserPolicy {
        reauthenticate_within: seconds(1),
        ..Default::default()
    };
    wanted.users.insert("ada".into(), stricter);
    update(&authority, wanted, "").await.expect("updated");
    let hour_ago = |request: &mut v1::CreateSessionRequest| {
        request.auth_time = Some((SystemTime::now() - Duration::from_secs(3_600)).into());
    };
    let ada = signed_in(&authority, hour_ago).await.expect("signed in");
    let bob = signed_in(&authority, |request| {
        hour_ago(request);
        request.user = sign_in("bob").user;
    });
    let bob = bob.await.expect("signed in");
    let others = v1::RevokeOtherSessionsRequest::default();
    let refused = authority
        .sessions(&ada.access_token)
        .revoke_other_sessions(others.clone())
        .await
        .expect_err("too long ago");
    assert_eq!(reason(&refused), "REAUTHENTICATION_REQUIRED");
    authority
        .sessions(&bob.access_token)
        .revoke_other_sessions(others)
        .await
        .expect("nobody asks bob");
}

/// More than are ended together: none of the oldest may stay.
#[tokio::test]
async fn a_sign_in_at_a_much_lower_limit_ends_all_that_are_beyond_it() {
    // The sweep would do it too.
    let authority =
        TestAuthority::with(|config| config.sessions.sweep_interval = Duration::from_secs(3_600))
            .await;
    let mut opened = Vec::new();
    for _ in 0..230 {
        opened.push(authority.sign_in("ada").await);
    }
    let wanted = v1::Policy {
        sessions_max: 2,
        ..policy(&authority).await
    };
    update(&authority, wanted, "").await.expect("updated");
    let newest = authority.sign_in("ada").await;
    let list = v1::ListSessionsRequest {
        tenant_id: TENANT.into(),
        ..Default::default()
    };
    let listed = authority
        .sessions(SUPPORT)
        .list_sessions(list)
        .await
        .expect("listed")
        .into_inner()
        .sessions;
    let listed: Vec<_> = listed.into_iter().map(|session| session.id).collect();
    assert_eq!(listed, [session_id(&newest), session_id(&opened[229])]);
}

#[tokio::test]
async fn a_repeated_sign_in_does_not_slip_past_the_limit() {
    let authority =
        TestAuthority::with(|config| config.sessions.sweep_interval = Duration::from_secs(3_600))
            .await;
    let older = signed_in(&authority, |_| {}).await.expect("signed in");
    let with_id = |request: &mut v1::CreateSessionRequest| request.request_id = "one".into();
    let first = signed_in(&authority, with_id).await.expect("signed in");
    // As if the answer had been lost before the limit was looked at.
    let ending = v1::Policy {
        sessions_max: 1,
        at_limit: v1::SessionLimitAction::EndOldest.into(),
        ..policy(&authority).await
    };
    let ending = update(&authority, ending, "").await.expect("updated");
    let again = signed_in(&authority, with_id)
        .await
        .expect("the same session");
    assert_eq!(session_id(&again), session_id(&first));
    let own = |created: &v1::CreateSessionResponse| {
        let mut sessions = authority.sessions(&created.access_token);
        async move {
            sessions
                .list_sessions(v1::ListSessionsRequest::default())
                .await
        }
    };
    assert!(own(&older).await.is_err(), "the older one has ended");
    assert_eq!(
        own(&again)
            .await
            .expect("alive")
            .into_inner()
            .sessions
            .len(),
        1
    );

    let refusing = v1::Policy {
        at_limit: v1::SessionLimitAction::Refuse.into(),
        sessions_max: 2,
        ..ending
    };
    let refusing = update(&authority, refusing, "").await.expect("updated");
    let with_other_id = |request: &mut v1::CreateSessionRequest| request.request_id = "two".into();
    let second = signed_in(&authority, with_other_id)
        .await
        .expect("signed in");
    update(
        &authority,
        v1::Policy {
            sessions_max: 1,
            ..refusing
        },
        "",
    )
    .await
    .expect("updated");
    // It was let in when there was room. Ending it now could leave the user with none: the sweep ends the older one.
    let again = signed_in(&authority, with_other_id)
        .await
        .expect("the same session");
    assert_eq!(session_id(&again), session_id(&second));
    let third = signed_in(&authority, |_| {}).await.expect_err("no room");
    assert_eq!(reason(&third), "SESSION_LIMIT");
}

#[tokio::test]
async fn every_preset_can_be_applied_by_name_and_cites_its_source() {
    let authority = TestAuthority::sqlite().await;
    let presets = [
        "nist_800_63b_aal1",
        "nist_800_63b_aal2",
        "nist_800_63b_aal3",
        "owasp_asvs_l1",
        "owasp_asvs_l2",
        "owasp_asvs_l3",
    ];
    let mut before = policy(&authority).await;
    for name in presets {
        let applied = update(&authority, before.clone(), name)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(
            !applied.source.is_empty() && applied.source != before.source,
            "{name}: {}",
            applied.source
        );
        before = applied;
    }
}

#[tokio::test]
async fn a_sign_in_that_is_refused_ends_nothing_and_a_repeated_one_is_not_refused() {
    on_both(async |authority| {
        let wanted = v1::Policy {
            sessions_max: 2,
            at_limit: v1::SessionLimitAction::Refuse.into(),
            ..policy(&authority).await
        };
        update(&authority, wanted, "").await.expect("updated");
        let first = signed_in(&authority, |_| ()).await.expect("signed in");
        let last = signed_in(&authority, |request| request.request_id = "last".into())
            .await
            .expect("signed in");
        let again = signed_in(&authority, |request| request.request_id = "last".into())
            .await
            .expect("the same");
        assert_eq!(session_id(&again), session_id(&last));
        for request_id in ["", "new"] {
            let beyond =
                signed_in(&authority, |request| request.request_id = request_id.into()).await;
            assert_eq!(reason(&beyond.expect_err("there are two")), "SESSION_LIMIT");
        }
        let reused = signed_in(&authority, |request| {
            (request.request_id, request.replaces_session_id) = ("last".into(), session_id(&first));
        });
        assert_eq!(
            reason(&reused.await.expect_err("other arguments")),
            "REQUEST_ID_REUSED"
        );
        authority
            .sessions(&first.access_token)
            .list_sessions(v1::ListSessionsRequest::default())
            .await
            .expect("alive");

        let replacing = signed_in(&authority, |request| {
            request.replaces_session_id = session_id(&first);
        });
        let replacing = replacing.await.expect("it takes the place of the other");
        assert_eq!(
            replacing.session.map(|session| session.replaces_session_id),
            Some(session_id(&first))
        );
        let request = v1::GetSessionRequest {
            tenant_id: TENANT.into(),
            session_id: session_id(&first),
        };
        let replaced = authority
            .sessions(SUPPORT)
            .get_session(request)
            .await
            .expect("found")
            .into_inner();
        let end = replaced
            .session
            .and_then(|session| session.end)
            .expect("an end");
        assert_eq!(end.cause(), v1::SessionEndCause::Replaced);
    })
    .await;
}

#[tokio::test]
async fn a_tightened_policy_ends_the_sessions_past_it_however_often_it_changes() {
    let authority =
        TestAuthority::with(|config| config.sessions.sweep_interval = Duration::from_secs(1)).await;
    let gate = authority.ready_gate().await;
    let created = authority.sign_in("ada").await;
    let mut wanted = v1::Policy {
        required_acr: vec!["two".into()],
        ..policy(&authority).await
    };
    for number in 0..3 {
        wanted.sessions_max = 10 + number;
        wanted = update(&authority, wanted, "").await.expect("updated");
    }
    assert_eq!(
        refused(&gate, &created.access_token).await,
        Rejection::Revoked
    );
    let own = authority
        .sessions(&created.access_token)
        .introspect_token(v1::IntrospectTokenRequest::default())
        .await;
    let end = own
        .expect("an answer")
        .into_inner()
        .session
        .and_then(|session| session.end)
        .expect("an end");
    assert_eq!(end.cause(), v1::SessionEndCause::Policy);
}

#[tokio::test]
async fn a_login_service_reports_a_changed_password_and_ends_sessions_for_nothing_else() {
    on_both(async |authority| {
        let kept = authority.sign_in("ada").await;
        let request = |cause: v1::SessionEndCause| v1::RevokeOtherSessionsRequest {
            tenant_id: TENANT.into(),
            user_id: "ada".into(),
            keep_session_id: session_id(&kept),
            cause: cause.into(),
            ..Default::default()
        };
        let mut login = authority.sessions(LOGIN);
        let denied = login
            .revoke_other_sessions(request(v1::SessionEndCause::Unspecified))
            .await
            .expect_err("no cause");
        assert_eq!(reason(&denied), "PERMISSION_DENIED");
        let wrong = login
            .revoke_other_sessions(request(v1::SessionEndCause::Administrator))
            .await
            .expect_err("no");
        assert_eq!(reason(&wrong), "PERMISSION_DENIED");
        let look = request(v1::SessionEndCause::PasswordChanged);
        let look = v1::RevokeOtherSessionsRequest {
            validate_only: true,
            ..look
        };
        let denied = login
            .revoke_other_sessions(look)
            .await
            .expect_err("it may not list sessions");
        assert_eq!(reason(&denied), "PERMISSION_DENIED");
        let older = authority.sign_in("ada").await;
        login
            .revoke_other_sessions(request(v1::SessionEndCause::SecondFactorChanged))
            .await
            .expect("ended");
        let get = v1::GetSessionRequest {
            tenant_id: TENANT.into(),
            session_id: session_id(&older),
        };
        let ended = authority
            .sessions(SUPPORT)
            .get_session(get)
            .await
            .expect("a session")
            .into_inner();
        let end = ended
            .session
            .and_then(|session| session.end)
            .expect("an end");
        assert_eq!(end.cause(), v1::SessionEndCause::SecondFactorChanged);
        let old = authority.sign_in("ada").await;
        login
            .revoke_other_sessions(request(v1::SessionEndCause::PasswordChanged))
            .await
            .expect("ended");
        let get = v1::GetSessionRequest {
            tenant_id: TENANT.into(),
            session_id: session_id(&old),
        };
        let ended = authority
            .sessions(SUPPORT)
            .get_session(get)
            .await
            .expect("a session")
            .into_inner();
        let end = ended
            .session
            .and_then(|session| session.end)
            .expect("an end");
        assert_eq!(end.cause(), v1::SessionEndCause::PasswordChanged);
    })
    .await;
}

#[tokio::test]
async fn a_preview_names_what_the_sweep_then_ends_and_changes_nothing() {
    let url = postgres::fresh_url().await;
    let soon = |config: &mut Config| config.sessions.sweep_interval = Duration::from_secs(1);
    let shared = TestAuthority::with(|config| {
        soon(config);
        config.store.url = url;
    });
    for authority in [TestAuthority::with(soon).await, shared.await] {
        let first = policy(&authority).await;
        let strong = |request: &mut v1::CreateSessionRequest| request.acr = "mfa".into();
        let mut weak = Vec::new();
        for _ in 0..3 {
            weak.push(signed_in(&authority, |_| {}).await.expect("signed in"));
        }
        let kept = signed_in(&authority, strong).await.expect("signed in");

        // Tightened by itself: three lack the second factor. And by the number: one more of the strong ones is too many.
        let tightened = v1::Policy {
            required_acr: vec!["mfa".into()],
            ..first.clone()
        };
        let shown = preview(&authority, ADMIN, tightened.clone(), "").await;
        let shown = shown.expect("a preview");
        let found = shown.preview.expect("what ends");
        assert_eq!((found.sessions, found.capped), (3, false));
        let mut sample: Vec<_> = found.sample.into_iter().map(|session| session.id).collect();
        let mut expected: Vec<_> = weak.iter().map(session_id).collect();
        sample.sort();
        expected.sort();
        assert_eq!(sample, expected);
        let would_be = shown.policy.expect("the policy as it would be");
        assert_eq!(would_be.required_acr, ["mfa"]);
        assert_eq!(
            would_be.etag, first.etag,
            "the version that it would replace"
        );

        let limited = v1::Policy {
            sessions_max: 1,
            ..first.clone()
        };
        let shown = preview(&authority, ADMIN, limited, "").await;
        let found = shown.expect("a preview").preview.expect("what ends");
        assert_eq!(found.sessions, 3, "all but the newest");

        // A preset is previewed as it would be applied, and a loosened policy ends nothing.
        let shown = preview(&authority, ADMIN, first.clone(), "nist_800_63b_aal2").await;
        let shown = shown.expect("a preview");
        assert!(shown.policy.expect("a policy").source.contains("800-63B"));
        assert_eq!(shown.preview.expect("a preview").sessions, 0);

        assert_eq!(policy(&authority).await, first, "nothing was changed");
        for stale in ["", "17"] {
            let stale = v1::Policy {
                etag: stale.into(),
                ..first.clone()
            };
            let refused = preview(&authority, ADMIN, stale, "")
                .await
                .expect_err("stale");
            assert_eq!(reason(&refused), "ETAG_MISMATCH");
        }
        let bad = v1::Policy {
            sessions_max: 10_001,
            ..first.clone()
        };
        let refused = preview(&authority, ADMIN, bad, "").await.expect_err("bad");
        assert_eq!(violations(&refused), ["policy.sessions_max"]);
        let refused = preview(&authority, SUPPORT, first.clone(), "").await;
        assert_eq!(reason(&refused.expect_err("support")), "PERMISSION_DENIED");

        // The update ends what the preview named, and no other.
        update(&authority, tightened, "").await.expect("updated");
        for created in &weak {
            eventually("the sweep to end it", async || {
                (!is_active(&authority, created).await).then_some(())
            })
            .await;
        }
        assert!(is_active(&authority, &kept).await);
    }
}

async fn is_active(authority: &TestAuthority, created: &v1::CreateSessionResponse) -> bool {
    let request = v1::GetSessionRequest {
        tenant_id: TENANT.into(),
        session_id: session_id(created),
    };
    let got = authority.sessions(SUPPORT).get_session(request).await;
    let session = got.expect("a session").into_inner().session;
    session.expect("a session").state() == v1::SessionState::Active
}

#[tokio::test]
async fn every_preset_that_is_listed_can_be_applied_with_its_source() {
    let authority = TestAuthority::sqlite().await;
    let request = v1::GetPolicyRequest {
        tenant_id: TENANT.into(),
    };
    let got = authority.tenants(SUPPORT).get_policy(request).await;
    let presets = got.expect("a policy").into_inner().presets;
    let names: Vec<_> = presets.iter().map(|preset| preset.name.as_str()).collect();
    let expected = [
        "nist_800_63b_aal1",
        "nist_800_63b_aal2",
        "nist_800_63b_aal3",
        "owasp_asvs_l1",
        "owasp_asvs_l2",
        "owasp_asvs_l3",
    ];
    assert_eq!(names, expected);
    for preset in presets {
        let current = policy(&authority).await;
        let applied = update(&authority, current.clone(), &preset.name).await;
        let applied = applied.expect("applied");
        assert_eq!(applied.source, preset.source);
        assert_eq!(applied.session_lifetime_max, preset.session_lifetime_max);
        let idle = preset.idle_timeout.or(current.idle_timeout);
        assert_eq!(applied.idle_timeout, idle, "{}", preset.name);
    }
}
