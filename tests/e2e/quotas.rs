//! The log under load: fair between tenants, and nothing grows without a bound.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use portcullis_authority::{config::Config, store::sql::Lane};
use portcullis_contract::{
    id::SessionId,
    v1::{self, user_service_client::UserServiceClient},
};
use portcullis_tests::{
    authority::{
        ADMIN, LOGIN, OTHER_ADMIN, SUPPORT, TENANT, TestAuthority, Transport, reason, session_id,
        sign_in, violations,
    },
    place::Place,
    postgres::{fresh_schema, shared},
    wait::{eventually, within},
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
async fn a_caller_that_comes_back_at_once_is_refused_at_a_pace() {
    const REFUSALS: u32 = 40;
    let authority = TestAuthority::sqlite().await;
    let token = authority.sign_in("u").await.access_token;
    for _ in 0..20 {
        sign_out_others(&authority, &token).await.expect("done");
    }

    let begun = Instant::now();
    for _ in 0..REFUSALS {
        let refused = sign_out_others(&authority, &token).await;
        assert_eq!(reason(&refused.expect_err("too many")), "RATE_LIMITED");
    }
    // Twenty at once, and then one in 50 ms.
    assert!(begun.elapsed() >= Duration::from_millis(950));
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
    sign_out_of(authority, TENANT, user_ids).await
}

/// Signs out users of any tenant.
async fn sign_out_of(
    authority: &TestAuthority,
    tenant_id: &str,
    user_ids: Vec<String>,
) -> Result<(), Status> {
    let request = v1::ForceSignOutRequest {
        tenant_id: tenant_id.into(),
        user_ids,
        reason: "a test".into(),
        ..Default::default()
    };
    let mut users = authority.users(ADMIN);
    users.force_sign_out(request).await.map(drop)
}

/// The first `count` of the users that a sign-out names.
fn first_users(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("u{number}")).collect()
}

#[tokio::test]
async fn a_tenant_names_so_many_users_in_a_time_and_nothing_is_read_for_more() {
    let few = |config: &mut Config| {
        config.limits.tenant_named_users_per_minute = 1;
        config.limits.tenant_named_users_burst = 1_000;
    };
    for place in [Place::sqlite().await, Place::postgres().await] {
        let (store, faults) = place.faulty_store().await;
        let authority = TestAuthority::over(store, few).await;
        sign_out(&authority, first_users(900))
            .await
            .expect("a burst");

        // The users are known by now. A look-up would find no connection, and the answer would be UNAVAILABLE.
        faults.cut_off(Lane::Read);
        let refused = sign_out(&authority, first_users(900)).await;
        faults.mend(Lane::Read);
        let refused = refused.expect_err("too many");
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert_eq!(reason(&refused), "RATE_LIMITED");
        assert_eq!(limit(&refused), "tenant_named_users_per_minute");
        let retry = refused.get_details_retry_info().expect("when to retry");
        assert!(retry.retry_delay.expect("a delay") > Duration::from_secs(60));
        let metrics = authority.http("/metrics").await;
        let counted = metrics.lines().any(|line| {
            line.starts_with("portcullis_refused_total")
                && line.contains("\"tenant_named_users_per_minute\"")
                && line.ends_with(" 1")
        });
        assert!(counted, "{metrics}");

        // A call for a few users is never held to it, and other tenants are not.
        sign_out(&authority, first_users(16)).await.expect("few");
        let refused = sign_out(&authority, first_users(101)).await;
        assert_eq!(reason(&refused.expect_err("too many")), "RATE_LIMITED");
        sign_out_of(&authority, "other", first_users(900))
            .await
            .expect("another tenant");
    }
}

