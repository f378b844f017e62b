//! The log under load: fair between tenants, and nothing grows without a bound.

use std::time::Duration;

use portcullis_authority::config::Config;
use portcullis_contract::v1;
use portcullis_tests::{
    authority::{
        ADMIN, LOGIN, OTHER_ADMIN, SUPPORT, TENANT, TestAuthority, reason, session_id, sign_in,
        violations,
    },
    postgres::fresh_schema,
    wait::eventually,
};
use tokio::{task::JoinSet, time::Instant};
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// An authority on each store.
async fn authorities() -> Vec<TestAuthority> {
    authorities_with(|_| {}).await
}

/// An authority on each store, with settings of the test's own.
async fn authorities_with(change: fn(&mut Config)) -> Vec<TestAuthority> {
    let schema = fresh_schema().await;
    let postgres = TestAuthority::with(|config| {
        config.store.url.clone_from(&schema.url);
        change(config);
    });
    vec![TestAuthority::with(change).await, postgres.await]
}

/// The setting that refused a call.
fn limit(status: &Status) -> String {
    let info = status.get_details_error_info().expect("an ErrorInfo");
    info.metadata.get("limit").expect("a limit").clone()
}

/// Ends all other sessions of the user of a token.
async fn sign_out_others(authority: &TestAuthority, token: &str) -> Result<u64, Status> {
    let request = v1::RevokeOtherSessionsRequest::default();
    let mut sessions = authority.sessions(token);
    let answer = sessions.revoke_other_sessions(request).await?.into_inner();
    Ok(answer.enforcement.expect("an enforcement").revision)
}

/// The events of the tenant's trail, when all that waited is in it.
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

#[tokio::test]
async fn a_sign_out_that_ends_nothing_writes_nothing() {
    for authority in authorities().await {
        let token = authority.sign_in("u").await.access_token;
        // Events of sign-ins move the head.
        eventually("the sign-in is in the trail", async || {
            (trail(&authority, "session.create").await == 1).then_some(())
        })
        .await;

        let first = sign_out_others(&authority, &token).await.expect("done");
        for _ in 0..3 {
            let again = sign_out_others(&authority, &token).await.expect("done");
            assert_eq!(again, first, "the revision that covers it already");
        }
        assert_eq!(trail(&authority, "user.sign_out_others").await, 1);

        // What was opened since is ended.
        let other = authority.sign_in("u").await;
        let ended = sign_out_others(&authority, &token).await.expect("done");
        assert!(ended > first);
        let refused = sign_out_others(&authority, &other.access_token).await;
        assert_eq!(refused.expect_err("ended").code(), Code::Unauthenticated);
    }
}

#[tokio::test]
async fn a_user_changes_so_much_in_a_time_and_is_told_when_to_come_back() {
    let authority = TestAuthority::sqlite().await;
    let token = authority.sign_in("u").await.access_token;
    for _ in 0..20 {
        sign_out_others(&authority, &token).await.expect("done");
    }
    let refused = sign_out_others(&authority, &token).await;
    let refused = refused.expect_err("too many");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(reason(&refused), "RATE_LIMITED");
    assert_eq!(limit(&refused), "user_changes_per_minute");
    let retry = refused.get_details_retry_info().expect("when to retry");
    let delay = retry.retry_delay.expect("a delay");
    assert!(delay > Duration::ZERO && delay <= Duration::from_secs(6));
    // Others are not held to it.
    let other = authority.sign_in("v").await.access_token;
    sign_out_others(&authority, &other).await.expect("done");
}

#[tokio::test]
async fn a_user_writes_nothing_into_the_trail() {
    let authority = TestAuthority::sqlite().await;
    let created = authority.sign_in("u").await;
    let request = v1::RevokeOtherSessionsRequest {
        reason: "x".into(),
        user_message: "y".into(),
        ..Default::default()
    };
    let mut sessions = authority.sessions(&created.access_token);
    let refused = sessions.revoke_other_sessions(request).await;
    let refused = refused.expect_err("free text");
    assert_eq!(violations(&refused), ["reason", "user_message"]);
    let request = v1::RevokeSessionRequest {
        session_id: session_id(&created),
        reason: "x".into(),
        ..Default::default()
    };
    let refused = sessions.revoke_session(request).await;
    assert_eq!(violations(&refused.expect_err("free text")), ["reason"]);
}

/// Signs out users of the tenant.
async fn sign_out(authority: &TestAuthority, user_ids: Vec<String>) -> Result<(), Status> {
    let request = v1::ForceSignOutRequest {
        tenant_id: TENANT.into(),
        user_ids,
        reason: "a test".into(),
        ..Default::default()
    };
    let mut users = authority.users(ADMIN);
    users.force_sign_out(request).await.map(drop)
}

