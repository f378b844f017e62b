//! Gates that read slowly beside many that do not, and many gates that come back at once.

use std::time::{Duration, Instant};

use futures::future::join_all;
use portcullis_tests::{
    authority::{AUDIENCE, GATEWAY, ISSUER, TestAuthority, ready},
    gate::{applied, refused, rejection},
    postgres::fresh_url,
    proxy::{Link, Proxy},
    wait::within,
};
use portcullis_validator::{Builder, Rejection, Validator};

fn gate_by(proxies: &[&Proxy], name: &str) -> Builder {
    let mut endpoints = proxies
        .iter()
        .map(|proxy| format!("http://{}", proxy.address()));
    let mut builder = Validator::builder(endpoints.next().expect("an endpoint"));
    for endpoint in endpoints {
        builder = builder.endpoint(endpoint);
    }
    builder
        .bearer(GATEWAY)
        .issuer(ISSUER)
        .audience(AUDIENCE)
        .name(name)
}

/// Batches that the ring keeps here.
const RING: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_that_fell_out_of_the_ring_misses_nothing() {
    let authority = TestAuthority::with(|config| config.watch.ring_frames_max = RING).await;
    let proxy = Proxy::start(authority.config.server.grpc_listen).await;
    let gate = ready(gate_by(&[&proxy], "slow")).await;
    let mut sessions = Vec::new();
    for _ in 0..5 * RING {
        sessions.push(authority.sign_in("ada").await);
    }
    for session in &sessions {
        assert_eq!(rejection(&gate, &session.access_token), None);
    }
    // Its stream is gone while the log moves on, so it has to catch up from where it was.
    proxy.set(Link::BLACK_HOLE);
    let mut last = 0;
    for session in &sessions {
        last = authority.revoke(session).await;
    }
    proxy.set(Link::default());
    proxy.reset();
    applied(&gate, last).await;
    for session in &sessions {
        assert_eq!(
            refused(&gate, &session.access_token).await,
            Rejection::Revoked
        );
    }
    assert_eq!(gate.statistics().forks, 0);
}

/// The delays from the acknowledgement until the last of some gates has the revision, ascending.
async fn delays(authority: &TestAuthority, gates: &[Validator], rounds: usize) -> Vec<Duration> {
    let mut delays = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let session = authority.sign_in("ada").await;
        let begun = Instant::now();
        let revision = authority.revoke(&session).await;
        join_all(gates.iter().map(|gate| applied(gate, revision))).await;
        delays.push(begun.elapsed());
    }
    delays.sort_unstable();
    delays
}

/// One gate reads a byte a second beside others. Returns the others' p99 without it and with it.
async fn read_slowly(others: usize, rounds: usize) -> (Duration, Duration) {
    let authority = TestAuthority::sqlite().await;
    let mut gates = Vec::with_capacity(others);
    for number in 0..others {
        let gate = authority.gate().name(format!("gate {number}"));
        gates.push(gate.start().expect("good settings"));
    }
    for gate in &gates {
        within("a gate to be ready", gate.ready()).await;
    }
    let at = rounds * 99 / 100;
    let (mut without, mut with) = (Duration::MAX, Duration::MAX);
    let proxy = Proxy::start(authority.config.server.grpc_listen).await;
    // Both sides take turns, and the better turn of each counts: the machine has other work too.
    for _ in 0..3 {
        without = without.min(delays(&authority, &gates, rounds).await[at]);
        let slow = ready(gate_by(&[&proxy], "slow")).await;
        proxy.set_answers(Link {
            bytes_per_second: 1,
            ..Link::default()
        });
        with = with.min(delays(&authority, &gates, rounds).await[at]);
        proxy.set(Link::default());
        proxy.reset();
        drop(slow);
    }
    println!("{others} gates beside one slow reader: p99 {with:?}, without it {without:?}");
    (without, with)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_delays_none_of_fifty_gates() {
    let (without, with) = read_slowly(50, 100).await;
    // Other tests run beside this one. A reader that is waited for costs seconds.
    assert!(
        with < 5 * without + Duration::from_millis(50),
        "{with:?}, {without:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "1,000 gates in one process, alone on the machine"]
async fn a_slow_reader_moves_the_p99_of_a_thousand_gates_by_less_than_a_tenth() {
    let (without, with) = read_slowly(1_000, 200).await;
    assert!(
        with.as_secs_f64() < without.as_secs_f64() * 1.1,
        "{with:?}, {without:?}"
    );
}

/// All streams of many gates break at once, to both authorities: one first, and when those are back the other.
async fn storm(gates: usize) {
    let first = TestAuthority::postgres(&fresh_url().await).await;
    let second = first.replica().await;
    let proxies = [
        Proxy::start(first.config.server.grpc_listen).await,
        Proxy::start(second.config.server.grpc_listen).await,
    ];
    let mut herd = Vec::with_capacity(gates);
    for number in 0..gates {
        let gate = gate_by(&[&proxies[0], &proxies[1]], &format!("gate {number}"));
        herd.push(gate.start().expect("good settings"));
    }
    let ready = tokio::time::timeout(
        Duration::from_secs(120),
        join_all(herd.iter().map(Validator::ready)),
    );
    ready.await.expect("all are ready");
    let both = async || {
        let all = proxies.iter().all(|proxy| proxy.connections() >= gates);
        all.then_some(())
    };
    let began = tokio::time::timeout(Duration::from_secs(120), until(both)).await;
    began.expect("two streams each");

    let session = first.sign_in("ada").await;
    let begun = Instant::now();
    proxies[0].reset();
    until(async || (proxies[0].connections() < gates).then_some(())).await;
    // One authority lives, so nobody loses the lease.
    let mut lost = 0;
    while proxies[0].connections() < gates && begun.elapsed() < Duration::from_secs(30) {
        for gate in &herd {
            lost += usize::from(rejection(gate, &session.access_token).is_some());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let back = begun.elapsed();
    println!("storm of {gates}: all back after {back:?}, {lost} checks refused");
    assert_eq!(lost, 0, "a lease was lost while an authority lived");
    assert!(back < Duration::from_secs(30), "{back:?}");

    // And both at once: all are fresh again within 30 s.
    let begun = Instant::now();
    proxies[0].reset();
    proxies[1].reset();
    let revision = first.revoke(&session).await;
    let all = tokio::time::timeout(
        Duration::from_secs(30),
        join_all(herd.iter().map(|gate| applied(gate, revision))),
    );
    all.await.expect("all are fresh in 30 s");
    for gate in &herd {
        assert_eq!(
            refused(gate, &session.access_token).await,
            Rejection::Revoked
        );
    }
    println!(
        "storm of {gates} at both authorities: all fresh after {:?}",
        begun.elapsed()
    );
}

async fn until<T>(mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    loop {
        if let Some(done) = condition().await {
            return done;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_lease_is_lost_when_a_hundred_gates_come_back_at_once() {
    storm(100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "2,000 gates in one process, alone on the machine"]
async fn no_lease_is_lost_when_two_thousand_gates_come_back_at_once() {
    storm(2_000).await;
}
