//! Who may call: every rpc of the descriptor set, by raw path, as the wire sees it.

use std::time::Duration;

use portcullis_contract::{DESCRIPTOR_SET, v1};
use portcullis_tests::authority::{
    ADMIN, GATEWAY, LOGIN, OPERATOR, OTHER_ADMIN, SUPPORT, TENANT, TestAuthority, reason,
    session_id, sign_in,
};
use prost::Message;
use tonic::{Code, Request, Status, client::Grpc};
use tonic_prost::ProstCodec;

/// The paths of all rpcs.
fn paths() -> Vec<String> {
    let files = prost_types::FileDescriptorSet::decode(DESCRIPTOR_SET)
        .expect("our own descriptors")
        .file;
    let ours = files
        .into_iter()
        .filter(|file| file.package() == "portcullis.v1");
    let of = |service: prost_types::ServiceDescriptorProto| {
        let name = service.name().to_owned();
        service
            .method
            .into_iter()
            .map(move |method| format!("/portcullis.v1.{name}/{}", method.name()))
    };
    ours.flat_map(|file| file.service).flat_map(of).collect()
}

/// Calls a path with an empty message and no knowledge of its types.
async fn call(authority: &TestAuthority, bearer: &str, path: &str) -> Result<(), Status> {
    let mut client = Grpc::new(authority.transport(bearer));
    client.ready().await.expect("a channel");
    let path = path.parse().expect("a path");
    // A stream that is allowed ends by itself a little before the deadline.
    let mut request = Request::new(());
    request.set_timeout(Duration::from_secs(2));
    // `()` is an empty message; whatever comes back is skipped.
    client
        .unary(request, path, ProstCodec::<(), ()>::default())
        .await
        .map(drop)
}

#[tokio::test]
async fn no_rpc_answers_without_credentials_or_with_wrong_ones() {
    let authority = TestAuthority::sqlite().await;
    let paths = paths();
    assert!(paths.len() >= 19, "{paths:?}");
    for path in &paths {
        let missing = call(&authority, "", path)
            .await
            .expect_err("no credentials");
        assert_eq!(
            (missing.code(), reason(&missing).as_str()),
            (Code::Unauthenticated, "CREDENTIALS_MISSING"),
            "{path}"
        );
        for wrong in [
            "wrong",
            "login-beare",
            "login-bearer2",
            "a.b.c",
            "..",
            &"A".repeat(10_000),
        ] {
            let wrong = call(&authority, wrong, path)
                .await
                .expect_err("wrong credentials");
            assert_eq!(reason(&wrong), "CREDENTIALS_INVALID", "{path}");
        }
    }
}

#[tokio::test]
async fn each_role_may_do_what_the_table_says_and_nothing_else() {
    let authority = TestAuthority::sqlite().await;
    let allowed = |bearer: &str| match bearer {
        LOGIN => vec![
            "CreateSession",
            "RefreshSession",
            "RevokeOtherSessions",
            "RevokeToken",
            "WaitForEnforcement",
            "WatchEnforcement",
        ],
        GATEWAY => vec![
            "IntrospectToken",
            "Watch",
            "ReportActivity",
            "WaitForEnforcement",
            "WatchEnforcement",
        ],
        SUPPORT => vec![
            "GetSession",
            "ListSessions",
            "IntrospectToken",
            "GetUser",
            "ListUsers",
            "ListTenants",
            "GetPolicy",
            "GetApiKey",
            "ListApiKeys",
            "ListAuditEvents",
            "WatchAuditEvents",
            "WaitForEnforcement",
            "WatchEnforcement",
        ],
        OPERATOR => vec![
            "ListSigningKeys",
            "RotateSigningKey",
            "RetireSigningKey",
            "ListSecrets",
            "RotateSecret",
            "RetireSecret",
            "ResealSecrets",
            "ListValidators",
            "ListTenants",
            "WaitForEnforcement",
            "WatchEnforcement",
            "SignOutEveryone",
            "ListAuditEvents",
            "WatchAuditEvents",
            "VerifyAuditTrail",
            "ListDeadLetters",
            "RetryDeadLetters",
            "DropDeadLetters",
            "EraseUser",
            "DeleteTenant",
        ],
        _ => vec![],
    };
    for bearer in [LOGIN, GATEWAY, SUPPORT, OPERATOR] {
        for path in paths() {
            let method = path.rsplit('/').next().expect("a method");
            let result = call(&authority, bearer, &path).await;
            let denied = result
                .as_ref()
                .is_err_and(|status| reason(status) == "PERMISSION_DENIED");
            // `Watch` is allowed and then waits for its first message: an empty one breaks the protocol.
            assert_eq!(
                denied,
                !allowed(bearer).contains(&method),
                "{bearer} {path}: {result:?}"
            );
        }
    }
}

#[tokio::test]
async fn an_rpc_that_is_not_in_the_table_is_denied_to_everyone() {
    let authority = TestAuthority::sqlite().await;
    for path in [
        "/portcullis.v1.SessionService/Nothing",
        "/x/y",
        "/grpc.reflection.v1.ServerReflection/Other",
    ] {
        for bearer in ["", ADMIN, OPERATOR] {
            let denied = call(&authority, bearer, path)
                .await
                .expect_err("not served");
            assert_eq!(reason(&denied), "PERMISSION_DENIED", "{path}");
        }
    }
}