#[tokio::test]
async fn a_tenant_names_so_many_unknown_users_in_a_time() {
    let few = |config: &mut Config| {
        config.limits.tenant_unknown_users_per_minute = 1;
        config.limits.tenant_unknown_users_burst = 1_000;
    };
    for authority in authorities_with(few).await {
        let names = |from: usize| (from..from + 900).map(|n| format!("u{n}")).collect();
        sign_out(&authority, names(0)).await.expect("a burst");
        let refused = sign_out(&authority, names(900)).await;
        let refused = refused.expect_err("too many");
        assert_eq!(reason(&refused), "RATE_LIMITED");
        assert_eq!(limit(&refused), "tenant_unknown_users_per_minute");
        // Known users are signed out whatever was named before.
        sign_out(&authority, names(0)).await.expect("known users");
    }
}

#[tokio::test]
async fn a_tenant_has_so_many_sessions_and_keys() {
    let few = |config: &mut Config| {
        config.limits.tenant_sessions_max = 5;
        config.limits.tenant_api_keys_max = 2;
    };
    for authority in authorities_with(few).await {
        let mut sessions = authority.sessions(LOGIN);
        let refused = eventually("the tenant is full", async || {
            sessions.clone().create_session(sign_in("u")).await.err()
        });
        let refused = refused.await;
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert_eq!(reason(&refused), "QUOTA_EXCEEDED");
        assert_eq!(limit(&refused), "tenant_sessions_max");
        let request = v1::CreateSessionRequest {
            tenant_id: "other".into(),
            ..sign_in("u")
        };
        sessions
            .create_session(request)
            .await
            .expect("another tenant");

        let mut keys = authority.api_keys(ADMIN);
        let request = v1::CreateApiKeyRequest {
            tenant_id: TENANT.into(),
            owner_user_id: "u".into(),
            name: "a key".into(),
            ..Default::default()
        };
        for _ in 0..2 {
            keys.create_api_key(request.clone()).await.expect("a key");
        }
        let refused = keys.create_api_key(request).await.expect_err("full");
        assert_eq!(limit(&refused), "tenant_api_keys_max");
    }
}

/// The users whom one call of the noisy administrator names.
const USERS: usize = 1_000;

/// Signs out users whom nobody knows, again and again.
async fn sign_out_thousands(authority: &TestAuthority) -> JoinSet<()> {
    let mut noise = JoinSet::new();
    for caller in 0..16 {
        let mut users = authority.users(OTHER_ADMIN);
        noise.spawn(async move {
            for call in 0.. {
                let name = |number| format!("user-{caller}-{call}-{number}");
                let request = v1::ForceSignOutRequest {
                    tenant_id: "other".into(),
                    user_ids: (0..USERS).map(name).collect(),
                    reason: "a test".into(),
                    ..Default::default()
                };
                if users.force_sign_out(request).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        });
    }
    noise
}

/// The limits would refuse the noisy administrator: here it is the queue that is tested.
fn without_limits(config: &mut Config) {
    config.limits.tenant_unknown_users_per_minute = 100_000_000;
    config.limits.tenant_unknown_users_burst = 100_000_000;
}

/// On SQLite a sign-in waits for the one writer, which a batch of the log has until it is committed.
#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_tenant_s_sign_ins_do_not_queue_behind_another_s_mass_sign_outs() {
    for authority in authorities_with(without_limits).await {
        let mut noise = sign_out_thousands(&authority).await;
        // All callers are under way: a schedule.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let begun = Instant::now();
        for number in 0..20 {
            authority.sign_in(&format!("user-{number}")).await;
        }
        let each = begun.elapsed() / 20;
        noise.shutdown().await;
        assert!(each < Duration::from_secs(1), "{each:?} a sign-in");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_tenant_s_revocations_do_not_queue_behind_another_s_mass_sign_outs() {
    for authority in authorities_with(without_limits).await {
        let mut opened = Vec::new();
        for number in 0..20 {
            opened.push(session_id(
                &authority.sign_in(&format!("user-{number}")).await,
            ));
        }
        let mut noise = sign_out_thousands(&authority).await;
        // All callers are under way: a schedule.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let mut sessions = authority.sessions(ADMIN);
        let begun = Instant::now();
        for session_id in opened {
            let request = v1::RevokeSessionRequest {
                tenant_id: TENANT.into(),
                session_id,
                ..Default::default()
            };
            sessions.revoke_session(request).await.expect("revoked");
        }
        let each = begun.elapsed() / 20;
        noise.shutdown().await;
        // In one queue with the others, each waited for 16,000 users: many seconds.
        assert!(each < Duration::from_secs(1), "{each:?} a revocation");
    }
}