#[tokio::test]
async fn large_sign_outs_take_one_connection_for_reads() {
    let schema = fresh_schema().await;
    let authority = TestAuthority::postgres(&schema.url).await;
    authority.sign_in("u").await;

    // Nobody can look up a user until the lock is gone.
    let server = shared().await;
    let lock = server.admin().await;
    let lock_users = format!(
        "BEGIN; LOCK TABLE {}.users IN ACCESS EXCLUSIVE MODE",
        schema.name
    );
    lock.batch_execute(&lock_users).await.expect("locked");
    let mut callers = JoinSet::new();
    for _ in 0..40 {
        let mut users = authority.users(ADMIN);
        callers.spawn(async move {
            let request = v1::ForceSignOutRequest {
                tenant_id: TENANT.into(),
                user_ids: first_users(100),
                reason: "a test".into(),
                ..Default::default()
            };
            users.force_sign_out(request).await.map(drop)
        });
    }
    let waiting = format!(
        "SELECT 1 FROM pg_stat_activity WHERE application_name = '{}' AND wait_event_type = 'Lock'",
        schema.name
    );
    let admin = server.admin().await;
    eventually("a look-up waits for the lock", async || {
        admin.maybe_text(&waiting).await.map(drop)
    })
    .await;

    // If each of them had a connection, none would be left for reads that need no user.
    let mut sessions = authority.sessions(SUPPORT);
    for _ in 0..50 {
        let request = v1::GetSessionRequest {
            tenant_id: TENANT.into(),
            session_id: SessionId::generate().to_string(),
        };
        let asked = within("a read", sessions.get_session(request)).await;
        assert_eq!(reason(&asked.expect_err("unknown")), "SESSION_NOT_FOUND");
    }
    lock.batch_execute("ROLLBACK").await.expect("unlocked");
    while let Some(done) = within("the sign-outs", callers.join_next()).await {
        done.expect("no panic").expect("signed out");
    }
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

/// Callers of the noisy administrator at a time, and the users whom each of their calls names.
const CALLERS: usize = 8;
const USERS: usize = 1_000;

/// An administrator who signs out thousands, again and again.
struct Noise {
    callers: JoinSet<()>,
    /// Calls that were answered.
    answered: Arc<AtomicUsize>,
}

impl Noise {
    /// Starts it, and waits until each of its users is known: from then on the log is what its calls wait for.
    async fn start(authority: &TestAuthority) -> Self {
        let mut noise = Self {
            callers: JoinSet::new(),
            answered: Arc::default(),
        };
        for caller in 0..CALLERS {
            let users = authority.users(OTHER_ADMIN);
            let answered = Arc::clone(&noise.answered);
            noise
                .callers
                .spawn(sign_out_thousands(users, caller, answered));
        }
        eventually("all callers to be under way", async || {
            (noise.answered.load(Ordering::Relaxed) >= 2 * CALLERS).then_some(())
        })
        .await;
        noise
    }

    /// Has `calls` calls made one after another, which must not wait for all that the noisy administrator has in the
    /// log's queue. Measured by the noise's own pace, so that a busy machine changes nothing.
    async fn must_not_delay(mut self, calls: u32, work: impl Future<Output = ()>) {
        let before = self.answered.load(Ordering::Relaxed);
        let begun = Instant::now();
        work.await;
        let took = begun.elapsed();
        let answered = self.answered.load(Ordering::Relaxed) - before;
        self.callers.shutdown().await;

        let noisy = took / u32::try_from(answered.max(1)).expect("few");
        let each = took / calls;
        // In one queue with the others each would wait for all callers, which is eight of their calls.
        let limit = 3 * noisy + Duration::from_millis(100);
        assert!(each < limit, "{each:?} a call, {noisy:?} a noisy one");
    }
}

async fn sign_out_thousands(
    mut users: UserServiceClient<Transport>,
    caller: usize,
    answered: Arc<AtomicUsize>,
) {
    let name = |number| format!("user-{caller}-{number}");
    let request = v1::ForceSignOutRequest {
        tenant_id: "other".into(),
        user_ids: (0..USERS).map(name).collect(),
        reason: "a test".into(),
        ..Default::default()
    };
    loop {
        let signed_out = users.force_sign_out(request.clone()).await;
        signed_out.expect("no limit refuses it");
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// The limits would refuse the noisy administrator: here it is the queue that is tested.
fn without_limits(config: &mut Config) {
    config.limits.tenant_named_users_per_minute = 100_000_000;
    config.limits.tenant_named_users_burst = 100_000_000;
    config.limits.tenant_unknown_users_per_minute = 100_000_000;
    config.limits.tenant_unknown_users_burst = 100_000_000;
}

/// On SQLite a sign-in waits for the one writer, which a batch of the log has until it is committed.
#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_tenant_s_sign_ins_do_not_queue_behind_another_s_mass_sign_outs() {
    for authority in authorities_with(without_limits).await {
        let noise = Noise::start(&authority).await;
        let sign_ins = async {
            for number in 0..20 {
                authority.sign_in(&format!("user-{number}")).await;
            }
        };
        noise.must_not_delay(20, sign_ins).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_tenant_s_revocations_do_not_queue_behind_another_s_mass_sign_outs() {
    for authority in authorities_with(without_limits).await {
        let mut opened = Vec::new();
        for number in 0..20 {
            let created = authority.sign_in(&format!("user-{number}")).await;
            opened.push(session_id(&created));
        }
        let noise = Noise::start(&authority).await;
        let revocations = async {
            let mut sessions = authority.sessions(ADMIN);
            for session_id in opened {
                let request = v1::RevokeSessionRequest {
                    tenant_id: TENANT.into(),
                    session_id,
                    ..Default::default()
                };
                sessions.revoke_session(request).await.expect("revoked");
            }
        };
        noise.must_not_delay(20, revocations).await;
    }
}
