//! Only time in which use could be reported counts as idleness.

use std::time::{Duration, Instant};

use portcullis_authority::{config::Config, domain::Policy};
use portcullis_contract::v1;
use portcullis_tests::{
    authority::{AUDIENCE, GATEWAY, ISSUER, SUPPORT, TENANT, TestAuthority, ready, session_id},
    gate::refused,
    postgres::fresh_url,
    proxy::{Link, Proxy},
    refusing::Refusing,
    rows::{behind, set_policy_behind},
    wait::eventually,
};
use portcullis_validator::{Rejection, Validator};

/// How often gates report and authorities sweep here.
const OFTEN: Duration = Duration::from_millis(100);
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);
const DELAY_MAX: Duration = Duration::from_secs(1);

fn sweep_often(config: &mut Config) {
    config.sessions.sweep_interval = OFTEN;
    config.sessions.activity_delay_max = DELAY_MAX;
}

/// An authority on each store whose sessions end when they are idle for a moment.
async fn authorities(change: fn(&mut Config)) -> [TestAuthority; 2] {
    let url = fresh_url().await;
    let on_postgres = |config: &mut Config| {
        sweep_often(config);
        config.store.url = url;
        change(config);
    };
    let on_sqlite = |config: &mut Config| {
        sweep_often(config);
        change(config);
    };
    let authorities = [
        TestAuthority::with(on_sqlite).await,
        TestAuthority::with(on_postgres).await,
    ];
    let mut policy = Policy::default();
    policy.limits.idle_timeout = Some(IDLE_TIMEOUT);
    for authority in &authorities {
        set_policy_behind(authority, TENANT, &policy).await;
    }
    authorities
}

fn gate_at(endpoint: String) -> portcullis_validator::Builder {
    Validator::builder(endpoint)
        .bearer(GATEWAY)
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .activity_interval(OFTEN)
}

/// A gate that reports nothing, and so says nothing of use when it is asked.
async fn silent(authority: &TestAuthority) -> Validator {
    ready(authority.gate().without_activity()).await
}

