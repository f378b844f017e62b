//! The log under load: fair between tenants, and nothing grows without a bound.

use std::time::Duration;

use portcullis_contract::v1;
use portcullis_tests::{
    authority::{ADMIN, OTHER_ADMIN, TENANT, TestAuthority, session_id},
    postgres::fresh_schema,
};
use tokio::{task::JoinSet, time::Instant};

/// An authority on each store.
async fn authorities() -> Vec<TestAuthority> {
    let schema = fresh_schema().await;
    let postgres = TestAuthority::postgres(&schema.url).await;
    vec![TestAuthority::sqlite().await, postgres]
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

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_tenant_s_revocations_do_not_queue_behind_another_s_mass_sign_outs() {
    for authority in authorities().await {
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
