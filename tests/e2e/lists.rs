//! Lists and previews over the wire: what callers get, and what they are refused.

use portcullis_contract::v1;
use portcullis_tests::{
    authority::{ADMIN, LOGIN, SUPPORT, TENANT, TestAuthority, reason, session_id, sign_in},
    postgres::fresh_url,
};
use prost_types::Timestamp;
use tonic::{Code, Status};
use tonic_types::StatusExt;

fn fields(status: &Status) -> Vec<String> {
    let violations = status
        .get_details_bad_request()
        .map(|bad| bad.field_violations)
        .unwrap_or_default();
    violations
        .into_iter()
        .map(|violation| violation.field)
        .collect()
}

async fn on_both(story: impl AsyncFn(TestAuthority)) {
    story(TestAuthority::sqlite().await).await;
    story(TestAuthority::postgres(&fresh_url().await).await).await;
}

async fn sign_in_as(
    authority: &TestAuthority,
    user: &str,
    name: [&str; 3],
    ip: &str,
) -> v1::CreateSessionResponse {
    let [user_name, given_name, family_name] = name.map(str::to_owned);
    let person = v1::SessionUser {
        id: user.into(),
        user_name,
        given_name,
        family_name,
        email: format!("{user}@example.com"),
        roles: None,
    };
    let client = v1::Client {
        ip: ip.into(),
        ..Default::default()
    };
    let request = v1::CreateSessionRequest {
        user: Some(person),
        client: Some(client),
        ..sign_in(user)
    };
    authority
        .sessions(LOGIN)
        .create_session(request)
        .await
        .expect("a sign-in")
        .into_inner()
}

fn filtered(change: impl FnOnce(&mut v1::SessionFilter)) -> v1::ListSessionsRequest {
    let mut filter = v1::SessionFilter::default();
    change(&mut filter);
    v1::ListSessionsRequest {
        tenant_id: TENANT.into(),
        filter: Some(filter),
        ..Default::default()
    }
}

fn time(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos: 0 })
}

async fn ids(
    authority: &TestAuthority,
    bearer: &str,
    request: v1::ListSessionsRequest,
) -> Vec<String> {
    let listed = authority
        .sessions(bearer)
        .list_sessions(request)
        .await
        .expect("a list")
        .into_inner();
    listed
        .sessions
        .into_iter()
        .map(|session| session.id)
        .collect()
}

#[tokio::test]
async fn an_administrator_finds_sessions_by_profile_address_and_time() {
    on_both(async |authority| {
        let ada = sign_in_as(&authority, "1", ["ada", "Ada", "Lovelace"], "192.0.2.7").await;
        let bob = sign_in_as(
            &authority,
            "2",
            ["Bobby", "Robert", "Tables"],
            "2001:db8::1",
        )
        .await;
        let of = |created: &v1::CreateSessionResponse| vec![session_id(created)];
        let created = bob.session.as_ref().and_then(|session| session.create_time);
        let cases = [
            (filtered(|filter| filter.user_name = "ADA".into()), of(&ada)),
            (
                filtered(|filter| filter.person_name = "lovel".into()),
                of(&ada),
            ),
            (
                filtered(|filter| filter.person_name = "ROBERT".into()),
                of(&bob),
            ),
            (
                filtered(|filter| filter.person_name = "lovelace ÁDA".into()),
                of(&ada),
            ),
            (filtered(|filter| filter.person_name = "R".into()), of(&bob)),
            (filtered(|filter| filter.user_name = "a".into()), of(&ada)),
            (
                filtered(|filter| filter.email = "2@example".into()),
                of(&bob),
            ),
            (
                filtered(|filter| filter.network = "192.0.2.7".into()),
                of(&ada),
            ),
            (
                filtered(|filter| filter.network = "2001:db8::/32".into()),
                of(&bob),
            ),
            (filtered(|filter| filter.country_code = "de".into()), vec![]),
            (filtered(|filter| filter.started_before = created), of(&ada)),
            (filtered(|filter| filter.started_after = created), of(&bob)),
            (
                filtered(|filter| filter.last_active_before = time(86_400)),
                vec![],
            ),
            (
                filtered(|filter| filter.end_cause = v1::SessionEndCause::User.into()),
                vec![],
            ),
            (filtered(|_| {}), vec![session_id(&bob), session_id(&ada)]),
            (
                v1::ListSessionsRequest {
                    order: v1::SessionOrder::User.into(),
                    ..filtered(|_| {})
                },
                vec![session_id(&ada), session_id(&bob)],
            ),
        ];
        for (request, expected) in cases {
            assert_eq!(
                ids(&authority, SUPPORT, request.clone()).await,
                expected,
                "{:?}",
                request.filter
            );
        }
    })
    .await;
}

