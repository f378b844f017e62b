//! Clocks that step by an hour while everything runs: the database's and the authority's.
//!
//! To a gate only the difference to the database's clock matters, so a step of the database's is one of its own in the
//! other direction. Its own two clocks are tested beside their code.

use std::time::Duration;

use portcullis_tests::{
    authority::{TestAuthority, ready},
    postgres::Cluster,
    serve::Serve,
    shim::Shim,
};

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