/// Uses a session again and again for this long. It must be admitted all the time.
async fn use_for(gate: &Validator, token: &str, duration: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < duration {
        gate.check(token).expect("admitted");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn shown(authority: &TestAuthority, created: &v1::CreateSessionResponse) -> v1::Session {
    let request = v1::GetSessionRequest {
        tenant_id: TENANT.into(),
        session_id: session_id(created),
    };
    let answer = authority.sessions(SUPPORT).get_session(request).await;
    let answer = answer.expect("a session").into_inner();
    answer.session.expect("a session")
}

fn seconds(time: Option<prost_types::Timestamp>) -> f64 {
    let time = time.expect("a time");
    time.seconds as f64 + f64::from(time.nanos) / 1e9
}

/// How long after its opening a session ended as idle.
async fn idle_end(authority: &TestAuthority, created: &v1::CreateSessionResponse) -> f64 {
    let session = shown(authority, created).await;
    let end = session.end.expect("an end");
    assert_eq!(end.cause(), v1::SessionEndCause::Idle);
    seconds(end.time) - seconds(session.create_time)
}

async fn known_gates(authority: &TestAuthority, count: &str) {
    let sql = format!("SELECT CAST(count(*) AS TEXT) FROM gates HAVING count(*) = {count}");
    eventually("the gates to be known", async || {
        behind(authority, &sql).await
    })
    .await;
}

#[tokio::test]
async fn a_session_in_use_is_not_idle_while_reports_of_use_are_refused() {
    for authority in authorities(|_| {}).await {
        let refusing = Refusing::start(&authority.endpoint(), "/ReportActivity").await;
        let gate = ready(gate_at(refusing.endpoint.clone())).await;
        let silent = silent(&authority).await;
        let idle = authority.sign_in("idle").await;
        let in_use = authority.sign_in("in use").await;
        use_for(&gate, &in_use.access_token, 3 * (IDLE_TIMEOUT + DELAY_MAX)).await;
        assert!(refusing.refused() > 3, "reports were refused all the time");
        let session = shown(&authority, &in_use).await;
        assert_eq!(session.actions, 0, "nothing was heard of it");

        // What was in use lives on by what is reported now; what was not ends.
        refusing.forward_all();
        let user = use_for(&gate, &in_use.access_token, Duration::MAX);
        let rejection = tokio::select! {
            () = user => unreachable!("it goes on for ever"),
            rejection = refused(&silent, &idle.access_token) => rejection,
        };
        assert_eq!(rejection, Rejection::Revoked);
        assert!(shown(&authority, &in_use).await.actions > 0);
        idle_end(&authority, &idle).await;
    }
}

#[tokio::test]
async fn sessions_used_at_a_gate_that_was_cut_off_live_when_it_comes_back() {
    for authority in authorities(|_| {}).await {
        let proxy = Proxy::start(authority.config.server.grpc_listen).await;
        let builder = gate_at(format!("http://{}", proxy.address()))
            .max_staleness(Duration::from_secs(1))
            .best_effort(Duration::from_secs(600));
        let gate = ready(builder).await;
        let silent = silent(&authority).await;
        known_gates(&authority, "1").await;
        let idle = authority.sign_in("idle").await;
        let in_use = authority.sign_in("in use").await;
        gate.check(&in_use.access_token).expect("admitted");

        proxy.set(Link::BLACK_HOLE);
        proxy.reset();
        use_for(&gate, &in_use.access_token, 3 * (IDLE_TIMEOUT + DELAY_MAX)).await;
        let cut_off = shown(&authority, &in_use).await;
        assert_eq!(cut_off.state(), v1::SessionState::Active);

        proxy.set(Link::default());
        proxy.reset();
        let user = use_for(&gate, &in_use.access_token, Duration::MAX);
        tokio::select! {
            () = user => unreachable!("it goes on for ever"),
            rejection = refused(&silent, &idle.access_token) => {
                assert_eq!(rejection, Rejection::Revoked);
            }
        }
        let back = shown(&authority, &in_use).await;
        assert_eq!(back.state(), v1::SessionState::Active);
        assert!(back.actions > cut_off.actions + 10, "it told of all use");
    }
}

#[tokio::test]
async fn a_gate_that_is_gone_for_ever_holds_idle_sessions_for_a_bounded_time() {
    let change = |config: &mut Config| {
        config.sessions.gate_absence_max = Duration::from_secs(6);
    };
    for authority in authorities(change).await {
        let builder = gate_at(authority.endpoint()).best_effort(Duration::from_secs(86_400));
        let gone = ready(builder).await;
        known_gates(&authority, "1").await;
        let idle = authority.sign_in("idle").await;
        drop(gone);
        let silent = silent(&authority).await;
        refused(&silent, &idle.access_token).await;
        let ended = idle_end(&authority, &idle).await;
        assert!(ended >= 7.0, "it was held back: {ended}");
        // `refused` has waited for less than its own deadline.
        assert!(ended < 40.0, "for a bounded time: {ended}");
    }
}

#[tokio::test]
async fn sessions_do_not_wait_for_a_gate_that_announced_its_end() {
    for authority in authorities(|_| {}).await {
        let builder = gate_at(authority.endpoint()).best_effort(Duration::from_secs(86_400));
        let leaving = ready(builder).await;
        known_gates(&authority, "1").await;
        let idle = authority.sign_in("idle").await;
        leaving.check(&idle.access_token).expect("admitted");
        leaving.close().await;
        drop(leaving);
        known_gates(&authority, "0").await;
        assert_eq!(shown(&authority, &idle).await.actions, 1, "the last report");
        let silent = silent(&authority).await;
        refused(&silent, &idle.access_token).await;
        idle_end(&authority, &idle).await;
    }
}

#[tokio::test]
async fn one_bad_entry_of_a_report_is_refused_and_the_others_count() {
    let authority = TestAuthority::sqlite().await;
    let created = authority.sign_in("ada").await;
    let good = v1::Activity {
        tenant_id: TENANT.into(),
        credential_id: session_id(&created),
        requests: 3,
        ..Default::default()
    };
    let bad = v1::Activity {
        credential_id: "ses_300".into(),
        ..good.clone()
    };
    let request = v1::ReportActivityRequest {
        activities: vec![good.clone(), bad, good],
        ..Default::default()
    };
    let mut revocations = authority.revocations(GATEWAY);
    let answer = revocations.report_activity(request).await;
    let answer = answer.expect("taken").into_inner();
    assert_eq!(answer.refused, 1);
    let refusal = &answer.refusals[0];
    assert_eq!(
        (refusal.index, refusal.field.as_str()),
        (1, "credential_id")
    );
    assert!(!refusal.description.contains("300"), "no value is repeated");
    assert_eq!(shown(&authority, &created).await.actions, 6);
}
