//! Clocks that step by an hour while everything runs: the database's and the authority's.
//!
//! To a gate only the difference to the database's clock matters, so a step of the database's is one of its own in the
//! other direction. Its own two clocks are tested beside their code.

use std::time::{Duration, Instant};

use portcullis_contract::v1;
use portcullis_tests::{
    authority::{ADMIN, TENANT, TestAuthority, ready, session_id},
    gate::{applied, refused, rejection},
    postgres::Cluster,
    rows::behind,
    serve::Serve,
    shim::Shim,
    wait::{eventually, within},
};
use portcullis_validator::{Rejection, Validator};

use crate::measure::{STALENESS, Scene, Seen, last};

const HOUR_SECONDS: i64 = 3_600;
/// How long the clock is wrong, and how long it is looked at afterwards.
const SECONDS: u64 = 4;

async fn step_the_database(by_seconds: i64) -> Seen {
    let shim = Shim::new();
    let cluster = Cluster::start_under(&shim, &["fsync=off"]).await;
    let authority = TestAuthority::postgres(&cluster.url()).await;
    let scene = Scene {
        gate: ready(authority.gate().max_staleness(STALENESS)).await,
        endpoints: vec![authority.endpoint()],
        staleness: STALENESS,
    };
    let fault = async || {
        shim.step_clock(by_seconds);
        last(SECONDS).await;
        shim.step_clock(0);
        last(SECONDS).await;
    };
    let name = format!("the database's clock {by_seconds} s off for {SECONDS} s");
    scene.go_through(&name, fault).await
}

async fn step_the_authority(by_seconds: i64) -> Seen {
    let cluster = Cluster::start(&["fsync=off"]).await;
    let shim = Shim::new();
    let serve = Serve::start_under(&shim, "info", |config| config.store.url = cluster.url()).await;
    let scene = Scene {
        gate: ready(serve.gate("clocks").max_staleness(STALENESS)).await,
        endpoints: vec![serve.endpoint()],
        staleness: STALENESS,
    };
    let fault = async || {
        shim.step_clock(by_seconds);
        last(SECONDS).await;
        shim.step_clock(0);
        last(SECONDS).await;
    };
    let name = format!("the authority's clock {by_seconds} s off for {SECONDS} s");
    scene.go_through(&name, fault).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_whose_clock_steps_an_hour_ahead_signs_nobody_out() {
    step_the_database(HOUR_SECONDS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_whose_clock_steps_an_hour_back_signs_nobody_out() {
    step_the_database(-HOUR_SECONDS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_whose_clock_steps_an_hour_ahead_is_not_noticed() {
    assert_eq!(step_the_authority(HOUR_SECONDS).await.away, Duration::ZERO);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_whose_clock_steps_an_hour_back_is_not_noticed() {
    assert_eq!(step_the_authority(-HOUR_SECONDS).await.away, Duration::ZERO);
}

/// Steps the database's clock ahead, counts the time that this would take, and waits for the turn.
async fn turn_ahead(shim: &Shim, authority: &TestAuthority, hours: i64, turns: i64) {
    shim.step_clock(hours * HOUR_SECONDS);
    let count = "UPDATE installation SET turn_counted_us = 36000000000";
    let turned = "SELECT count(*)::text FROM audit_events WHERE action = 'log.turn'";
    eventually("a turn of the log", async || {
        // Again and again: a count that is under way writes the sum that it has read.
        behind(authority, count).await;
        let seen = behind(authority, turned).await.expect("a number");
        (seen == turns.to_string()).then_some(())
    })
    .await;
}

/// Looks at a gate until it refuses a revoked token as signed out, and never admits it meanwhile.
async fn look_until_signed_out(gate: Validator, token: String) {
    loop {
        match rejection(&gate, &token) {
            None => panic!("a revoked token is admitted again"),
            Some(Rejection::SignedOut) => return,
            // The clock that was ahead, and then no beat.
            Some(refused) => assert!(refused.is_unavailable(), "{refused:?}"),
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_was_ahead_for_two_turns_and_is_set_right_revives_no_token() {
    let shim = Shim::new();
    let cluster = Cluster::start_under(&shim, &["fsync=off"]).await;
    let authority = TestAuthority::with(|config| {
        config.store.url = cluster.url();
        config.log.checkpoint_interval = Duration::from_millis(100);
    })
    .await;
    let other = authority.replica().await;
    let gate = ready(authority.gate().max_staleness(STALENESS)).await;
    let (revoked, living) = (
        authority.sign_in("bob").await,
        authority.sign_in("ada").await,
    );
    let request = v1::RevokeSessionRequest {
        tenant_id: TENANT.into(),
        session_id: session_id(&revoked),
        ..Default::default()
    };
    let answer = authority.sessions(ADMIN).revoke_session(request).await;
    answer.expect("revoked");
    assert_eq!(
        refused(&gate, &revoked.access_token).await,
        Rejection::Revoked
    );

    // Two turns: the gate has forgotten the revocation, because the token has expired by this clock.
    turn_ahead(&shim, &authority, 3, 1).await;
    turn_ahead(&shim, &authority, 6, 2).await;
    let head = behind(&authority, "SELECT revision::text FROM log_head").await;
    let head = head.and_then(|head| head.parse().ok()).expect("a number");
    applied(&gate, head).await;
    // Hours lie between two turns, and the count above stands for them: in that time a gate has asked often.
    eventually("the gate to know the clock that is ahead", async || {
        let seen = rejection(&gate, &revoked.access_token);
        (seen == Some(Rejection::ClockSkew)).then_some(())
    })
    .await;

    shim.step_clock(0);
    let set_right = Instant::now();
    let looking = tokio::spawn(look_until_signed_out(gate.clone(), revoked.access_token));
    eventually("the reason of not being ready", async || {
        let answer = authority.http("/readyz").await;
        answer.contains("\nclock: ").then_some(())
    })
    .await;
    let looked = within("the sign-out", looking).await;
    looked.expect("it is not admitted");
    println!(
        "the database's clock set right after two turns: 503 for {:.1} s",
        set_right.elapsed().as_secs_f64()
    );

    // Everyone was signed out, once, and people sign in again.
    assert_eq!(
        refused(&gate, &living.access_token).await,
        Rejection::SignedOut
    );
    let session = authority.sign_in("ada").await;
    eventually("the gate to admit", async || {
        gate.check(&session.access_token).ok().map(drop)
    })
    .await;
    let ends = "SELECT count(*)::text FROM audit_events WHERE action = 'everyone.sign_out'";
    assert_eq!(behind(&authority, ends).await.as_deref(), Some("1"));
    let metrics = [&authority, &other].map(|authority| authority.http("/metrics"));
    let mut counted = 0;
    for metrics in metrics {
        let metrics = metrics.await;
        counted += usize::from(metrics.contains("portcullis_clock_sign_outs_total 1"));
    }
    assert_eq!(counted, 1);
    eventually("the authority to be ready", async || {
        let answer = authority.http("/readyz").await;
        answer.contains("200 OK").then_some(())
    })
    .await;
}
