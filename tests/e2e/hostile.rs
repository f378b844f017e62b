//! Bad input: a typed error that names the field, and nothing changed.

use std::time::Duration;

use portcullis_contract::v1;
use portcullis_tests::authority::{
    ADMIN, LOGIN, OPERATOR, SUPPORT, TENANT, TestAuthority, reason, session_id, sign_in,
};
use portcullis_validator::Rejection;
use tonic::{Code, Request, Status};
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

async fn sessions_of(authority: &TestAuthority) -> usize {
    let request = v1::ListSessionsRequest {
        tenant_id: TENANT.into(),
        ..Default::default()
    };
    let listed = authority
        .sessions(SUPPORT)
        .list_sessions(request)
        .await
        .expect("listed")
        .into_inner();
    listed.sessions.len()
}

fn client(change: impl FnOnce(&mut v1::Client)) -> v1::CreateSessionRequest {
    let mut client = v1::Client::default();
    change(&mut client);
    v1::CreateSessionRequest {
        client: Some(client),
        ..sign_in("ada")
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table, one case a row")]
async fn a_sign_in_with_a_bad_field_opens_nothing_and_names_the_field() {
    let authority = TestAuthority::sqlite().await;
    let long = "x".repeat(10_000);
    let cases = [
        (
            v1::CreateSessionRequest {
                tenant_id: String::new(),
                ..sign_in("ada")
            },
            "tenant_id",
        ),
        (
            v1::CreateSessionRequest {
                tenant_id: long.clone(),
                ..sign_in("ada")
            },
            "tenant_id",
        ),
        (
            v1::CreateSessionRequest {
                tenant_id: "a\nb".into(),
                ..sign_in("ada")
            },
            "tenant_id",
        ),
        (
            v1::CreateSessionRequest {
                user: None,
                ..sign_in("ada")
            },
            "user.id",
        ),
        (sign_in(""), "user.id"),
        (sign_in(&long), "user.id"),
        (sign_in("a\u{0}b"), "user.id"),
        (sign_in("a\u{85}b"), "user.id"),
        (
            client(|client| client.device_id.clone_from(&long)),
            "client.device_id",
        ),
        (
            client(|client| client.device_id = "a\tb".into()),
            "client.device_id",
        ),
        (
            v1::CreateSessionRequest {
                amr: vec!["pwd".into(); 17],
                ..sign_in("ada")
            },
            "amr",
        ),
        (
            v1::CreateSessionRequest {
                amr: vec![String::new()],
                ..sign_in("ada")
            },
            "amr[0]",
        ),
        (
            v1::CreateSessionRequest {
                acr: long.clone(),
                ..sign_in("ada")
            },
            "acr",
        ),
        (
            v1::CreateSessionRequest {
                audiences: vec!["x".repeat(257)],
                ..sign_in("ada")
            },
            "audiences[0]",
        ),
        (
            v1::CreateSessionRequest {
                audiences: vec!["x".repeat(200); 16],
                ..sign_in("ada")
            },
            "audiences",
        ),
        (
            v1::CreateSessionRequest {
                request_id: long.clone(),
                ..sign_in("ada")
            },
            "request_id",
        ),
        (
            v1::CreateSessionRequest {
                replaces_session_id: "x".into(),
                ..sign_in("ada")
            },
            "replaces_session_id",
        ),
        (
            v1::CreateSessionRequest {
                auth_time: Some(prost_types::Timestamp {
                    seconds: -1,
                    nanos: 0,
                }),
                ..sign_in("ada")
            },
            "auth_time",
        ),
        (
            v1::CreateSessionRequest {
                auth_time: Some(prost_types::Timestamp {
                    seconds: i64::MAX,
                    nanos: 0,
                }),
                ..sign_in("ada")
            },
            "auth_time",
        ),
    ];
    for (request, field) in cases {
        let refused = authority
            .sessions(LOGIN)
            .create_session(request)
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
    assert_eq!(sessions_of(&authority).await, 0);
}

#[tokio::test]
async fn a_sign_in_tomorrow_is_refused() {
    let authority = TestAuthority::sqlite().await;
    let tomorrow = std::time::SystemTime::now() + Duration::from_secs(86_400);
    let request = v1::CreateSessionRequest {
        auth_time: Some(tomorrow.into()),
        ..sign_in("ada")
    };
    let refused = authority
        .sessions(LOGIN)
        .create_session(request)
        .await
        .expect_err("in the future");
    assert_eq!(fields(&refused), ["auth_time"]);
}

#[tokio::test]
async fn a_revocation_with_a_bad_field_ends_nothing() {
    let authority = TestAuthority::sqlite().await;
    let gate = authority.ready_gate().await;
    let ada = authority.sign_in("ada").await;
    let good = v1::RevokeSessionRequest {
        tenant_id: TENANT.into(),
        session_id: session_id(&ada),
        ..Default::default()
    };
    let acting = |id: &str, ip: &str| {
        Some(v1::ActingUser {
            id: id.into(),
            ip: ip.into(),
        })
    };
    let cases = [
        (
            v1::RevokeSessionRequest {
                session_id: String::new(),
                ..good.clone()
            },
            "session_id",
        ),
        (
            v1::RevokeSessionRequest {
                session_id: "key_01h455vb4pex5vsknk084sn02q".into(),
                ..good.clone()
            },
            "session_id",
        ),
        (
            v1::RevokeSessionRequest {
                session_id: good.session_id.to_uppercase(),
                ..good.clone()
            },
            "session_id",
        ),
        (
            v1::RevokeSessionRequest {
                reason: "x".repeat(10_000),
                ..good.clone()
            },
            "reason",
        ),
        (
            v1::RevokeSessionRequest {
                reason: "bell\u{7}".into(),
                ..good.clone()
            },
            "reason",
        ),
        (
            v1::RevokeSessionRequest {
                user_message: "x".repeat(10_000),
                ..good.clone()
            },
            "user_message",
        ),
        (
            v1::RevokeSessionRequest {
                acting_user: acting("", ""),
                ..good.clone()
            },
            "acting_user.id",
        ),
        (
            v1::RevokeSessionRequest {
                acting_user: acting("bob", "x"),
                ..good.clone()
            },
            "acting_user.ip",
        ),
    ];
    for (request, field) in cases {
        let refused = authority
            .sessions(ADMIN)
            .revoke_session(request)
            .await
            .expect_err(field);
        assert_eq!(fields(&refused), [field]);
    }
    let unknown = v1::RevokeSessionRequest {
        session_id: "ses_01h455vb4pex5vsknk084sn02q".into(),
        ..good.clone()
    };
    let refused = authority
        .sessions(ADMIN)
        .revoke_session(unknown)
        .await
        .expect_err("unknown");
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::NotFound, "SESSION_NOT_FOUND")
    );
    assert!(gate.check(&ada.access_token).is_ok());
}

#[tokio::test]
async fn wide_calls_want_a_reason_ids_and_force() {
    let authority = TestAuthority::sqlite().await;
    let tenant_id = || TENANT.to_owned();
    let mut users = authority.users(ADMIN);
    for (user_ids, reason_text, field) in [
        (vec![], "why", "user_ids"),
        (vec!["u".into(); 1001], "why", "user_ids"),
        (vec![String::new()], "why", "user_ids[0]"),
        (vec!["ada".into()], " ", "reason"),
    ] {
        let reason = reason_text.to_owned();
        let request = v1::ForceSignOutRequest {
            tenant_id: tenant_id(),
            user_ids,
            reason,
            ..Default::default()
        };
        assert_eq!(
            fields(&users.force_sign_out(request).await.expect_err(field)),
            [field]
        );
    }
    let wrong = (0..1000)
        .map(|number| format!("{number} is no id"))
        .collect();
    let batch = v1::BatchRevokeSessionsRequest {
        tenant_id: tenant_id(),
        session_ids: wrong,
        ..Default::default()
    };
    let refused = authority
        .sessions(ADMIN)
        .batch_revoke_sessions(batch)
        .await
        .expect_err("no ids");
    assert_eq!(
        (fields(&refused).len(), refused.code()),
        (32, Code::InvalidArgument),
        "an error that still arrives"
    );
    let batch = v1::BatchRevokeSessionsRequest {
        tenant_id: tenant_id(),
        reason: "why".into(),
        ..Default::default()
    };
    let refused = authority
        .sessions(ADMIN)
        .batch_revoke_sessions(batch)
        .await
        .expect_err("no ids");
    assert_eq!(fields(&refused), ["session_ids"]);
    let tenant = v1::SignOutTenantRequest {
        tenant_id: tenant_id(),
        reason: "why".into(),
        ..Default::default()
    };
    let refused = authority
        .tenants(ADMIN)
        .sign_out_tenant(tenant)
        .await
        .expect_err("no force");
    assert_eq!(reason(&refused), "FORCE_REQUIRED");
    let everyone = v1::SignOutEveryoneRequest {
        reason: "why".into(),
        ..Default::default()
    };
    let refused = authority
        .revocations(OPERATOR)
        .sign_out_everyone(everyone)
        .await
        .expect_err("no force");
    assert_eq!(reason(&refused), "FORCE_REQUIRED");
}

#[tokio::test]
async fn a_page_token_is_good_for_its_caller_and_arguments_only() {
    let authority = TestAuthority::sqlite().await;
    for _ in 0..5 {
        authority.sign_in("ada").await;
    }
    let request = v1::ListSessionsRequest {
        tenant_id: TENANT.into(),
        page_size: 2,
        ..Default::default()
    };
    let mut admin = authority.sessions(ADMIN);
    let first = admin
        .list_sessions(request.clone())
        .await
        .expect("a page")
        .into_inner();
    let page_token = first.next_page_token;
    let next = v1::ListSessionsRequest {
        page_token: page_token.clone(),
        ..request.clone()
    };
    let mut seen: Vec<_> = first
        .sessions
        .iter()
        .map(|session| session.id.clone())
        .collect();
    let mut page = next.clone();
    while !page.page_token.is_empty() {
        let listed = admin
            .list_sessions(page.clone())
            .await
            .expect("a page")
            .into_inner();
        seen.extend(listed.sessions.into_iter().map(|session| session.id));
        page.page_token = listed.next_page_token;
    }
    let mut distinct = seen.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!((seen.len(), distinct.len()), (5, 5));

    let refused = authority
        .sessions(SUPPORT)
        .list_sessions(next.clone())
        .await
        .expect_err("another caller's");
    assert_eq!(reason(&refused), "PAGE_TOKEN_INVALID");
    let other = v1::ListSessionsRequest {
        user_id: "ada".into(),
        ..next.clone()
    };
    assert_eq!(
        reason(
            &admin
                .list_sessions(other)
                .await
                .expect_err("other arguments")
        ),
        "PAGE_TOKEN_INVALID"
    );
    for token in [
        "x".to_owned(),
        "x".repeat(10_000),
        page_token[1..].to_owned(),
        page_token.to_lowercase(),
    ] {
        let broken = v1::ListSessionsRequest {
            page_token: token,
            ..next.clone()
        };
        assert_eq!(
            reason(&admin.list_sessions(broken).await.expect_err("broken")),
            "PAGE_TOKEN_INVALID"
        );
    }
    let negative = v1::ListSessionsRequest {
        page_size: -1,
        ..request.clone()
    };
    assert_eq!(
        fields(&admin.list_sessions(negative).await.expect_err("negative")),
        ["page_size"]
    );
    let state = v1::ListSessionsRequest {
        state: 99,
        ..request
    };
    assert_eq!(
        fields(&admin.list_sessions(state).await.expect_err("no state")),
        ["state"]
    );
}

#[tokio::test]
async fn an_expired_deadline_changes_nothing() {
    let authority = TestAuthority::sqlite().await;
    for timeout in ["0n", "1n", "0S"] {
        let mut request = Request::new(sign_in("ada"));
        request
            .metadata_mut()
            .insert("grpc-timeout", timeout.parse().expect("a header value"));
        // This client gives up by itself too, so the answer may be its own.
        let refused = authority
            .sessions(LOGIN)
            .create_session(request)
            .await
            .expect_err("too late");
        assert!(
            matches!(refused.code(), Code::DeadlineExceeded | Code::Cancelled),
            "{refused:?}"
        );
    }
    assert_eq!(sessions_of(&authority).await, 0);
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_with_a_reason() {
    let authority = TestAuthority::sqlite().await;
    let request = v1::IntrospectTokenRequest {
        tenant_id: TENANT.into(),
        token: "A".repeat(1 << 20),
        ..Default::default()
    };
    let refused = authority
        .sessions(SUPPORT)
        .introspect_token(request)
        .await
        .expect_err("too large");
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::InvalidArgument, "INVALID_FIELD")
    );
}

