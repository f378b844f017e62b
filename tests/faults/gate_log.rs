//! A gate says why it cannot connect, once for each cause.

use std::net::SocketAddr;

use portcullis_tests::{
    authority::{AUDIENCE, GATEWAY, ISSUER, TestAuthority},
    lines::Lines,
    wait::eventually,
};
use portcullis_validator::{Builder, Validator};

use crate::tls::{Issuer, certificate_authority, speak_tls};

/// What gates log of their connections, and authorities of their files. One filter for all tests of this process.
pub(crate) const LINES: &str = "portcullis_validator=debug,portcullis_authority=info";

fn gate(scheme: &str, address: SocketAddr) -> Builder {
    Validator::builder(format!("{scheme}://localhost:{}", address.port()))
        .bearer(GATEWAY)
        .issuer(ISSUER)
        .audience(AUDIENCE)
}

/// Starts a gate that cannot connect, waits until it tried several times, and returns the one cause that it logged.
async fn cause_of(builder: Builder, scheme: &str, address: SocketAddr) -> String {
    let lines = Lines::capture(LINES);
    let endpoint = format!("{scheme}://localhost:{}", address.port());
    let seen = lines.with(&["WARN", &endpoint]).len();
    let tried = lines.with(&["still cannot follow", &endpoint]).len();
    let gate = builder.start().expect("good settings");
    eventually("three attempts", async || {
        let tries = lines.with(&["still cannot follow", &endpoint]).len();
        (tries >= tried + 2).then_some(())
    })
    .await;
    drop(gate);
    let warned = lines.with(&["WARN", &endpoint, "cannot follow the authority"]);
    assert_eq!(warned.len(), seen + 1, "{warned:?}");
    warned.last().expect("a line").clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_says_once_why_it_cannot_connect() {
    let issuer = certificate_authority("ours");
    let other = certificate_authority("other");
    let encrypted = TestAuthority::with(|config| speak_tls(config, &issuer, "localhost")).await;
    let misnamed = TestAuthority::with(|config| speak_tls(config, &issuer, "else.test")).await;
    let plain = TestAuthority::sqlite().await;
    let address = |authority: &TestAuthority| authority.config.server.grpc_listen;
    let tls = |authority: &TestAuthority, issuer: &Issuer| {
        gate("https", address(authority)).ca_certificate(issuer.pem())
    };

    let cause = cause_of(tls(&encrypted, &other), "https", address(&encrypted)).await;
    assert!(cause.contains("UnknownIssuer"), "wrong CA: {cause}");

    let cause = cause_of(tls(&misnamed, &issuer), "https", address(&misnamed)).await;
    assert!(cause.contains("not valid for name"), "wrong name: {cause}");

    let cause = cause_of(
        gate("http", address(&encrypted)),
        "http",
        address(&encrypted),
    )
    .await;
    assert!(cause.contains("https"), "plain text to TLS: {cause}");

    let cause = cause_of(tls(&plain, &issuer), "https", address(&plain)).await;
    assert!(
        cause.contains("InvalidContentType"),
        "TLS to plain text: {cause}"
    );

    let bearer = gate("http", address(&plain)).bearer("no-such-bearer");
    let cause = cause_of(bearer, "http", address(&plain)).await;
    assert!(cause.contains("Unauthenticated"), "wrong bearer: {cause}");
    assert!(!cause.contains("no-such-bearer"), "{cause}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_says_when_it_is_connected_again() {
    let lines = Lines::capture(LINES);
    let mut authority = TestAuthority::sqlite().await;
    let address = authority.config.server.grpc_listen;
    let endpoint = format!("http://localhost:{}", address.port());
    authority.stop().await;

    let cause = cause_of(gate("http", address), "http", address).await;
    assert!(cause.contains("Connection refused"), "{cause}");
    let _gate = gate("http", address).start().expect("good settings");

    authority.start().await;
    eventually("a line about the connection", async || {
        let connected = lines.with(&["INFO", &endpoint, "follows the authority"]);
        (connected.len() == 1).then_some(())
    })
    .await;
}
