//! The example gateway over HTTP: 200 with an identity, 401 for a dead token, 503 when it cannot know.

use std::{net::SocketAddr, time::Duration};

use portcullis_contract::v1;
use portcullis_tests::{
    authority::{ADMIN, TENANT, TestAuthority, ready, session_id},
    gate::refused,
    wait::eventually,
};
use portcullis_validator::{Rejection, TrustedProxies, Validator};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

async fn serve(gate: &Validator) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let router = portcullis_example_gateway::router(gate, &TrustedProxies::default());
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

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
    let gateway = serve(&gate).await;
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
