//! People with a role in their tenant, who call with their own access token.

use portcullis_authority::config::Config;
use portcullis_contract::v1::{self, UserRole as Role};
use portcullis_tests::authority::{
    ADMIN, LOGIN, OTHER_ADMIN, TENANT, TestAuthority, reason, session_id, sign_in, violations,
};
use tonic::{Code, Status};

/// An authority whose tokens are for itself too, as people need it.
async fn authority() -> TestAuthority {
    TestAuthority::sqlite().await
}

/// Signs a person in with these roles, and returns the access token.
async fn person(authority: &TestAuthority, id: &str, roles: &[Role]) -> String {
    let mut request = sign_in(id);
    request.user = request.user.map(|user| v1::SessionUser {
        roles: Some(v1::UserRoles {
            roles: roles.iter().map(|role| (*role).into()).collect(),
        }),
        ..user
    });
    let created = authority.sessions(LOGIN).create_session(request).await;
    created.expect("a sign-in").into_inner().access_token
}

async fn list_users(authority: &TestAuthority, token: &str, tenant: &str) -> Result<usize, Status> {
    let request = v1::ListUsersRequest {
        tenant_id: tenant.into(),
        ..Default::default()
    };
    let listed = authority.users(token).list_users(request).await?;
    Ok(listed.into_inner().users.len())
}

async fn list_sessions(authority: &TestAuthority, token: &str, tenant: &str) -> usize {
    let request = v1::ListSessionsRequest {
        tenant_id: tenant.into(),
        ..Default::default()
    };
    let listed = authority.sessions(token).list_sessions(request).await;
    listed.expect("a list").into_inner().sessions.len()
}

async fn disable(authority: &TestAuthority, bearer: &str, user: &str) -> Result<(), Status> {
    let request = v1::DisableUserRequest {
        tenant_id: TENANT.into(),
        user_id: user.into(),
        reason: "a test".into(),
        ..Default::default()
    };
    authority.users(bearer).disable_user(request).await?;
    Ok(())
}

async fn set_roles(
    authority: &TestAuthority,
    bearer: &str,
    user: &str,
    roles: &[Role],
) -> Result<Vec<i32>, Status> {
    let request = v1::SetUserRolesRequest {
        tenant_id: TENANT.into(),
        user_id: user.into(),
        roles: roles.iter().map(|role| (*role).into()).collect(),
        reason: "a test".into(),
        ..Default::default()
    };
    let answer = authority.users(bearer).set_user_roles(request).await?;
    Ok(answer.into_inner().user.expect("a user").roles)
}

async fn revoke(authority: &TestAuthority, token: &str, session: &str) -> Result<(), Status> {
    let request = v1::RevokeSessionRequest {
        tenant_id: TENANT.into(),
        session_id: session.into(),
        reason: "stolen".into(),
        ..Default::default()
    };
    authority.sessions(token).revoke_session(request).await?;
    Ok(())
}

#[tokio::test]
async fn an_administrator_ends_others_sessions_and_the_trail_names_them() {
    let authority = authority().await;
    let admin = person(&authority, "ada", &[Role::Admin]).await;
    let other = authority.sign_in("bob").await;
    assert_eq!(
        list_users(&authority, &admin, TENANT)
            .await
            .expect("allowed"),
        2
    );
    // Their tenant is known without its name.
    assert_eq!(
        list_users(&authority, &admin, "").await.expect("allowed"),
        2
    );

    revoke(&authority, &admin, &session_id(&other))
        .await
        .expect("allowed");
    let request = v1::ListAuditEventsRequest {
        tenant_id: TENANT.into(),
        action: "session.revoke".into(),
        ..Default::default()
    };
    let events = authority.audit(&admin).list_audit_events(request).await;
    let events = events.expect("allowed").into_inner().events;
    let (actor, reason) = (events[0].actor.as_str(), events[0].reason.as_str());
    assert_eq!((actor, reason), ("user:ada", "stolen"));
}

#[tokio::test]
async fn support_reads_and_changes_nothing() {
    let authority = authority().await;
    let support = person(&authority, "sam", &[Role::Support]).await;
    let other = session_id(&authority.sign_in("bob").await);
    assert_eq!(
        list_users(&authority, &support, TENANT)
            .await
            .expect("allowed"),
        2
    );
    let request = v1::GetSessionRequest {
        tenant_id: TENANT.into(),
        session_id: other.clone(),
    };
    authority
        .sessions(&support)
        .get_session(request)
        .await
        .expect("allowed");

    // Not found, and not denied: as a user they see their own sessions, and this one is not theirs.
    let refused = revoke(&authority, &support, &other)
        .await
        .expect_err("support reads");
    assert!(
        matches!(refused.code(), Code::NotFound | Code::InvalidArgument),
        "{refused:?}"
    );
    for refused in [
        disable(&authority, &support, "bob")
            .await
            .expect_err("support reads"),
        set_roles(&authority, &support, "sam", &[Role::Admin])
            .await
            .map(|_| ())
            .expect_err("support reads"),
    ] {
        assert_eq!(reason(&refused), "PERMISSION_DENIED");
    }
}

