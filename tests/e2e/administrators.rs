//! What administrators end at once, what they are told about it, and what the trail says afterwards.

use std::{collections::HashMap, time::Duration};

use portcullis_authority::{config::Config, domain::Policy};
use portcullis_contract::v1;
use portcullis_tests::{
    authority::{
        ADMIN, LOGIN, OTHER_ADMIN, SUPPORT, TENANT, TestAuthority, reason, session_id, sign_in,
        violations,
    },
    postgres,
    rows::{behind, set_policy_behind},
    wait::eventually,
};
use tonic::Status;
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

/// Signs a user in from an address, with a browser or another program.
async fn from(authority: &TestAuthority, user: &str, ip: &str, agent: &str) -> String {
    let request = v1::CreateSessionRequest {
        client: Some(v1::Client {
            ip: ip.into(),
            user_agent: agent.into(),
            ..Default::default()
        }),
        ..sign_in(user)
    };
    let created = authority.sessions(LOGIN).create_session(request).await;
    session_id(&created.expect("a sign-in").into_inner())
}

async fn active(authority: &TestAuthority) -> Vec<String> {
    let request = v1::ListSessionsRequest {
        tenant_id: TENANT.into(),
        ..Default::default()
    };
    let mut sessions = authority.sessions(SUPPORT);
    let listed = sessions.list_sessions(request).await.expect("a list");
    let listed = listed.into_inner().sessions;
    listed.into_iter().map(|session| session.id).collect()
}

async fn events(authority: &TestAuthority, bearer: &str, action: &str) -> Vec<v1::AuditEvent> {
    let request = v1::ListAuditEventsRequest {
        tenant_id: TENANT.into(),
        action: action.into(),
        ..Default::default()
    };
    let mut audit = authority.audit(bearer);
    let listed = audit.list_audit_events(request).await.expect("events");
    listed.into_inner().events
}

#[tokio::test]
async fn wide_sign_outs_say_how_many_sessions_they_ended_and_whom_nobody_knows() {
    for authority in authorities().await {
        for user in ["ada", "ada", "bob", "eve", "eve"] {
            authority.sign_in(user).await;
        }
        let request = v1::ForceSignOutRequest {
            tenant_id: TENANT.into(),
            user_ids: vec!["ada".into(), "adda".into(), "bob".into()],
            reason: "a test".into(),
            ..Default::default()
        };
        let mut users = authority.users(ADMIN);
        let preview = v1::ForceSignOutRequest {
            validate_only: true,
            ..request.clone()
        };
        let previewed = users.force_sign_out(preview).await.expect("a preview");
        let previewed = previewed.into_inner();
        assert_eq!(previewed.preview.expect("a preview").sessions, 3);
        assert_eq!(previewed.sessions_ended, 0);

        let ended = users.force_sign_out(request.clone()).await.expect("ended");
        let ended = ended.into_inner();
        assert_eq!(
            (ended.sessions_ended, ended.sessions_ended_capped),
            (3, false)
        );
        assert_eq!(ended.unknown_user_ids, ["adda"]);
        let again = users.force_sign_out(request).await.expect("ended");
        let again = again.into_inner();
        assert_eq!(
            (again.sessions_ended, again.unknown_user_ids),
            (0, vec!["adda".to_owned()])
        );

        let request = v1::SignOutTenantRequest {
            tenant_id: TENANT.into(),
            reason: "a test".into(),
            force: true,
            ..Default::default()
        };
        let mut tenants = authority.tenants(ADMIN);
        let ended = tenants.sign_out_tenant(request).await.expect("ended");
        let ended = ended.into_inner();
        assert_eq!(
            (ended.sessions_ended, ended.sessions_ended_capped),
            (2, false)
        );
        assert!(active(&authority).await.is_empty());

        // The trail of the tenant has the numbers. A user does not see those of others.
        let said = events(&authority, SUPPORT, "user.sign_out").await;
        let numbers: Vec<_> = said
            .iter()
            .filter_map(|event| event.details.get("sessions_ended"))
            .collect();
        assert_eq!(numbers, ["3"], "what ended nothing is not in the trail");
        assert_eq!(said[0].cause(), Cause::Administrator);
        let said = events(&authority, SUPPORT, "tenant.sign_out").await;
        assert_eq!(said[0].details["sessions_ended"], "2");
        let back = authority.sign_in("ada").await;
        let own = events(&authority, &back.access_token, "user.sign_out").await;
        assert_eq!(own.len(), 1);
        assert!(own.iter().all(|event| event.details.is_empty()), "{own:?}");
        assert!(
            own.iter()
                .all(|event| event.cause() == Cause::Administrator)
        );
    }
}