#[tokio::test]
async fn ended_sessions_are_shown_to_those_who_ask() {
    on_both(async |authority| {
        let (old, ada) = (
            authority.sign_in("ada").await,
            authority.sign_in("ada").await,
        );
        let revoke = v1::RevokeSessionRequest {
            tenant_id: TENANT.into(),
            session_id: session_id(&old),
            ..Default::default()
        };
        authority
            .sessions(ADMIN)
            .revoke_session(revoke)
            .await
            .expect("revoked");
        let all = [session_id(&ada), session_id(&old)];
        let own = v1::ListSessionsRequest::default();
        let ended = v1::ListSessionsRequest {
            show_ended: true,
            ..own.clone()
        };
        let revoked = v1::ListSessionsRequest {
            state: v1::SessionState::Revoked.into(),
            ..own.clone()
        };
        for (request, expected) in [(own, &all[..1]), (ended, &all[..]), (revoked, &all[1..])] {
            assert_eq!(
                ids(&authority, &ada.access_token, request.clone()).await,
                expected
            );
            let request = v1::ListSessionsRequest {
                tenant_id: TENANT.into(),
                ..request
            };
            assert_eq!(ids(&authority, SUPPORT, request).await, expected);
        }
        let by_cause =
            filtered(|filter| filter.end_cause = v1::SessionEndCause::Administrator.into());
        assert_eq!(ids(&authority, SUPPORT, by_cause).await, &all[1..]);
    })
    .await;
}

#[tokio::test]
async fn a_users_list_has_the_current_session_first_on_its_first_page() {
    let authority = TestAuthority::sqlite().await;
    let mut opened = Vec::new();
    for _ in 0..5 {
        opened.push(authority.sign_in("ada").await);
    }
    let mut ada = authority.sessions(&opened[2].access_token);
    let mut request = v1::ListSessionsRequest {
        page_size: 2,
        ..Default::default()
    };
    let mut listed = Vec::new();
    loop {
        let page = ada
            .list_sessions(request.clone())
            .await
            .expect("a page")
            .into_inner();
        listed.extend(page.sessions);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let expected = [2, 4, 3, 1, 0].map(|at: usize| session_id(&opened[at]));
    assert_eq!(
        listed
            .iter()
            .map(|session| session.id.clone())
            .collect::<Vec<_>>(),
        expected
    );
    assert!(listed[0].current && listed[1..].iter().all(|session| !session.current));
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table, one case a row")]
async fn a_filter_that_does_not_parse_is_refused_with_its_field() {
    let authority = TestAuthority::sqlite().await;
    let long = "x".repeat(10_000);
    let cases = [
        (
            filtered(|filter| filter.user_name = "   ".into()),
            "filter.user_name",
        ),
        (
            filtered(|filter| filter.user_name.clone_from(&long)),
            "filter.user_name",
        ),
        (
            filtered(|filter| filter.user_name = "a\u{0}bc".into()),
            "filter.user_name",
        ),
        (
            filtered(|filter| filter.person_name = "\u{301}".into()),
            "filter.person_name",
        ),
        (
            filtered(|filter| filter.email = "1 2 3 4 5 6 7 8 9".into()),
            "filter.email",
        ),
        (
            filtered(|filter| filter.network = "192.0.2.0/33".into()),
            "filter.network",
        ),
        (
            filtered(|filter| filter.network = "localhost".into()),
            "filter.network",
        ),
        (
            filtered(|filter| filter.country_code = "DEU".into()),
            "filter.country_code",
        ),
        (
            filtered(|filter| filter.country_code = "1\u{e9}".into()),
            "filter.country_code",
        ),
        (
            filtered(|filter| filter.device_type = 99),
            "filter.device_type",
        ),
        (filtered(|filter| filter.end_cause = -1), "filter.end_cause"),
        (
            filtered(|filter| filter.started_after = time(-1)),
            "filter.started_after",
        ),
        (
            filtered(|filter| filter.started_before = time(i64::MAX)),
            "filter.started_before",
        ),
        (
            filtered(|filter| {
                filter.started_after = Some(Timestamp {
                    seconds: 1,
                    nanos: -1,
                });
            }),
            "filter.started_after",
        ),
        (
            filtered(|filter| (filter.started_after, filter.started_before) = (time(2), time(1))),
            "filter.started_after",
        ),
        (
            // Also within a day, though days are what counts.
            filtered(|filter| {
                (filter.last_active_after, filter.last_active_before) =
                    (time(36_000), time(35_999));
            }),
            "filter.last_active_after",
        ),
        (
            filtered(|filter| {
                (filter.last_active_after, filter.last_active_before) =
                    (time(86_400), time(86_399));
            }),
            "filter.last_active_after",
        ),
        (
            v1::ListSessionsRequest {
                order: 99,
                ..filtered(|_| {})
            },
            "order",
        ),
        (
            v1::ListSessionsRequest {
                order: v1::SessionOrder::LastActive.into(),
                ..filtered(|_| {})
            },
            "order",
        ),
        (
            v1::ListSessionsRequest {
                state: -1,
                ..filtered(|_| {})
            },
            "state",
        ),
        (
            v1::ListSessionsRequest {
                page_size: -1,
                ..filtered(|_| {})
            },
            "page_size",
        ),
    ];
    for (request, field) in cases {
        let refused = authority
            .sessions(SUPPORT)
            .list_sessions(request)
            .await
            .expect_err(field);
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::InvalidArgument, "INVALID_FIELD"),
            "{field}"
        );
        assert_eq!(fields(&refused), [field]);
        assert!(
            !format!("{refused:?}").contains("xxxxxxxx"),
            "an error repeats what it was given"
        );
    }
    let users = |change: fn(&mut v1::UserFilter)| {
        let mut filter = v1::UserFilter::default();
        change(&mut filter);
        v1::ListUsersRequest {
            tenant_id: TENANT.into(),
            filter: Some(filter),
            ..Default::default()
        }
    };
    let cases = [
        (
            users(|filter| filter.user_name = " ".into()),
            "filter.user_name",
        ),
        (
            users(|filter| filter.person_name = "a b c d e f g h i".into()),
            "filter.person_name",
        ),
        (
            users(|filter| (filter.signed_in_after, filter.signed_in_before) = (time(2), time(1))),
            "filter.signed_in_after",
        ),
        (
            v1::ListUsersRequest {
                order: 99,
                ..users(|_| {})
            },
            "order",
        ),
        (
            v1::ListUsersRequest {
                page_size: -1,
                ..users(|_| {})
            },
            "page_size",
        ),
    ];
    for (request, field) in cases {
        let refused = authority
            .users(SUPPORT)
            .list_users(request)
            .await
            .expect_err(field);
        assert_eq!(fields(&refused), [field]);
    }
}