#[tokio::test]
async fn people_have_their_role_in_their_own_tenant_only() {
    let authority = authority().await;
    let admin = person(&authority, "ada", &[Role::Admin, Role::Support]).await;
    for tenant in ["other", "nowhere", "no\u{1}tenant"] {
        let refused = list_users(&authority, &admin, tenant)
            .await
            .expect_err("another tenant");
        assert_eq!(reason(&refused), "PERMISSION_DENIED", "{tenant:?}");
    }
    let mut keys = authority.keys(&admin);
    let refused = keys
        .list_signing_keys(v1::ListSigningKeysRequest::default())
        .await;
    assert_eq!(
        reason(&refused.expect_err("an operator's")),
        "PERMISSION_DENIED"
    );
    // Nor may they sign people in, or hand out roles of services.
    let refused = authority
        .sessions(&admin)
        .create_session(sign_in("eve"))
        .await;
    assert_eq!(
        reason(&refused.expect_err("a login service's")),
        "PERMISSION_DENIED"
    );
    let refused = authority.sessions(LOGIN).create_session(with_role(7)).await;
    assert_eq!(
        violations(&refused.expect_err("no such role")),
        ["user.roles"]
    );
}

fn with_role(role: i32) -> v1::CreateSessionRequest {
    let mut request = sign_in("eve");
    request.user = request.user.map(|user| v1::SessionUser {
        roles: Some(v1::UserRoles { roles: vec![role] }),
        ..user
    });
    request
}

#[tokio::test]
async fn a_person_who_names_no_tenant_acts_for_themselves() {
    let authority = authority().await;
    let admin = person(&authority, "ada", &[Role::Admin]).await;
    authority.sign_in("bob").await;
    assert_eq!(list_sessions(&authority, &admin, "").await, 1);
    assert_eq!(list_sessions(&authority, &admin, TENANT).await, 2);
    let user = person(&authority, "eve", &[]).await;
    assert_eq!(list_sessions(&authority, &user, TENANT).await, 1);
    // The session of the call is always their own affair.
    let request = v1::RevokeSessionRequest {
        tenant_id: TENANT.into(),
        ..Default::default()
    };
    let ended = authority.sessions(&admin).revoke_session(request).await;
    ended.expect("a sign-out");
}

#[tokio::test]
async fn new_roles_are_in_force_when_they_are_acknowledged() {
    let authority = authority().await;
    let replica_url = portcullis_tests::postgres::fresh_url().await;
    let shared = TestAuthority::postgres(&replica_url).await;
    let replica = shared.replica().await;
    for (first, second) in [(&authority, &authority), (&shared, &replica)] {
        let token = person(first, "ada", &[]).await;
        for _ in 0..10 {
            let refused = list_users(second, &token, TENANT)
                .await
                .expect_err("no role yet");
            assert_eq!(reason(&refused), "PERMISSION_DENIED");
            let roles = set_roles(first, ADMIN, "ada", &[Role::Support])
                .await
                .expect("set");
            assert_eq!(roles, [i32::from(Role::Support)]);
            list_users(second, &token, TENANT).await.expect("in force");
            set_roles(first, ADMIN, "ada", &[]).await.expect("set");
        }
    }
}

#[tokio::test]
async fn administrators_can_neither_lock_themselves_out_nor_the_last_of_them() {
    let authority = authority().await;
    let ada = person(&authority, "ada", &[Role::Admin]).await;
    for refused in [
        disable(&authority, &ada, "ada").await.expect_err("oneself"),
        set_roles(&authority, &ada, "ada", &[Role::Admin])
            .await
            .map(|_| ())
            .expect_err("oneself"),
        force_sign_out(&authority, &ada, &["bob", "ada"])
            .await
            .expect_err("oneself"),
    ] {
        assert_eq!(reason(&refused), "OWN_ACCOUNT");
    }
    for refused in [
        disable(&authority, ADMIN, "ada")
            .await
            .expect_err("the last one"),
        force_sign_out(&authority, ADMIN, &["bob", "ada"])
            .await
            .expect_err("the last one"),
        set_roles(&authority, ADMIN, "ada", &[Role::Support])
            .await
            .map(|_| ())
            .expect_err("the last one"),
    ] {
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::FailedPrecondition, "LAST_ADMINISTRATOR")
        );
    }
    let bob = person(&authority, "bob", &[Role::Admin]).await;
    disable(&authority, &bob, "ada")
        .await
        .expect("there are two");
    let refused = list_users(&authority, &ada, TENANT)
        .await
        .expect_err("signed out");
    assert_eq!(refused.code(), Code::Unauthenticated);
}

async fn force_sign_out(
    authority: &TestAuthority,
    bearer: &str,
    users: &[&str],
) -> Result<(), Status> {
    let request = v1::ForceSignOutRequest {
        tenant_id: TENANT.into(),
        user_ids: users.iter().map(ToString::to_string).collect(),
        reason: "a test".into(),
        disable: true,
        ..Default::default()
    };
    authority.users(bearer).force_sign_out(request).await?;
    Ok(())
}