async fn policy(authority: &TestAuthority) -> v1::Policy {
    let request = v1::GetPolicyRequest {
        tenant_id: TENANT.into(),
    };
    let got = authority.tenants(SUPPORT).get_policy(request).await;
    got.expect("a policy")
        .into_inner()
        .policy
        .expect("a policy")
}

async fn update(authority: &TestAuthority, policy: v1::Policy) -> Result<(), Status> {
    let request = v1::UpdatePolicyRequest {
        tenant_id: TENANT.into(),
        policy: Some(policy),
        reason: "a test".into(),
        ..Default::default()
    };
    authority
        .tenants(ADMIN)
        .update_policy(request)
        .await
        .map(drop)
}

fn hours(hours: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration {
        seconds: hours * 3_600,
        nanos: 0,
    })
}

#[tokio::test]
async fn the_trail_says_what_an_update_changed_in_a_policy() {
    for authority in authorities().await {
        let default = policy(&authority).await;
        let stricter = v1::UserPolicy {
            sessions_max: 1,
            ..Default::default()
        };
        let first = v1::Policy {
            session_lifetime: hours(8),
            remember_me_allowed: false,
            sessions_max: 3,
            users: HashMap::from([("ada".to_owned(), stricter)]),
            ..default.clone()
        };
        update(&authority, first).await.expect("updated");
        let second = v1::Policy {
            session_lifetime: hours(8),
            users: HashMap::new(),
            required_acr: vec!["mfa".into()],
            ..policy(&authority).await
        };
        update(&authority, second).await.expect("updated");
        let same = policy(&authority).await;
        update(&authority, same).await.expect("updated");
        let stale = update(&authority, default).await;
        assert_eq!(reason(&stale.expect_err("an old etag")), "ETAG_MISMATCH");

        let said = events(&authority, SUPPORT, "policy.update").await;
        let details: Vec<_> = said.into_iter().map(|event| event.details).collect();
        let expected = [
            vec![],
            vec![
                ("required_acr", "[] -> [\"mfa\"]"),
                ("users.ada.required_acr", "[] -> unset"),
                ("users.ada.remember_me_forbidden", "false -> unset"),
                ("users.ada.sessions_max", "1 -> unset"),
            ],
            vec![
                ("session_lifetime", "7days -> 8h"),
                ("remember_me_allowed", "true -> false"),
                ("sessions_max", "unset -> 3"),
                ("users.ada.required_acr", "unset -> []"),
                ("users.ada.remember_me_forbidden", "unset -> false"),
                ("users.ada.sessions_max", "unset -> 1"),
            ],
        ];
        let expected = expected.map(|changes| {
            let named = |(name, change): (&str, &str)| (name.to_owned(), change.to_owned());
            changes.into_iter().map(named).collect::<HashMap<_, _>>()
        });
        assert_eq!(details, expected);
    }
}

/// A session of a user that the authority ends by itself, and how its event explains that.
async fn explained(authority: &TestAuthority, user: &str, cause: Cause, detail: (&str, &str)) {
    let about = v1::ListAuditEventsRequest {
        tenant_id: TENANT.into(),
        user_id: user.into(),
        action: "session.revoke".into(),
        ..Default::default()
    };
    let event = eventually("the session ends", async || {
        let mut audit = authority.audit(SUPPORT);
        let listed = audit.list_audit_events(about.clone()).await;
        listed.expect("events").into_inner().events.pop()
    })
    .await;
    assert_eq!(
        (event.actor.as_str(), event.cause()),
        ("authority", cause),
        "{user}"
    );
    let (name, value) = detail;
    assert_eq!(event.details[name], value, "{user}");

    // The user reads the same in their own trail, without the administrators' words.
    let back = authority.sign_in(user).await;
    let own = events(authority, &back.access_token, "session.revoke").await;
    let own = own.last().expect("an event");
    assert_eq!(
        (own.actor.as_str(), own.cause(), own.reason.as_str()),
        ("authority", cause, "")
    );
    assert_eq!(own.details[name], value, "{user}");
}

