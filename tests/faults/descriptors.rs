//! A process that has used up its descriptors.

use std::time::Duration;

use portcullis_contract::v1::session_service_client::SessionServiceClient;
use portcullis_tests::{
    authority::{LOGIN, sign_in},
    serve::{Serve, get},
    telemetry::Scraped,
    wait::{eventually, within},
};
use tokio::{net::TcpStream, time::sleep};

/// The files and sockets that the authority may have open. It needs about 40 for itself.
const DESCRIPTORS: u32 = 128;
/// How long the authority is observed without descriptors.
const OBSERVED: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_without_descriptors_does_not_spin_and_serves_again_when_it_has_some() {
    let authority = Serve::start_with_descriptors(DESCRIPTORS, "info", |config| {
        // More than the system grants, so that the system refuses first.
        config.server.connections_max = Some(1_000);
        config.server.request_timeout = Duration::from_secs(600);
    })
    .await;
    let mut silent = Vec::new();
    for _ in 0..DESCRIPTORS {
        // The system takes connections for the authority, which cannot, until its queue is full too.
        silent.push(TcpStream::connect(authority.grpc).await.expect("connects"));
    }
    eventually("the authority to have no descriptor left", async || {
        let log = authority.log();
        log.contains("cannot accept a connection").then_some(())
    })
    .await;

    let before = authority.processor_time();
    sleep(OBSERVED).await;
    let used = authority.processor_time() - before;
    assert!(used < OBSERVED / 2, "{used:?} of {OBSERVED:?}");

    drop(silent);
    let health = within("the HTTP port to answer", get(authority.http, "/healthz"));
    assert_eq!(health.await, "ok\n");
    let mut sessions = SessionServiceClient::new(authority.transport(LOGIN));
    let opened = within("a sign-in", sessions.create_session(sign_in("ada"))).await;
    opened.expect("opened");

    // A loop that does not pause tries many thousand times in this time.
    let metrics = Scraped::of(authority.http).await;
    let name = "portcullis_connections_refused_total";
    let attempts = metrics.value(name, &[("portcullis_bound", "descriptors")]);
    let attempts = attempts.expect("a count");
    assert!(attempts < 200.0, "{attempts} attempts");
}