#[tokio::test]
async fn a_user_filters_their_own_list_by_device_type_and_state_only() {
    let authority = TestAuthority::sqlite().await;
    let ada = authority.sign_in("ada").await;
    let own = |change: fn(&mut v1::SessionFilter)| v1::ListSessionsRequest {
        tenant_id: String::new(),
        ..filtered(change)
    };
    let mut as_ada = authority.sessions(&ada.access_token);
    let allowed = own(|filter| filter.device_type = v1::DeviceType::Phone.into());
    as_ada.list_sessions(allowed).await.expect("allowed");
    let denied = [
        own(|filter| filter.user_name = "ada".into()),
        own(|filter| filter.network = "192.0.2.0/24".into()),
        own(|filter| filter.country_code = "DE".into()),
        own(|filter| filter.started_after = time(1)),
        own(|filter| filter.end_cause = v1::SessionEndCause::User.into()),
    ];
    for request in denied {
        let refused = as_ada
            .list_sessions(request)
            .await
            .expect_err("not for users");
        assert_eq!(reason(&refused), "PERMISSION_DENIED");
    }
}

#[tokio::test]
async fn a_page_token_is_good_for_its_filter_and_its_order_only() {
    let authority = TestAuthority::sqlite().await;
    for user in ["ada", "adam", "adele"] {
        sign_in_as(&authority, user, [user, "", ""], "192.0.2.7").await;
    }
    let request = v1::ListSessionsRequest {
        page_size: 1,
        ..filtered(|filter| filter.network = "192.0.2.0/24".into())
    };
    let mut admin = authority.sessions(ADMIN);
    let first = admin
        .list_sessions(request.clone())
        .await
        .expect("a page")
        .into_inner();
    let next = v1::ListSessionsRequest {
        page_token: first.next_page_token,
        ..request
    };
    admin.list_sessions(next.clone()).await.expect("its own");
    let others = [
        v1::ListSessionsRequest {
            filter: None,
            ..next.clone()
        },
        v1::ListSessionsRequest {
            filter: filtered(|f| f.network = "192.0.2.0/25".into()).filter,
            ..next.clone()
        },
        v1::ListSessionsRequest {
            order: v1::SessionOrder::User.into(),
            ..next.clone()
        },
        v1::ListSessionsRequest {
            show_ended: true,
            ..next.clone()
        },
        v1::ListSessionsRequest {
            state: v1::SessionState::Revoked.into(),
            ..next.clone()
        },
    ];
    for other in others {
        let refused = admin
            .list_sessions(other)
            .await
            .expect_err("another list's");
        assert_eq!(reason(&refused), "PAGE_TOKEN_INVALID");
    }
    let users = v1::ListUsersRequest {
        tenant_id: TENANT.into(),
        page_size: 1,
        ..Default::default()
    };
    let mut admin = authority.users(ADMIN);
    let first = admin
        .list_users(users.clone())
        .await
        .expect("a page")
        .into_inner();
    for page_token in [next.page_token, format!("{}A", first.next_page_token)] {
        let refused = admin
            .list_users(v1::ListUsersRequest {
                page_token,
                ..users.clone()
            })
            .await
            .expect_err("not its");
        assert_eq!(reason(&refused), "PAGE_TOKEN_INVALID");
    }
    let by_name = v1::ListUsersRequest {
        order: v1::UserOrder::UserName.into(),
        page_token: first.next_page_token,
        ..users
    };
    assert_eq!(
        reason(&admin.list_users(by_name).await.expect_err("another order")),
        "PAGE_TOKEN_INVALID"
    );
}