#[tokio::test]
async fn a_user_s_trail_says_why_the_authority_ended_a_session() {
    let often = |config: &mut Config| {
        config.sessions.sweep_interval = Duration::from_millis(100);
        config.sessions.activity_delay_max = Duration::from_millis(100);
        config.tokens.refresh_grace = Duration::ZERO;
    };
    for authority in authorities_with(often).await {
        let mut idle = Policy::default();
        idle.limits.idle_timeout = Some(Duration::from_secs(5));
        idle.limits.sessions_max = Some(1);
        authority.sign_in("idle").await;
        authority.sign_in("old").await;
        let copied = authority.sign_in("copied").await;
        authority.sign_in("many").await;
        authority.sign_in("many").await;
        let old =
            "UPDATE sessions SET created_us = created_us - 86400000000 * 80 WHERE user_id = 'old'";
        behind(&authority, old).await;

        let mut refresh_token = copied.refresh_token.clone();
        for token in [
            copied.refresh_token.clone(),
            String::new(),
            copied.refresh_token.clone(),
        ] {
            let request = v1::RefreshSessionRequest {
                tenant_id: TENANT.into(),
                refresh_token: if token.is_empty() {
                    refresh_token.clone()
                } else {
                    token
                },
                ..Default::default()
            };
            let refreshed = authority.sessions(LOGIN).refresh_session(request).await;
            if let Ok(refreshed) = refreshed {
                refresh_token = refreshed.into_inner().refresh_token;
            }
        }
        let reused = ("finding", "refresh_token_reused");
        explained(&authority, "copied", Cause::RefreshTokenReused, reused).await;

        set_policy_behind(&authority, TENANT, &idle).await;
        // The walk over a changed policy ends these two. Idleness counts from the start of the authority.
        explained(
            &authority,
            "old",
            Cause::Policy,
            ("rule", "session_lifetime"),
        )
        .await;
        explained(&authority, "many", Cause::Policy, ("rule", "sessions_max")).await;
        explained(&authority, "idle", Cause::Idle, ("rule", "idle_timeout")).await;
    }
}

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
const CURL: &str = "curl/8.5.0";

fn matching(filter: v1::SessionFilter) -> v1::RevokeMatchingSessionsRequest {
    v1::RevokeMatchingSessionsRequest {
        tenant_id: TENANT.into(),
        filter: Some(filter),
        reason: "a test".into(),
        ..Default::default()
    }
}

async fn revoke(
    authority: &TestAuthority,
    bearer: &str,
    request: v1::RevokeMatchingSessionsRequest,
) -> Result<v1::RevokeMatchingSessionsResponse, Status> {
    let mut sessions = authority.sessions(bearer);
    let revoked = sessions.revoke_matching_sessions(request).await?;
    Ok(revoked.into_inner())
}

/// When a session was opened.
async fn created(authority: &TestAuthority, id: &str) -> Option<prost_types::Timestamp> {
    let request = v1::GetSessionRequest {
        tenant_id: TENANT.into(),
        session_id: id.into(),
    };
    let mut sessions = authority.sessions(SUPPORT);
    let got = sessions.get_session(request).await.expect("a session");
    got.into_inner().session.expect("a session").create_time
}

/// Fills a request, given an empty filter and the time at which the second session was opened.
type Filter =
    fn(&mut v1::RevokeMatchingSessionsRequest, v1::SessionFilter, Option<prost_types::Timestamp>);

/// Filters, each with the sessions that it matches of those that the test opens.
fn filters() -> [(&'static str, Filter, &'static [usize]); 6] {
    [
        (
            "a user",
            |request, _, _| request.user_id = "ada".into(),
            &[1, 2],
        ),
        (
            "a network",
            |request, none, _| {
                request.filter = Some(v1::SessionFilter {
                    network: "192.0.2.0/24".into(),
                    ..none
                });
            },
            &[1, 3],
        ),
        (
            "a device type",
            |request, none, _| {
                request.filter = Some(v1::SessionFilter {
                    device_type: v1::DeviceType::Program.into(),
                    ..none
                });
            },
            &[2],
        ),
        (
            "both",
            |request, none, _| {
                request.user_id = "ada".into();
                request.filter = Some(v1::SessionFilter {
                    network: "192.0.2.7".into(),
                    ..none
                });
            },
            &[1],
        ),
        (
            "started before",
            |request, none, second| {
                request.filter = Some(v1::SessionFilter {
                    started_before: second,
                    ..none
                });
            },
            &[0],
        ),
        (
            "nothing",
            |request, none, _| {
                request.filter = Some(v1::SessionFilter {
                    country_code: "FR".into(),
                    ..none
                });
            },
            &[],
        ),
    ]
}

