//! The example gateway over HTTP: 200 with an identity, 401 for a dead token, 503 when it cannot know.

use std::{net::SocketAddr, time::Duration};

use portcullis_contract::v1;
use portcullis_tests::{
    authority::{ADMIN, TENANT, TestAuthority, ready, session_id},
    example_gateway::{serve_demo, serve_gateway, shipped_rules},
    gate::refused,
    upstream::{Echo, Upstream},
    visitor::Visit,
    wait::eventually,
};
use portcullis_validator::{Rejection, Rules};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

async fn get(gateway: SocketAddr, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(gateway).await.expect("connects");
    let request = format!("GET /whoami HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut response = String::new();
    stream
        .read_to_string(&mut response)
        .await
        .expect("received");
    let status = response
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .expect("a status");
    (status, response)
}

#[tokio::test]
async fn the_gateway_admits_refuses_and_says_when_it_cannot_know() {
    let mut authority = TestAuthority::sqlite().await;
    let gate = ready(authority.gate().max_staleness(Duration::from_secs(3))).await;
    let gateway = serve_demo(&gate, &shipped_rules()).await;
    let (ada, bob) = (
        authority.sign_in("ada").await,
        authority.sign_in("bob").await,
    );
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let cookie = |token: &str| format!("Cookie: theme=dark; portcullis_session={token}\r\n");

    for headers in [bearer(&ada.access_token), cookie(&ada.access_token)] {
        let (status, response) = get(gateway, &headers).await;
        assert_eq!(status, 200, "{response}");
        assert!(
            response.contains(&format!(r#""session_id":"{}""#, session_id(&ada))),
            "{response}"
        );
        assert!(
            response.contains(r#""user_id":"ada""#) && response.contains(r#""tenant_id":"acme""#)
        );
    }
    let (status, response) = get(gateway, "").await;
    assert!(
        status == 401 && response.contains(r#""reason":"missing""#),
        "{response}"
    );
    let (status, response) = get(gateway, &bearer("garbage")).await;
    assert!(
        status == 401 && response.contains(r#""reason":"malformed""#),
        "{response}"
    );

    let request = v1::RevokeSessionRequest {
        tenant_id: TENANT.into(),
        session_id: session_id(&ada),
        ..Default::default()
    };
    authority
        .sessions(ADMIN)
        .revoke_session(request)
        .await
        .expect("revoked");
    assert_eq!(refused(&gate, &ada.access_token).await, Rejection::Revoked);
    let (status, response) = get(gateway, &cookie(&ada.access_token)).await;
    assert!(
        status == 401 && response.contains(r#""reason":"revoked""#),
        "{response}"
    );
    assert!(
        response
            .to_lowercase()
            .contains("www-authenticate: bearer error=\"invalid_token\""),
        "{response}"
    );

    authority.stop().await;
    eventually("the gate to be stale", async || {
        (!gate.is_ready()).then_some(())
    })
    .await;
    let (status, response) = get(gateway, &bearer(&bob.access_token)).await;
    assert!(
        status == 503 && response.contains(r#""reason":"stale""#),
        "{response}"
    );
    let (status, response) = get(gateway, &bearer(&ada.access_token)).await;
    assert!(
        status == 401 && response.contains(r#""reason":"revoked""#),
        "what is known dead is dead: {response}"
    );
}

#[tokio::test]
async fn the_gateway_passes_requests_on_as_a_proxy_has_to() {
    let authority = TestAuthority::sqlite().await;
    let gate = authority.ready_gate().await;
    let upstream = Upstream::start().await;
    let gateway = serve_gateway(&gate, &Rules::default(), upstream.address()).await;
    let token = authority.sign_in("ada").await.access_token;
    let visit = Visit::get("/a%20b/c?d=%2F..%2F&e='f'")
        .bearer(&token)
        // Headers that `Connection` names end here. One that the gate sets is not one of them.
        .header(
            "connection",
            "close, X-Hop, X-Portcullis-User, Upgrade, HTTP2-Settings",
        )
        .header("x-hop", "1")
        .header("x-portcullis-user", "eve")
        .header("keep-alive", "timeout=5")
        .header("proxy-authorization", "Basic YTpi")
        .header("proxy-connection", "keep-alive")
        .header("te", "gzip")
        // Over HTTP/2 on the upstream's own connection, more requests would pass the gate unseen.
        .header("upgrade", "h2c")
        .header("http2-settings", "AAMAAABkAAQAAP__")
        .header("forwarded", "for=192.0.2.1")
        .header("x-forwarded-for", "198.51.100.7")
        .header("x-forwarded-host", "elsewhere.test")
        .header("x-forwarded-proto", "https")
        .header("accept-language", "de");
    let answer = visit.http1(gateway).await.expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let echo = answer.echo();
    assert_eq!(echo.target, "/a%20b/c?d=%2F..%2F&e='f'");
    for gone in [
        "x-hop",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "connection",
        "upgrade",
        "http2-settings",
        "forwarded",
        "authorization",
    ] {
        assert!(echo.values(gone).is_empty(), "{gone} passed");
    }
    assert_eq!(echo.value("x-portcullis-user"), Some("ada"));
    assert_eq!(echo.value("accept-language"), Some("de"));
    assert_told(&echo, &["198.51.100.7", "127.0.0.1"], "service.test");
}

/// Checks what the upstream is told about the client.
fn assert_told(echo: &Echo, addresses: &[&str], host: &str) {
    assert_eq!(echo.values("x-forwarded-for"), addresses);
    assert_eq!(echo.value("x-forwarded-host"), Some(host));
    assert_eq!(echo.value("x-forwarded-proto"), Some("http"));
    assert_eq!(echo.value("host"), Some(host));
}

#[tokio::test]
async fn the_gateway_takes_http2_to_an_upstream_of_http1() {
    let authority = TestAuthority::sqlite().await;
    let gate = authority.ready_gate().await;
    let upstream = Upstream::start().await;
    let gateway = serve_gateway(&gate, &Rules::default(), upstream.address()).await;
    let token = authority.sign_in("ada").await.access_token;
    let visit = Visit::get("/orders").bearer(&token);
    let echo = visit.http2(gateway).await.expect("an answer").echo();
    assert_eq!(echo.version, "HTTP/1.1");
    assert_told(&echo, &["127.0.0.1"], "service.test");
}

#[tokio::test]
async fn an_upstream_that_fails_is_a_bad_gateway() {
    let authority = TestAuthority::sqlite().await;
    let gate = authority.ready_gate().await;
    let token = authority.sign_in("ada").await.access_token;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let gateway = serve_gateway(&gate, &Rules::default(), address).await;
    let visit = Visit::get("/").bearer(&token);

    // It ends each connection without an answer.
    let hanging_up = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(stream);
        }
    });
    let answer = visit.http1(gateway).await.expect("an answer");
    assert_eq!(answer.status, 502);
    hanging_up.abort();
    let answer = visit.http1(gateway).await.expect("an answer");
    assert_eq!(answer.status, 502);
    // A refusal needs no upstream.
    let answer = Visit::get("/").http1(gateway).await.expect("an answer");
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn the_load_balancer_is_told_whether_the_gate_can_decide() {
    let mut authority = TestAuthority::sqlite().await;
    let gate = ready(authority.gate().max_staleness(Duration::from_millis(500))).await;
    let gateway = serve_demo(&gate, &shipped_rules()).await;
    let ask = async || {
        let answer = Visit::get("/healthz").http1(gateway).await;
        let answer = answer.expect("an answer");
        (answer.status.as_u16(), answer.text())
    };
    eventually("a fresh gate", async || {
        let (status, text) = ask().await;
        (status == 200 && text.contains(r#""state":"fresh""#)).then_some(())
    })
    .await;
    authority.stop().await;
    eventually("a stale gate", async || {
        let (status, text) = ask().await;
        (status == 503 && text.contains(r#""state":"stale""#)).then_some(())
    })
    .await;
}
