//! Several workers, an authority that goes away, listeners that drain, and a hot restart.

use portcullis_contract::v1;
use portcullis_tests::{
    authority::{ADMIN, TENANT},
    gateways::envoy::{Envoy, EnvoyOptions},
    wait::eventually,
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    client::{Live, get},
    setting::{Setting, bearer, newest},
};

const STREAMS: usize = 40;

pub async fn the_streams_of_all_workers_are_cut() {
    let setting = Setting::new().await;
    let options = EnvoyOptions {
        workers: 4,
        ..EnvoyOptions::default()
    };
    let envoy = Envoy::start_with(&newest(), &setting.config(), &options).await;
    setting.admits(envoy.address()).await;
    let (ada, bob) = (
        setting.authority.sign_in("ada").await,
        setting.authority.sign_in("bob").await,
    );
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        streams.push(Live::events(envoy.address(), &bearer(&ada.access_token)).await);
    }
    let mut other = Live::socket(envoy.address(), &bearer(&bob.access_token)).await;

    let request = v1::ForceSignOutRequest {
        tenant_id: TENANT.into(),
        user_ids: vec!["ada".into()],
        reason: "a test".into(),
        ..Default::default()
    };
    let mut users = setting.authority.users(ADMIN);
    users.force_sign_out(request).await.expect("signed out");
    for stream in &mut streams {
        stream.closed().await;
    }
    assert_eq!(envoy.stat("portcullis_cut").await, STREAMS as u64);
    other.echoes().await;
}

pub async fn without_the_authority_a_strict_gate_cuts_and_refuses() {
    let mut setting = Setting::new().await;
    let mut config = setting.config();
    config.at("/authority")["max_staleness"] = json!("1s");
    let envoy = setting.envoy(&config).await;
    let ada = setting.authority.sign_in("ada").await;
    let token = bearer(&ada.access_token);
    let mut events = Live::events(envoy.address(), &token).await;

    setting.authority.stop().await;
    events.closed().await;
    let refused = eventually("the gate to say that it cannot know", async || {
        let answer = get(envoy.address(), "/", &token).await;
        (answer.status == 503).then_some(answer)
    })
    .await;
    assert!(refused.text.contains("retry-after: 1"), "{}", refused.text);
    assert!(envoy.stat("portcullis_refused_unavailable").await >= 1);
    eventually("the gauge to show it", async || {
        (envoy.stat("portcullis_freshness_age_ms").await > 1000).then_some(())
    })
    .await;

    setting.authority.start().await;
    setting.admits(envoy.address()).await;
    assert_eq!(get(envoy.address(), "/", &token).await.status, 200);
}

pub async fn a_listener_that_drains_still_cuts() {
    let setting = Setting::new().await;
    let envoy = setting.envoy(&setting.config()).await;
    let ada = setting.authority.sign_in("ada").await;
    let mut events = Live::events(envoy.address(), &bearer(&ada.access_token)).await;
    post(envoy.admin, "/drain_listeners?graceful").await;
    // An answer in HTTP/1.1 of a listener that drains closes its connection.
    let token = bearer(&setting.authority.sign_in("bob").await.access_token);
    eventually("the listener to drain", async || {
        let answer = get_kept(envoy.address(), &token).await?;
        answer.contains("connection: close").then_some(())
    })
    .await;
    events.text.clear();
    events.until("data: ").await;
    setting.revoke(&ada).await;
    events.closed().await;
}

pub async fn a_hot_restart_has_no_gap_and_old_streams_are_cut() {
    let setting = Setting::new().await;
    // The number of the memory that the two share.
    let base = rand::random_range(1..30_000).to_string();
    let options = |epoch: &str| EnvoyOptions {
        arguments: [
            "--base-id",
            &base,
            "--restart-epoch",
            epoch,
            "--drain-time-s",
            "600",
        ]
        .map(str::to_owned)
        .to_vec(),
        ..EnvoyOptions::default()
    };
    let first = Envoy::start_with(&newest(), &setting.config(), &options("0")).await;
    setting.admits(first.address()).await;
    let ada = setting.authority.sign_in("ada").await;
    let token = bearer(&ada.access_token);
    let mut old = Live::events(first.address(), &token).await;

    let second = first.restart(&newest(), &options("1")).await;
    eventually("the second Envoy to serve", async || {
        assert_eq!(get(first.address(), "/", &token).await.status, 200);
        let info = try_admin(first.admin, "/server_info").await?;
        (info.contains(r#""restart_epoch": 1"#) && info.contains(r#""state": "LIVE""#))
            .then_some(())
    })
    .await;
    old.text.clear();
    old.until("data: ").await;
    let mut new = Live::events(first.address(), &token).await;

    setting.revoke(&ada).await;
    old.closed().await;
    new.closed().await;
    eventually("the refusal", async || {
        (get(first.address(), "/", &token).await.status == 401).then_some(())
    })
    .await;
    drop(second);
}

/// The head of an answer on a connection that the client would keep. `None` when nobody listens any more.
async fn get_kept(address: std::net::SocketAddr, headers: &str) -> Option<String> {
    let Ok(mut stream) = TcpStream::connect(address).await else {
        return Some("connection: close".into());
    };
    let head = format!("GET / HTTP/1.1\r\nHost: app.test\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await.ok()?;
    let mut text = String::new();
    while !text.contains("\r\n\r\n") {
        let mut bytes = [0; 1024];
        let length = stream
            .read(&mut bytes)
            .await
            .ok()
            .filter(|length| *length > 0)?;
        text.push_str(&String::from_utf8_lossy(&bytes[..length]));
    }
    Some(text)
}

/// An answer of the administration, which changes hands in a restart.
async fn try_admin(admin: std::net::SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(admin).await.ok()?;
    let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.ok()?;
    Some(text)
}

async fn post(admin: std::net::SocketAddr, path: &str) {
    let mut stream = TcpStream::connect(admin).await.expect("connects");
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("an answer");
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
}