#[tokio::test]
async fn administrators_end_what_a_filter_matches_and_nothing_else() {
    for authority in authorities().await {
        for (case, filter, expected) in filters() {
            let opened = [
                from(&authority, "old", "203.0.113.1", FIREFOX).await,
                from(&authority, "ada", "192.0.2.7", FIREFOX).await,
                from(&authority, "ada", "198.51.100.7", CURL).await,
                from(&authority, "bob", "192.0.2.8", FIREFOX).await,
            ];
            let second = created(&authority, &opened[1]).await;
            let mut request = matching(v1::SessionFilter::default());
            filter(&mut request, v1::SessionFilter::default(), second);

            let preview = v1::RevokeMatchingSessionsRequest {
                validate_only: true,
                reason: String::new(),
                ..request.clone()
            };
            let preview = revoke(&authority, ADMIN, preview).await.expect("a preview");
            let preview = preview.preview.expect("a preview");
            assert_eq!(preview.sessions as usize, expected.len(), "{case}");
            assert_eq!(preview.sample.len(), expected.len(), "{case}");
            assert_eq!(
                active(&authority).await.len(),
                opened.len(),
                "{case}: ends nothing"
            );

            let revoked = revoke(&authority, ADMIN, request.clone())
                .await
                .expect("ended");
            assert_eq!(
                (revoked.revoked as usize, revoked.more),
                (expected.len(), false),
                "{case}"
            );
            assert_eq!(revoked.enforcement.is_some(), !expected.is_empty());
            let left = active(&authority).await;
            for (index, id) in opened.iter().enumerate() {
                assert_eq!(
                    left.contains(id),
                    !expected.contains(&index),
                    "{case} {index}"
                );
            }
            let again = revoke(&authority, ADMIN, request)
                .await
                .expect("nothing left");
            assert_eq!(again.revoked, 0);

            let all = v1::SignOutTenantRequest {
                tenant_id: TENANT.into(),
                reason: "the next case".into(),
                force: true,
                ..Default::default()
            };
            authority
                .tenants(ADMIN)
                .sign_out_tenant(all)
                .await
                .expect("ended");
        }
    }
}

#[tokio::test]
async fn a_revocation_by_filter_is_capped_and_continues() {
    for authority in authorities().await {
        for _ in 0..5 {
            authority.sign_in("ada").await;
        }
        let newest = active(&authority).await;
        let request = v1::RevokeMatchingSessionsRequest {
            user_id: "ada".into(),
            sessions_max: 2,
            ..matching(v1::SessionFilter::default())
        };
        let first = revoke(&authority, ADMIN, request.clone())
            .await
            .expect("ended");
        assert_eq!((first.revoked, first.more), (2, true));
        assert_eq!(active(&authority).await, newest[2..], "the newest ended");
        let second = revoke(&authority, ADMIN, request.clone())
            .await
            .expect("ended");
        assert_eq!((second.revoked, second.more), (2, true));
        let third = revoke(&authority, ADMIN, request).await.expect("ended");
        assert_eq!((third.revoked, third.more), (1, false));
        let said = events(&authority, SUPPORT, "session.revoke").await;
        assert_eq!(said.len(), 5);
        assert!(
            said.iter()
                .all(|event| event.reason == "a test" && event.cause() == Cause::Administrator)
        );
    }
}

#[tokio::test]
async fn a_revocation_by_filter_needs_a_filter_a_reason_and_an_administrator() {
    let authority = TestAuthority::sqlite().await;
    let ada = authority.sign_in("ada").await;
    let of_ada = v1::RevokeMatchingSessionsRequest {
        user_id: "ada".into(),
        ..matching(v1::SessionFilter::default())
    };
    let cases: [(&[&str], v1::RevokeMatchingSessionsRequest); 7] = [
        (&["filter"], matching(v1::SessionFilter::default())),
        (
            &["filter"],
            v1::RevokeMatchingSessionsRequest {
                filter: None,
                ..matching(v1::SessionFilter::default())
            },
        ),
        (
            &["reason"],
            v1::RevokeMatchingSessionsRequest {
                reason: String::new(),
                ..of_ada.clone()
            },
        ),
        (
            &["sessions_max"],
            v1::RevokeMatchingSessionsRequest {
                sessions_max: 1_001,
                ..of_ada.clone()
            },
        ),
        (
            &["tenant_id"],
            v1::RevokeMatchingSessionsRequest {
                tenant_id: String::new(),
                ..of_ada.clone()
            },
        ),
        (
            &["filter.network"],
            matching(v1::SessionFilter {
                network: "somewhere".into(),
                ..Default::default()
            }),
        ),
        (
            &["filter.end_cause"],
            matching(v1::SessionFilter {
                end_cause: Cause::Idle.into(),
                ..Default::default()
            }),
        ),
    ];
    for (fields, request) in cases {
        let refused = revoke(&authority, ADMIN, request).await;
        assert_eq!(violations(&refused.expect_err("a bad request")), fields);
    }
    for bearer in [SUPPORT, LOGIN, OTHER_ADMIN, ada.access_token.as_str()] {
        let denied = revoke(&authority, bearer, of_ada.clone()).await;
        assert_eq!(
            reason(&denied.expect_err("no administrator")),
            "PERMISSION_DENIED"
        );
    }
    assert_eq!(active(&authority).await.len(), 1);
}

