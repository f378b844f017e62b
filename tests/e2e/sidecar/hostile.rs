//! Requests that nobody should send: refused, and the next one is answered as before.

use http::StatusCode;
use portcullis_tests::{
    authority::TestAuthority,
    sidecar::{Ask, SidecarConfig, TestSidecar},
    wait::within,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{ask, settled};

#[tokio::test]
async fn a_hostile_request_is_refused_and_changes_nothing() {
    let authority = TestAuthority::sqlite().await;
    let sidecar = TestSidecar::ready(&authority).await;
    let ada = authority.sign_in("ada").await;
    let bob = authority.sign_in("bob").await;
    let bearer = format!("Bearer {}", ada.access_token);
    let cookie = |token: &str| format!("session={token}");
    let good = Ask::verify("GET", "/").header("Authorization", &bearer);
    let get = || Ask::verify("GET", "/");
    let large = "x".repeat(64 << 10);
    let mut ten_the_same = get();
    let mut ten = get().header("Cookie", &cookie(&bob.access_token));
    for _ in 0..10 {
        ten_the_same = ten_the_same.header("Cookie", &cookie(&ada.access_token));
        ten = ten.header("Cookie", &cookie(&ada.access_token));
    }
    assert_eq!(
        settled(&sidecar, &ten_the_same).await.status,
        StatusCode::OK
    );

    for (name, hostile, status) in [
        ("ten cookies of one name", ten, 401),
        (
            "64 kB in a header",
            good.clone().header("X-Large", &large),
            431,
        ),
        (
            "64 kB in a target",
            Ask::verify("GET", &format!("/{large}")).header("Authorization", &bearer),
            431,
        ),
        (
            "more than the listener reads",
            good.clone().header("X-Large", &large.repeat(4)),
            431,
        ),
        (
            "a credential that is not text",
            get().raw_header("Authorization", b"Bearer \xff\xfe"),
            401,
        ),
        (
            "a cookie that is not text",
            get().raw_header("Cookie", b"session=\xff"),
            401,
        ),
        (
            "a target that is not text",
            Ask::new("/verify")
                .header("Authorization", &bearer)
                .header("X-Forwarded-Method", "GET")
                .header("X-Forwarded-Host", "shop.example")
                .raw_header("X-Forwarded-Uri", b"/\xff"),
            400,
        ),
        (
            "a path with an encoded slash",
            Ask::verify("GET", "/public/..%2fadmin").header("Authorization", &bearer),
            400,
        ),
        (
            "a path with two slashes",
            Ask::verify("GET", "//admin").header("Authorization", &bearer),
            400,
        ),
        (
            "two credentials",
            good.clone().header("Authorization", "Bearer a.b.c"),
            401,
        ),
        (
            "a forged token",
            get().header("Authorization", "Bearer a.b.c"),
            401,
        ),
    ] {
        let answer = settled(&sidecar, &hostile).await;
        assert_eq!(answer.status.as_u16(), status, "{name}: {answer:?}");
        assert_eq!(answer.header("x-portcullis-user"), None, "{name}");
        let next = settled(&sidecar, &good).await;
        assert_eq!(next.status, StatusCode::OK, "after {name}");
    }

    assert!(!sidecar.log().contains("panicked"), "{}", sidecar.log());
}

#[tokio::test]
async fn bytes_that_are_no_request_are_refused() {
    let authority = TestAuthority::sqlite().await;
    let sidecar = TestSidecar::ready(&authority).await;
    for bytes in [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /verify\r\n\r\n",
        b"GET /verify HTTP/1.1\r\nX-Forwarded-Method : GET\r\n\r\n",
        b"\r\n\r\n\0\0\0\0\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(&sidecar.forward_auth)
            .await
            .expect("connects");
        stream.write_all(bytes).await.expect("sent");
        let mut answer = Vec::new();
        let read = within("the end of the connection", stream.read_to_end(&mut answer)).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let refused = read.is_err() || answer.is_empty() || answer.starts_with("HTTP/1.1 4");
        assert!(refused, "{bytes:?}: {answer}");
    }
    let next = ask(&sidecar, Ask::verify("GET", "/")).await;
    assert_eq!(next.status, StatusCode::UNAUTHORIZED);
    assert!(!sidecar.log().contains("panicked"), "{}", sidecar.log());
}

#[tokio::test]
async fn a_request_that_does_not_come_to_its_end_is_ended() {
    let authority = TestAuthority::sqlite().await;
    let mut config = SidecarConfig::new(&authority.endpoint());
    config.limits = "idle_timeout = \"1s\"\nrequest_timeout = \"200ms\"\n".to_owned();
    let sidecar = TestSidecar::ready_with(&config).await;
    // HTTP/1: no request, a half one. HTTP/2: no preface, a preface alone.
    for (listener, bytes) in [
        (&sidecar.forward_auth, &b""[..]),
        (
            &sidecar.forward_auth,
            b"GET /verify HTTP/1.1\r\nX-Forwarded-",
        ),
        (&sidecar.ext_authz, b""),
        (&sidecar.ext_authz, b"PRI * HTTP/2.0\r\n\r\nSM"),
        (
            &sidecar.ext_authz,
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        ),
    ] {
        let mut stream = TcpStream::connect(listener).await.expect("connects");
        stream.write_all(bytes).await.expect("sent");
        let mut answer = Vec::new();
        // Reset or closed: it ends.
        let _ = within("the end of the connection", stream.read_to_end(&mut answer)).await;
        assert!(!answer.starts_with(b"HTTP/1.1 2"), "{bytes:?}");
    }
}