#[tokio::test]
async fn users_are_listed_with_their_sessions_and_the_total_on_the_first_page() {
    on_both(async |authority| {
        for user in ["ada", "ada", "bob"] {
            sign_in_as(&authority, user, [user, "", user], "").await;
        }
        let request = v1::ListUsersRequest {
            tenant_id: TENANT.into(),
            page_size: 1,
            ..Default::default()
        };
        let mut support = authority.users(SUPPORT);
        let first = support
            .list_users(request.clone())
            .await
            .expect("a page")
            .into_inner();
        assert_eq!((first.sessions, first.sessions_capped), (3, false));
        let next = v1::ListUsersRequest {
            page_token: first.next_page_token.clone(),
            ..request
        };
        let second = support.list_users(next).await.expect("a page").into_inner();
        assert_eq!((second.sessions, second.next_page_token.as_str()), (0, ""));
        let shown = |page: &v1::ListUsersResponse| {
            let summary = page.users[0].clone();
            assert!(summary.sign_in_time.is_some() && summary.last_active_time.is_some());
            (
                summary.user.expect("a user").user_name,
                summary.sessions,
                summary.sessions_capped,
            )
        };
        assert_eq!(
            [shown(&first), shown(&second)],
            [("bob".into(), 1, false), ("ada".into(), 2, false)]
        );

        let disable = v1::DisableUserRequest {
            tenant_id: TENANT.into(),
            user_id: "bob".into(),
            reason: "left".into(),
            ..Default::default()
        };
        authority
            .users(ADMIN)
            .disable_user(disable)
            .await
            .expect("disabled");
        for _ in 2..=100 {
            authority.sign_in("ada").await;
        }
        let all = v1::ListUsersRequest {
            tenant_id: TENANT.into(),
            show_signed_out: true,
            ..Default::default()
        };
        let all = support.list_users(all).await.expect("a page").into_inner();
        let seen = all.users.iter().map(|of| {
            let user = of.user.as_ref().expect("a user");
            (
                user.id.as_str(),
                user.disable_time.is_some(),
                of.sessions,
                of.sessions_capped,
            )
        });
        assert_eq!(
            seen.collect::<Vec<_>>(),
            [("ada", false, 100, true), ("bob", true, 0, false)]
        );
        assert_eq!((all.sessions, all.sessions_capped), (101, false));
    })
    .await;
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table, one case a row")]
async fn a_preview_shows_the_sessions_and_ends_none() {
    on_both(async |authority| {
        let (other, ada, bob) = (
            authority.sign_in("ada").await,
            authority.sign_in("ada").await,
            authority.sign_in("bob").await,
        );
        let (validate_only, tenant_id) = (true, TENANT.to_owned());
        let mut previews = Vec::new();
        let others = v1::RevokeOtherSessionsRequest {
            validate_only,
            ..Default::default()
        };
        let answer = authority
            .sessions(&ada.access_token)
            .revoke_other_sessions(others.clone())
            .await
            .expect("a preview");
        previews.push((answer.into_inner().preview, vec![&other]));
        let all = v1::RevokeOtherSessionsRequest {
            include_current: true,
            ..others
        };
        let answer = authority
            .sessions(&ada.access_token)
            .revoke_other_sessions(all)
            .await
            .expect("a preview");
        previews.push((answer.into_inner().preview, vec![&ada, &other]));
        let session_ids = vec![session_id(&bob), session_id(&other)];
        let batch = v1::BatchRevokeSessionsRequest {
            tenant_id: tenant_id.clone(),
            session_ids,
            validate_only,
            ..Default::default()
        };
        let answer = authority
            .sessions(ADMIN)
            .batch_revoke_sessions(batch)
            .await
            .expect("a preview");
        previews.push((answer.into_inner().preview, vec![&bob, &other]));
        let user_ids = vec!["ada".to_owned(), "bob".to_owned()];
        let force = v1::ForceSignOutRequest {
            tenant_id: tenant_id.clone(),
            user_ids,
            disable: true,
            validate_only,
            ..Default::default()
        };
        let answer = authority
            .users(ADMIN)
            .force_sign_out(force)
            .await
            .expect("a preview");
        previews.push((answer.into_inner().preview, vec![&bob, &ada, &other]));
        let tenant = v1::SignOutTenantRequest {
            tenant_id: tenant_id.clone(),
            validate_only,
            ..Default::default()
        };
        let answer = authority
            .tenants(ADMIN)
            .sign_out_tenant(tenant)
            .await
            .expect("a preview");
        previews.push((answer.into_inner().preview, vec![&bob, &ada, &other]));
        let disable = v1::DisableUserRequest {
            tenant_id: tenant_id.clone(),
            user_id: "ada".into(),
            validate_only,
            ..Default::default()
        };
        let answer = authority
            .users(ADMIN)
            .disable_user(disable)
            .await
            .expect("a preview")
            .into_inner();
        assert!(
            answer.enforcement.is_none()
                && answer.user.is_some_and(|user| user.disable_time.is_none())
        );
        previews.push((answer.preview, vec![&ada, &other]));
        let enable = v1::EnableUserRequest {
            tenant_id: tenant_id.clone(),
            user_id: "ada".into(),
            validate_only,
            ..Default::default()
        };
        let answer = authority
            .users(ADMIN)
            .enable_user(enable)
            .await
            .expect("a preview")
            .into_inner();
        assert!(answer.user.is_some_and(|user| user.disable_time.is_none()));
        for (preview, expected) in previews {
            let preview = preview.expect("a preview");
            let sample: Vec<_> = preview
                .sample
                .iter()
                .map(|session| session.id.clone())
                .collect();
            assert_eq!(
                sample,
                expected
                    .iter()
                    .map(|created| session_id(created))
                    .collect::<Vec<_>>()
            );
            assert_eq!(
                (preview.sessions as usize, preview.capped),
                (expected.len(), false)
            );
        }
        assert_eq!(
            ids(&authority, SUPPORT, filtered(|_| {})).await.len(),
            3,
            "a preview ended something"
        );
        authority.sign_in("ada").await;
    })
    .await;
}

#[tokio::test]
async fn a_preview_of_an_unknown_or_another_user_s_session_is_refused() {
    on_both(async |authority| {
        let (ada, bob) = (
            authority.sign_in("ada").await,
            authority.sign_in("bob").await,
        );
        let validate_only = true;
        let session_ids = vec!["ses_01h455vb4pex5vsknk084sn02q".to_owned()];
        let tenant_id = TENANT.to_owned();
        let batch = v1::BatchRevokeSessionsRequest {
            tenant_id,
            session_ids,
            validate_only,
            ..Default::default()
        };
        let refused = authority
            .sessions(ADMIN)
            .batch_revoke_sessions(batch)
            .await
            .expect_err("unknown");
        assert_eq!(reason(&refused), "SESSION_NOT_FOUND");
        let not_hers = v1::RevokeOtherSessionsRequest {
            keep_session_id: session_id(&bob),
            validate_only,
            ..Default::default()
        };
        let refused = authority
            .sessions(&ada.access_token)
            .revoke_other_sessions(not_hers)
            .await
            .expect_err("bob's");
        assert_eq!(reason(&refused), "SESSION_NOT_FOUND");
    })
    .await;
}