#[tokio::test]
async fn a_change_needs_as_recent_a_sign_in_as_the_policy_demands() {
    let authority = authority().await;
    let other = session_id(&authority.sign_in("bob").await);
    let mut request = sign_in("ada");
    request.user = request.user.map(|user| v1::SessionUser {
        roles: Some(v1::UserRoles {
            roles: vec![Role::Admin.into()],
        }),
        ..user
    });
    let hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3_600);
    request.auth_time = Some(hour_ago.into());
    let created = authority.sessions(LOGIN).create_session(request).await;
    let created = created.expect("a sign-in").into_inner();
    let admin = created.access_token.clone();
    demand_recent_sign_ins(&authority).await;

    for refused in [
        revoke(&authority, &admin, &other)
            .await
            .expect_err("too long ago"),
        disable(&authority, &admin, "bob")
            .await
            .expect_err("too long ago"),
        set_roles(&authority, &admin, "bob", &[])
            .await
            .map(|_| ())
            .expect_err("too long ago"),
    ] {
        assert_eq!(reason(&refused), "REAUTHENTICATION_REQUIRED");
    }
    // Reading needs none, nor does signing out.
    list_users(&authority, &admin, TENANT)
        .await
        .expect("allowed");
    revoke_own(&authority, &admin, &session_id(&created))
        .await
        .expect("a sign-out");
}

async fn revoke_own(authority: &TestAuthority, token: &str, session: &str) -> Result<(), Status> {
    let request = v1::RevokeSessionRequest {
        tenant_id: TENANT.into(),
        session_id: session.into(),
        ..Default::default()
    };
    authority.sessions(token).revoke_session(request).await?;
    Ok(())
}

async fn demand_recent_sign_ins(authority: &TestAuthority) {
    let mut tenants = authority.tenants(ADMIN);
    let request = v1::GetPolicyRequest {
        tenant_id: TENANT.into(),
    };
    let current = tenants
        .get_policy(request)
        .await
        .expect("a policy")
        .into_inner();
    let policy = v1::Policy {
        reauthenticate_within: Some(prost_types::Duration {
            seconds: 600,
            nanos: 0,
        }),
        ..current.policy.expect("a policy")
    };
    let request = v1::UpdatePolicyRequest {
        tenant_id: TENANT.into(),
        policy: Some(policy),
        reason: "a test".into(),
        ..Default::default()
    };
    tenants.update_policy(request).await.expect("an update");
}

#[tokio::test]
async fn a_service_of_another_tenant_sets_no_roles() {
    let authority = authority().await;
    authority.sign_in("ada").await;
    let refused = set_roles(&authority, OTHER_ADMIN, "ada", &[Role::Admin]).await;
    assert_eq!(
        reason(&refused.expect_err("another tenant")),
        "PERMISSION_DENIED"
    );
    let unknown = set_roles(&authority, ADMIN, "nobody", &[Role::Admin]).await;
    assert_eq!(reason(&unknown.expect_err("unknown")), "USER_NOT_FOUND");
}

/// Whether a person may list the gates and verify the trail: both or neither.
async fn inspects(authority: &TestAuthority, token: &str) -> bool {
    let listed = authority
        .revocations(token)
        .list_validators(v1::ListValidatorsRequest {})
        .await;
    let verified = authority
        .audit(token)
        .verify_audit_trail(v1::VerifyAuditTrailRequest::default())
        .await;
    assert_eq!(listed.is_ok(), verified.is_ok(), "{listed:?} {verified:?}");
    if let Err(refused) = &listed {
        assert_eq!(reason(refused), "PERMISSION_DENIED");
    }
    listed.is_ok()
}

#[tokio::test]
async fn administrators_of_the_operators_tenant_see_the_installation_and_nobody_else_does() {
    let unset = authority().await;
    let admin = person(&unset, "ada", &[Role::Admin]).await;
    assert!(!inspects(&unset, &admin).await, "nobody may by default");

    let elsewhere = |config: &mut Config| config.server.operators_tenant = Some("staff".into());
    let elsewhere = TestAuthority::with(elsewhere).await;
    let admin = person(&elsewhere, "ada", &[Role::Admin]).await;
    assert!(!inspects(&elsewhere, &admin).await, "a customer's own");

    let own = |config: &mut Config| config.server.operators_tenant = Some(TENANT.into());
    let own = TestAuthority::with(own).await;
    let admin = person(&own, "ada", &[Role::Admin]).await;
    assert!(inspects(&own, &admin).await);
    for roles in [&[][..], &[Role::Support]] {
        let person = person(&own, "sam", roles).await;
        assert!(!inspects(&own, &person).await, "{roles:?}");
    }
    // They read. What ends or changes something for all tenants stays with services.
    let refused = own
        .revocations(&admin)
        .sign_out_everyone(v1::SignOutEveryoneRequest::default())
        .await;
    assert_eq!(
        reason(&refused.expect_err("a service's")),
        "PERMISSION_DENIED"
    );
    person(&own, "eve", &[Role::Admin]).await;
    set_roles(&own, ADMIN, "ada", &[]).await.expect("taken");
    assert!(!inspects(&own, &admin).await, "in force at the answer");
}
