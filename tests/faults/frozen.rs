//! SIGSTOP: the authority, a gate or the database stands still for a while and goes on, with full buffers.
//!
//! The times are one that nobody notices, one that is longer than the default staleness of 5 s, and one that is much
//! longer. The longest is among the long faults.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use http::StatusCode;
use portcullis_contract::v1;
use portcullis_tests::{
    authority::{ADMIN, TENANT, TestAuthority, ready, session_id},
    postgres::Cluster,
    serve::Serve,
    sidecar::TestSidecar,
    wait::eventually,
};

use crate::measure::{DEFAULT_STALENESS, Scene, Seen, last};

/// Users that one call signs out: each is an entry of some 20 bytes for every gate.
const USERS_AT_ONCE: usize = 500;
/// Calls that fill the window of a stream whose reader stands still.
const FILLING: usize = 12;

/// What a gate that loses its authority for `seconds` may show: nothing, or 503 from the staleness on, and a while to
/// come back.
fn expect(seen: &Seen, seconds: u64) {
    let fault = Duration::from_secs(seconds);
    let back = Duration::from_secs(3);
    let most = match fault < DEFAULT_STALENESS {
        true => Duration::ZERO,
        false => fault + back - (DEFAULT_STALENESS - Duration::from_secs(2)),
    };
    assert!(seen.away <= most, "{seen}, {most:?} expected");
}

async fn freeze_authority(seconds: u64) {
    let serve = Serve::start("info", |_| {}).await;
    let scene = Scene {
        gate: ready(serve.gate("frozen")).await,
        endpoints: vec![serve.endpoint()],
        staleness: DEFAULT_STALENESS,
    };
    let name = format!("authority stopped for {seconds} s");
    let fault = async || {
        serve.hang().await;
        last(seconds).await;
        serve.go_on();
    };
    expect(&scene.go_through(&name, fault).await, seconds);
}

async fn freeze_database(seconds: u64) {
    let cluster = Cluster::start(&["fsync=off"]).await;
    let authority = TestAuthority::postgres(&cluster.url()).await;
    let scene = Scene {
        gate: authority.ready_gate().await,
        endpoints: vec![authority.endpoint()],
        staleness: DEFAULT_STALENESS,
    };
    let name = format!("database stopped for {seconds} s");
    let fault = async || {
        cluster.hang().await;
        last(seconds).await;
        cluster.go_on();
    };
    expect(&scene.go_through(&name, fault).await, seconds);
}

/// Signs out many users whom nobody knows, so that the streams have much to send.
async fn fill_streams(authority: &TestAuthority) {
    let mut users = authority.users(ADMIN);
    for call in 0..FILLING {
        let request = v1::ForceSignOutRequest {
            tenant_id: format!("filling-{call}"),
            user_ids: (0..USERS_AT_ONCE).map(|user| format!("u{user}")).collect(),
            reason: "filling".into(),
            ..Default::default()
        };
        users.force_sign_out(request).await.expect("signed out");
    }
}

/// A gate in a process of its own stands still while one is signed out whom it admits.
async fn freeze_gate(seconds: u64) {
    let authority = TestAuthority::sqlite().await;
    let gate = TestSidecar::ready(&authority).await;
    let (living, dead) = (
        authority.sign_in("ada").await,
        authority.sign_in("bob").await,
    );
    for session in [&living, &dead] {
        assert_eq!(
            gate.verify(&session.access_token).await.status,
            StatusCode::OK
        );
    }

    let begun = Instant::now();
    gate.hang().await;
    let request = v1::RevokeSessionRequest {
        tenant_id: TENANT.into(),
        session_id: session_id(&dead),
        ..Default::default()
    };
    let revoked = authority.sessions(ADMIN).revoke_session(request).await;
    revoked.expect("revoked");
    let acknowledged = Instant::now();
    // After the revocation, so that the gate wakes up with a full window behind it.
    fill_streams(&authority).await;
    last(seconds.saturating_sub(begun.elapsed().as_secs())).await;
    gate.go_on();

    let (resumed, admitted) = (Instant::now(), Cell::new(Duration::ZERO));
    let away = eventually("the gate to admit who is signed in", async || {
        // Before the check: a token that is admitted now was admitted at least this late.
        let after = acknowledged.elapsed();
        if gate.verify(&dead.access_token).await.status == StatusCode::OK {
            admitted.set(after);
            assert!(after <= DEFAULT_STALENESS, "admitted after {after:?}");
        }
        let answer = gate.verify(&living.access_token).await;
        assert_ne!(
            answer.status,
            StatusCode::UNAUTHORIZED,
            "{}",
            answer.reason()
        );
        (answer.status == StatusCode::OK).then(|| resumed.elapsed())
    })
    .await;
    eventually("the gate to refuse who is signed out", async || {
        let answer = gate.verify(&dead.access_token).await;
        (answer.status == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;
    println!(
        "gate stopped for {seconds} s: 503 for {away:?} after it went on, the revoked token for {:?}",
        admitted.get()
    );
    assert!(away < Duration::from_secs(3), "{away:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_stopped_for_1_s_is_not_noticed() {
    freeze_authority(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_stopped_for_6_s_is_503_for_about_a_second() {
    freeze_authority(6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes 30 s"]
async fn an_authority_stopped_for_20_s_is_503_until_it_goes_on() {
    freeze_authority(20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_stopped_for_1_s_is_not_noticed() {
    freeze_database(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_stopped_for_6_s_is_503_for_about_a_second() {
    freeze_database(6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes 30 s"]
async fn a_database_stopped_for_20_s_is_503_until_it_goes_on() {
    freeze_database(20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_stopped_for_1_s_admits_nothing_past_the_bound() {
    freeze_gate(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_stopped_for_6_s_admits_nobody_who_was_signed_out() {
    freeze_gate(6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes 30 s"]
async fn a_gate_stopped_for_20_s_admits_nobody_who_was_signed_out() {
    freeze_gate(20).await;
}
