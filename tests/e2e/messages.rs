//! Messages of errors, as client libraries show them without unpacking the details.

use portcullis_contract::v1;
use portcullis_tests::authority::{ADMIN, LOGIN, SUPPORT, TENANT, TestAuthority, sign_in};
use tonic::Status;

async fn refused_sign_in(
    authority: &TestAuthority,
    change: fn(&mut v1::CreateSessionRequest),
) -> Status {
    let mut request = sign_in("ada");
    change(&mut request);
    let answer = authority.sessions(LOGIN).create_session(request).await;
    answer.expect_err("a field is invalid")
}

#[tokio::test]
async fn the_message_of_a_refused_sign_in_names_the_field_and_the_rule() {
    let authority = TestAuthority::sqlite().await;
    type Change = fn(&mut v1::CreateSessionRequest);
    let cases: [(Change, &str); 7] = [
        (|request| request.user = None, "user.id: required"),
        (
            |request| request.user = Some(v1::SessionUser::default()),
            "user.id: required",
        ),
        (|request| request.tenant_id.clear(), "tenant_id: required"),
        (
            |request| request.tenant_id = "x".repeat(129),
            "tenant_id: must be at most 128 bytes",
        ),
        (
            |request| request.acr = "a\tb".into(),
            "acr: must not contain control characters",
        ),
        (
            |request| request.replaces_session_id = "ses_1".into(),
            "replaces_session_id: must be a session id (ses_ and 26 characters)",
        ),
        (
            |request| request.audiences = vec!["a".into(), String::new(), String::new()],
            "audiences[1]: required (and 1 more)",
        ),
    ];
    for (change, message) in cases {
        let refused = refused_sign_in(&authority, change).await;
        assert_eq!(refused.message(), message);
    }
}

#[tokio::test]
async fn the_message_of_a_refused_call_says_what_to_do() {
    let authority = TestAuthority::sqlite().await;
    let list = v1::ListSessionsRequest {
        tenant_id: TENANT.into(),
        page_token: "of another list".into(),
        ..Default::default()
    };
    let refused = authority.sessions(SUPPORT).list_sessions(list).await;
    assert_eq!(
        refused.expect_err("not its").message(),
        "page_token: must be of the same list: begin at the first page"
    );

    let everyone = v1::SignOutTenantRequest {
        tenant_id: TENANT.into(),
        reason: "a drill".into(),
        ..Default::default()
    };
    let refused = authority.tenants(ADMIN).sign_out_tenant(everyone).await;
    assert_eq!(
        refused.expect_err("without force").message(),
        "force: must be true"
    );

    let policy = v1::UpdatePolicyRequest {
        tenant_id: TENANT.into(),
        reason: "a test".into(),
        policy: Some(v1::Policy {
            session_lifetime: Some(prost_types::Duration {
                seconds: -1,
                nanos: 0,
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    let refused = authority.tenants(ADMIN).update_policy(policy).await;
    let refused = refused.expect_err("a negative lifetime");
    let message = refused.message();
    assert!(message.starts_with("policy."), "{message}");
    assert!(message.contains(": "), "{message}");
}