#[tokio::test]
async fn introspection_answers_for_every_token_and_proves_nothing_for_a_bad_one() {
    let authority = TestAuthority::sqlite().await;
    let ada = authority.sign_in("ada").await;
    let introspect = async |tenant: &str, token: &str| {
        let request = v1::IntrospectTokenRequest {
            tenant_id: tenant.into(),
            token: token.into(),
            ..Default::default()
        };
        authority
            .sessions(SUPPORT)
            .introspect_token(request)
            .await
            .expect("an answer")
            .into_inner()
    };
    let good = introspect(TENANT, &ada.access_token).await;
    assert!(good.active && good.session.is_some());
    let garbage = "A".repeat(100_000);
    for bad in ["", "x", "a.b.c", &ada.refresh_token, &garbage] {
        let answer = introspect(TENANT, bad).await;
        assert!(!answer.active && answer.session.is_none() && !answer.inactive_reason.is_empty());
    }
    let elsewhere = introspect("other", &ada.access_token).await;
    assert!(!elsewhere.active && elsewhere.session.is_none());
    let request = v1::RevokeSessionRequest {
        tenant_id: TENANT.into(),
        session_id: session_id(&ada),
        ..Default::default()
    };
    authority
        .sessions(ADMIN)
        .revoke_session(request)
        .await
        .expect("revoked");
    let dead = introspect(TENANT, &ada.access_token).await;
    assert!(!dead.active && dead.session.is_some());
    assert_eq!(dead.inactive_reason, "revoked");
}

#[tokio::test]
async fn a_gate_that_knows_a_token_is_not_fooled_by_one_that_ends_the_same() {
    let authority = TestAuthority::sqlite().await;
    let gate = authority.ready_gate().await;
    let (ada, eve) = (
        authority.sign_in("ada").await.access_token,
        authority.sign_in("eve").await.access_token,
    );
    assert!(gate.check(&ada).is_ok() && gate.check(&eve).is_ok());
    let (of_ada, of_eve): (Vec<_>, Vec<_>) = (ada.split('.').collect(), eve.split('.').collect());
    let spliced = [of_eve[0], of_eve[1], of_ada[2]].join(".");
    assert_eq!(
        gate.check(&spliced).err(),
        Some(Rejection::BadSignature),
        "eve's claims, ada's signature"
    );
    for index in 0..ada.len() {
        let mut changed = ada.clone().into_bytes();
        changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).expect("ASCII");
        assert!(gate.check(&changed).is_err(), "changed at {index}");
    }
    assert!(gate.check(&format!(" {ada}")).is_err() && gate.check(&format!("x{ada}")).is_err());
    assert!(gate.check(&ada).is_ok());
}
