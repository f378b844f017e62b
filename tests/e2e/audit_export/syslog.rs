//! The export to a syslog server, Debian's rsyslog.

use std::time::Duration;

use portcullis_authority::config::Config;
use portcullis_tests::{
    audit_export::{syslog, to_syslog},
    authority::{ADMIN, TENANT, TestAuthority},
    rsyslog::{Rsyslog, Transport},
    telemetry::Scraped,
    wait::{eventually, within},
};
use serde_json::{Value, json};

use super::{metric_is, sign_out, sign_out_users, signed_out};

fn export_to(config: &mut Config, rsyslog: &Rsyslog, transport: Transport) {
    let settings = match transport {
        // By the name in its certificate.
        Transport::Tls => json!({
            "address": format!("localhost:{}", rsyslog.port),
            "ca_file": rsyslog.ca_file(),
        }),
        Transport::Tcp => json!({
            "address": format!("127.0.0.1:{}", rsyslog.port),
            "transport": "tcp",
        }),
        Transport::Udp => json!({
            "address": format!("127.0.0.1:{}", rsyslog.port),
            "transport": "udp",
        }),
    };
    config.audit_exports = vec![to_syslog("siem", syslog(settings))];
}

/// The events in the messages.
fn events(messages: &[Value]) -> Vec<Value> {
    let text = |message: &Value| message["text"].as_str().expect("a text").to_owned();
    messages
        .iter()
        .map(|message| serde_json::from_str(&text(message)).expect("JSON"))
        .collect()
}

/// Waits until rsyslog has written the sign-outs of some users.
async fn rsyslog_has(rsyslog: &Rsyslog, users: usize) -> Vec<Value> {
    eventually("the sign-outs in rsyslog", async || {
        let messages = rsyslog.messages();
        (signed_out(&events(&messages)).len() >= users).then_some(messages)
    })
    .await
}

async fn rsyslog_gets_what_was_meant(transport: Transport) {
    let rsyslog = Rsyslog::start(transport).await;
    let authority = TestAuthority::with(|config| export_to(config, &rsyslog, transport)).await;
    let hostile_user = "a\"] x[b=\"\\ <1>1 Zoë";
    let hostile_reason = "one\u{2028}two <13>1 - - - - - forged \u{202e}";
    sign_out(authority.users(ADMIN), TENANT, hostile_user, hostile_reason).await;
    let mut users = vec![hostile_user.to_owned()];
    users.extend(sign_out_users(&authority, "user", 5).await);
    let messages = rsyslog_has(&rsyslog, users.len()).await;
    assert_eq!(signed_out(&events(&messages)), users);

    let first = messages.iter().zip(events(&messages));
    let (message, event) = first
        .into_iter()
        .find(|(_, event)| event["target"] == hostile_user)
        .expect("there");
    assert_eq!(message["pri"], "109");
    assert_eq!(message["app"], "portcullis");
    assert_eq!(message["message_id"], "user.sign_out");
    assert_eq!(message["time"], event["time"]);
    assert_eq!(message["data_id"], event["id"]);
    assert_eq!(message["data_tenant"], TENANT);
    assert_eq!(message["data_user"], hostile_user);
    assert_eq!(message["data_actor"], "service:admin");
    assert_eq!(event["reason"], hostile_reason);
}

#[tokio::test]
async fn rsyslog_gets_what_was_meant_by_tcp() {
    rsyslog_gets_what_was_meant(Transport::Tcp).await;
}

#[tokio::test]
async fn rsyslog_gets_what_was_meant_by_tls() {
    rsyslog_gets_what_was_meant(Transport::Tls).await;
}

#[tokio::test]
async fn rsyslog_gets_what_was_meant_by_udp() {
    rsyslog_gets_what_was_meant(Transport::Udp).await;
}

#[tokio::test]
async fn nothing_is_lost_when_rsyslog_dies_and_comes_back() {
    let mut rsyslog = Rsyslog::start(Transport::Tcp).await;
    let authority = TestAuthority::with(|config| export_to(config, &rsyslog, Transport::Tcp)).await;
    let mut users = sign_out_users(&authority, "before", 3).await;
    rsyslog_has(&rsyslog, users.len()).await;
    for round in 0..2 {
        rsyslog.kill().await;
        users.extend(sign_out_users(&authority, &format!("missed{round}-"), 3).await);
        eventually("a failure", async || {
            let scraped = Scraped::of(authority.config.server.http_listen).await;
            let label = [("portcullis_export", "siem")];
            let failures = scraped.value("portcullis_audit_export_failures_total", &label)?;
            (failures > f64::from(round)).then_some(())
        })
        .await;
        rsyslog = rsyslog.restart().await;
        let last = users.last().expect("some").clone();
        eventually("the last", async || {
            let written = signed_out(&events(&rsyslog.messages()));
            written.contains(&last).then_some(())
        })
        .await;
    }
    let mut written = signed_out(&events(&rsyslog.messages()));
    written.dedup();
    written.sort();
    written.dedup();
    users.sort();
    assert_eq!(written, users);
}

#[tokio::test]
async fn a_server_that_resets_the_connection_has_taken_nothing() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let settings = syslog(json!({"address": format!("127.0.0.1:{port}"), "transport": "tcp"}));
    let authority = TestAuthority::with(|config| {
        config.audit_exports = vec![to_syslog("siem", settings)];
    })
    .await;
    sign_out_users(&authority, "user", 1).await;
    for _ in 0..2 {
        let accepted = within("a connection", listener.accept()).await;
        let (connection, _) = accepted.expect("a connection");
        // With what it was sent in its buffer, unread.
        eventually("bytes", async || {
            let mut byte = [0];
            (connection.peek(&mut byte).await.ok()? == 1).then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop(connection);
    }
    let label = [("portcullis_export", "siem")];
    let scraped = Scraped::of(authority.config.server.http_listen).await;
    let delivered = scraped.value("portcullis_audit_export_delivered_total", &label);
    assert_eq!(delivered, Some(0.0));
}

#[tokio::test]
async fn what_fits_into_no_datagram_is_a_dead_letter() {
    let rsyslog = Rsyslog::start(Transport::Udp).await;
    let authority = TestAuthority::with(|config| export_to(config, &rsyslog, Transport::Udp)).await;
    // Each character of the reason takes six in JSON of ASCII.
    let long = "\u{20ac}".repeat(340);
    sign_out(authority.users(ADMIN), TENANT, "long", &long).await;
    let users = sign_out_users(&authority, "short", 1).await;
    let messages = rsyslog_has(&rsyslog, 1).await;
    assert_eq!(signed_out(&events(&messages)), users);
    metric_is(
        &authority,
        "portcullis_audit_export_dead_letters",
        "siem",
        1.0,
    )
    .await;
}