#[tokio::test]
async fn reflection_is_off_unless_it_is_enabled() {
    let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let off = TestAuthority::sqlite().await;
    assert!(call(&off, "", path).await.is_err());
    let on = TestAuthority::with(|config| config.server.reflection = true).await;
    let answer = call(&on, "", path).await;
    assert!(
        !answer
            .as_ref()
            .is_err_and(|status| status.code() == Code::PermissionDenied),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_caller_of_one_tenant_touches_no_other_and_learns_nothing_of_it() {
    let authority = TestAuthority::sqlite().await;
    let ada = authority.sign_in("ada").await;
    let mut sessions = authority.sessions(OTHER_ADMIN);
    let mut answers = Vec::new();
    for tenant_id in [TENANT, "no such tenant"] {
        for id in [
            session_id(&ada),
            "ses_01h455vb4pex5vsknk084sn02q".to_owned(),
        ] {
            let request = v1::RevokeSessionRequest {
                tenant_id: tenant_id.into(),
                session_id: id,
                ..Default::default()
            };
            let denied = sessions
                .revoke_session(request)
                .await
                .expect_err("not its tenant");
            answers.push((denied.code(), denied.message().to_owned(), reason(&denied)));
        }
    }
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
    assert_eq!(answers[0].2, "PERMISSION_DENIED");
    let denied = sessions
        .create_session(sign_in("eve"))
        .await
        .expect_err("not its tenant");
    assert_eq!(reason(&denied), "PERMISSION_DENIED");
    let own = v1::CreateSessionRequest {
        tenant_id: "other".into(),
        ..sign_in("eve")
    };
    sessions.create_session(own).await.expect("its own tenant");
}

#[tokio::test]
async fn an_empty_tenant_from_a_service_is_never_all() {
    let authority = TestAuthority::sqlite().await;
    authority.sign_in("ada").await;
    let request = v1::ListSessionsRequest::default();
    let refused = authority
        .sessions(ADMIN)
        .list_sessions(request)
        .await
        .expect_err("which tenant?");
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::InvalidArgument, "INVALID_FIELD")
    );
}

#[tokio::test]
async fn a_user_sees_and_ends_only_their_own_sessions() {
    let authority = TestAuthority::sqlite().await;
    let (ada, eve) = (
        authority.sign_in("ada").await,
        authority.sign_in("eve").await,
    );
    let mut as_eve = authority.sessions(&eve.access_token);
    let get = |id: String| v1::GetSessionRequest {
        session_id: id,
        ..Default::default()
    };
    let revoke = |id: String| v1::RevokeSessionRequest {
        session_id: id,
        ..Default::default()
    };
    for id in [
        session_id(&ada),
        "ses_01h455vb4pex5vsknk084sn02q".to_owned(),
    ] {
        let hidden = as_eve
            .get_session(get(id.clone()))
            .await
            .expect_err("not eve's");
        assert_eq!(reason(&hidden), "SESSION_NOT_FOUND");
        let hidden = as_eve
            .revoke_session(revoke(id))
            .await
            .expect_err("not eve's");
        assert_eq!(reason(&hidden), "SESSION_NOT_FOUND");
    }
    let keep = v1::RevokeOtherSessionsRequest {
        keep_session_id: session_id(&ada),
        ..Default::default()
    };
    assert_eq!(
        reason(
            &as_eve
                .revoke_other_sessions(keep)
                .await
                .expect_err("not eve's")
        ),
        "SESSION_NOT_FOUND"
    );
    let of_ada = v1::ListSessionsRequest {
        user_id: "ada".into(),
        ..Default::default()
    };
    assert_eq!(
        reason(&as_eve.list_sessions(of_ada).await.expect_err("not eve")),
        "PERMISSION_DENIED"
    );
    let elsewhere = v1::ListSessionsRequest {
        tenant_id: "other".into(),
        ..Default::default()
    };
    assert_eq!(
        reason(
            &as_eve
                .list_sessions(elsewhere)
                .await
                .expect_err("not eve's")
        ),
        "PERMISSION_DENIED"
    );
    let listed = as_eve
        .list_sessions(v1::ListSessionsRequest::default())
        .await
        .expect("hers")
        .into_inner();
    assert_eq!(listed.sessions.len(), 1);
    let denied = as_eve
        .create_session(sign_in("eve"))
        .await
        .expect_err("not a login service");
    assert_eq!(reason(&denied), "PERMISSION_DENIED");
    let denied = authority
        .users(&eve.access_token)
        .get_user(v1::GetUserRequest::default())
        .await;
    assert_eq!(
        reason(&denied.expect_err("not for users")),
        "PERMISSION_DENIED"
    );
}

#[tokio::test]
async fn a_token_for_another_audience_does_not_call_the_authority() {
    let authority = TestAuthority::sqlite().await;
    let request = v1::CreateSessionRequest {
        audiences: vec!["gateway".into()],
        ..sign_in("ada")
    };
    let created = authority
        .sessions(LOGIN)
        .create_session(request)
        .await
        .expect("opened")
        .into_inner();
    let mut as_ada = authority.sessions(&created.access_token);
    let refused = as_ada
        .list_sessions(v1::ListSessionsRequest::default())
        .await
        .expect_err("not its audience");
    assert_eq!(reason(&refused), "CREDENTIALS_INVALID");
    let refused = authority
        .sessions(&created.refresh_token)
        .list_sessions(v1::ListSessionsRequest::default())
        .await;
    assert_eq!(
        reason(&refused.expect_err("a refresh token")),
        "CREDENTIALS_INVALID"
    );
}