#[tokio::test]
async fn a_list_of_users_says_whether_and_how_long_ago_each_was_active() {
    for authority in authorities().await {
        for user in ["now", "away", "gone"] {
            authority.sign_in(user).await;
        }
        let away = "UPDATE sessions SET active_us = active_us - 600000000 WHERE user_id = 'away'";
        behind(&authority, away).await;
        let gone = v1::ForceSignOutRequest {
            tenant_id: TENANT.into(),
            user_ids: vec!["gone".into()],
            reason: "a test".into(),
            ..Default::default()
        };
        authority
            .users(ADMIN)
            .force_sign_out(gone)
            .await
            .expect("ended");
        for order in [
            v1::UserOrder::SignIn,
            v1::UserOrder::UserName,
            v1::UserOrder::PersonName,
            v1::UserOrder::Sessions,
            v1::UserOrder::LastActive,
        ] {
            let request = v1::ListUsersRequest {
                tenant_id: TENANT.into(),
                show_signed_out: true,
                order: order.into(),
                ..Default::default()
            };
            let listed = authority.users(SUPPORT).list_users(request).await;
            let listed = listed.expect("a list").into_inner().users;
            let of = |id: &str| {
                let of_user = |summary: &&v1::UserSummary| {
                    summary.user.as_ref().is_some_and(|user| user.id == id)
                };
                listed.iter().find(of_user).expect("the user is listed")
            };
            let idle = |id: &str| of(id).idle.map(|idle| idle.seconds / 60);
            assert_eq!(
                of("now").status(),
                v1::ActivityStatus::ActiveNow,
                "{order:?}"
            );
            assert_eq!(idle("now"), Some(0));
            assert_eq!(of("away").status(), v1::ActivityStatus::Idle, "{order:?}");
            assert_eq!(idle("away"), Some(10));
            assert_eq!(
                of("gone").status(),
                v1::ActivityStatus::Unspecified,
                "{order:?}"
            );
            assert_eq!(idle("gone"), None);
        }
        let wrong = v1::ListUsersRequest {
            tenant_id: TENANT.into(),
            filter: Some(v1::UserFilter {
                active_addresses_min: 1,
                ..Default::default()
            }),
            ..Default::default()
        };
        let refused = authority.users(SUPPORT).list_users(wrong).await;
        assert_eq!(
            violations(&refused.expect_err("one address")),
            ["filter.active_addresses_min"]
        );
    }
}

/// What an administrator changes about users and tenants has a reason in the trail, whatever undoes what.
#[tokio::test]
async fn a_change_of_an_administrator_needs_a_reason() {
    let authority = TestAuthority::sqlite().await;
    authority.sign_in("ada").await;
    let mut users = authority.users(ADMIN);
    let mut disable = v1::DisableUserRequest {
        tenant_id: TENANT.into(),
        user_id: "ada".into(),
        ..Default::default()
    };
    let mut enable = v1::EnableUserRequest {
        tenant_id: TENANT.into(),
        user_id: "ada".into(),
        ..Default::default()
    };
    let roles = v1::SetUserRolesRequest {
        tenant_id: TENANT.into(),
        user_id: "ada".into(),
        ..Default::default()
    };
    let refused = [
        users.disable_user(disable.clone()).await.err(),
        users.enable_user(enable.clone()).await.err(),
        users.set_user_roles(roles).await.err(),
    ];
    for refused in refused {
        let refused = refused.expect("no reason");
        assert_eq!(violations(&refused), ["reason"]);
    }

    // Refused without a reason, the change is not made.
    disable.reason = "stolen".into();
    users.disable_user(disable).await.expect("disabled");
    let refused = users.enable_user(enable.clone()).await;
    refused.expect_err("no reason");
    let of_ada = v1::GetUserRequest {
        tenant_id: TENANT.into(),
        user_id: "ada".into(),
    };
    let user = users.get_user(of_ada).await.expect("a user").into_inner();
    assert!(user.user.expect("a user").disable_time.is_some());

    enable.reason = "found again".into();
    users.enable_user(enable).await.expect("enabled");
    let said = events(&authority, SUPPORT, "user.enable").await;
    assert_eq!(said[0].reason, "found again");
}
