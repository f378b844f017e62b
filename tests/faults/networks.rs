//! What a network does, between each pair: a gate and its authority, a caller and the authority, the authority and its
//! database.

use std::{net::SocketAddr, time::Duration};

use portcullis_tests::{
    authority::{AUDIENCE, GATEWAY, ISSUER, TestAuthority, ready},
    postgres::Cluster,
    proxy::{Link, Proxy},
};
use portcullis_validator::Validator;
use tokio::time::{Instant, sleep};

use crate::measure::{STALENESS, Scene, Seen, last};

/// How long each fault lasts: longer than the staleness of these gates.
const SECONDS: u64 = 5;
/// A gate has its lease back this long after the fault.
const BACK: Duration = Duration::from_secs(4);

/// What the network does.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    /// It drops every packet.
    BlackHole,
    /// It holds each packet for 2 s.
    Delay,
    /// It forwards one byte in a second.
    Trickle,
    /// It cuts connections at random.
    Cuts,
}

impl Trouble {
    async fn make(self, proxy: &Proxy) {
        let link = match self {
            Self::BlackHole => Link::BLACK_HOLE,
            Self::Delay => Link {
                delay: Duration::from_secs(2),
                ..Link::default()
            },
            Self::Trickle => Link {
                bytes_per_second: 1,
                ..Link::default()
            },
            Self::Cuts => return cut(proxy).await,
        };
        proxy.set(link);
        last(SECONDS).await;
        proxy.set(Link::default());
        // What a broken network holds never arrives.
        proxy.reset();
    }
}

/// Cuts all connections again and again, at random times.
async fn cut(proxy: &Proxy) {
    let end = Instant::now() + Duration::from_secs(SECONDS);
    while Instant::now() < end {
        let pause = rand::random_range(1..600);
        sleep(Duration::from_millis(pause)).await;
        proxy.reset();
    }
}

fn gate_at(address: SocketAddr) -> portcullis_validator::Builder {
    Validator::builder(format!("http://{address}"))
        .bearer(GATEWAY)
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .max_staleness(STALENESS)
}

async fn before_the_gate(trouble: Trouble) -> Seen {
    let authority = TestAuthority::sqlite().await;
    let proxy = Proxy::start(authority.config.server.grpc_listen).await;
    let scene = Scene {
        gate: ready(gate_at(proxy.address())).await,
        endpoints: vec![authority.endpoint()],
        staleness: STALENESS,
    };
    let name = format!("{trouble:?} between gate and authority, {SECONDS} s");
    let seen = scene
        .go_through(&name, async || trouble.make(&proxy).await)
        .await;
    assert!(
        seen.silent < Duration::from_secs(SECONDS),
        "callers were not behind it"
    );
    seen
}

async fn before_the_caller(trouble: Trouble) -> Seen {
    let authority = TestAuthority::sqlite().await;
    let proxy = Proxy::start(authority.config.server.grpc_listen).await;
    let scene = Scene {
        gate: ready(gate_at(authority.config.server.grpc_listen)).await,
        endpoints: vec![format!("http://{}", proxy.address())],
        staleness: STALENESS,
    };
    let name = format!("{trouble:?} between caller and authority, {SECONDS} s");
    let seen = scene
        .go_through(&name, async || trouble.make(&proxy).await)
        .await;
    assert_eq!(seen.away, Duration::ZERO, "the gate was not behind it");
    seen
}

async fn before_the_database(trouble: Trouble) -> Seen {
    let cluster = Cluster::start(&["fsync=off"]).await;
    let proxy = Proxy::start(cluster.address()).await;
    let url = format!("postgres://postgres@{}/postgres", proxy.address());
    let authority = TestAuthority::postgres(&url).await;
    let scene = Scene {
        gate: ready(authority.gate().max_staleness(STALENESS)).await,
        endpoints: vec![authority.endpoint()],
        staleness: STALENESS,
    };
    let name = format!("{trouble:?} between authority and database, {SECONDS} s");
    scene
        .go_through(&name, async || trouble.make(&proxy).await)
        .await
}

/// 503 from the staleness on at the earliest, and until the gate is back.
fn expect_bounded(seen: &Seen) {
    let most = Duration::from_secs(SECONDS) + BACK;
    assert!(seen.away <= most, "{seen}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_black_hole_before_a_gate_is_503_until_it_ends() {
    expect_bounded(&before_the_gate(Trouble::BlackHole).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delay_of_2_s_before_a_gate_admits_nothing_past_the_bound() {
    expect_bounded(&before_the_gate(Trouble::Delay).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_byte_a_second_before_a_gate_is_503_until_it_ends() {
    expect_bounded(&before_the_gate(Trouble::Trickle).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_cuts_before_a_gate_admit_nothing_past_the_bound() {
    expect_bounded(&before_the_gate(Trouble::Cuts).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_black_hole_before_callers_stops_only_them() {
    before_the_caller(Trouble::BlackHole).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delay_of_2_s_before_callers_delays_only_them() {
    before_the_caller(Trouble::Delay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_byte_a_second_before_callers_stops_only_them() {
    before_the_caller(Trouble::Trickle).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_cuts_before_callers_lose_no_acknowledged_revocation() {
    before_the_caller(Trouble::Cuts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_black_hole_before_the_database_is_503_until_it_ends() {
    expect_bounded(&before_the_database(Trouble::BlackHole).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delay_of_2_s_before_the_database_loses_no_acknowledged_revocation() {
    expect_bounded(&before_the_database(Trouble::Delay).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_byte_a_second_before_the_database_loses_no_acknowledged_revocation() {
    expect_bounded(&before_the_database(Trouble::Trickle).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_cuts_before_the_database_lose_no_acknowledged_revocation() {
    expect_bounded(&before_the_database(Trouble::Cuts).await);
}
