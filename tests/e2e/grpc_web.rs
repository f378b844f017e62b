//! gRPC-Web: pages of configured origins call with their users' own tokens, and nobody else does.

use std::time::Duration;

use http::{Method, StatusCode, Version};
use portcullis_authority::config::Config;
use portcullis_contract::v1;
use portcullis_tests::{
    authority::{ADMIN, LOGIN, TENANT, TestAuthority, session_id, sign_in},
    grpc_web::{Answer, Page},
    serve::answer,
    wait::{eventually, within},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::{Code, Status};

const APP: &str = "https://app.example.com";
const LIST: &str = "SessionService/ListSessions";

async fn authority() -> TestAuthority {
    TestAuthority::with(allow_app).await
}

fn allow_app(config: &mut Config) {
    config.server.web_origins = vec![APP.into()];
}

fn page(authority: &TestAuthority, origin: &str, bearer: &str) -> Page {
    Page::of(authority.config.server.grpc_listen, origin, bearer)
}

/// The list of the user's own sessions.
fn own() -> v1::ListSessionsRequest {
    v1::ListSessionsRequest::default()
}

fn status(answer: &Answer) -> Status {
    Status::from_header_map(&answer.trailers).expect("a status")
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_lists_and_ends_its_users_sessions() {
    let authority = authority().await;
    let gate = authority.ready_gate().await;
    let mine = authority.sign_in("ada").await;
    let other = authority.sign_in("ada").await;
    authority.sign_in("bob").await;
    gate.check(&other.access_token).expect("admitted");

    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut page = page(&authority, APP, &mine.access_token);
        page.version = version;
        let answer = page.call(LIST, &own()).await;
        assert_eq!(answer.header("access-control-allow-origin"), APP);
        assert_eq!(answer.header("content-type"), "application/grpc-web+proto");
        let listed: v1::ListSessionsResponse = answer.message();
        assert_eq!(listed.sessions.len(), 2, "{version:?}");
        assert!(listed.sessions[0].current, "the current one is first");
    }

    let page = page(&authority, APP, &mine.access_token);
    let request = v1::RevokeSessionRequest {
        session_id: session_id(&other),
        ..Default::default()
    };
    let answer = page.call("SessionService/RevokeSession", &request).await;
    let revoked: v1::RevokeSessionResponse = answer.message();
    let revision = revoked.enforcement.expect("a receipt").revision;
    let refuses = async || gate.check(&other.access_token).err();
    eventually("the gate to refuse", refuses).await;

    // A stream: the receipt as it changes.
    let request = v1::WatchEnforcementRequest {
        revision,
        ..Default::default()
    };
    let answer = page
        .call("RevocationService/WatchEnforcement", &request)
        .await;
    assert_eq!(answer.code(), "0");
    let last = answer.messages.last().expect("a receipt").clone();
    let last: v1::WatchEnforcementResponse = prost::Message::decode(last).expect("a receipt");
    assert!(last.receipt.expect("a receipt").complete);
}

#[tokio::test]
async fn a_preflight_allows_what_a_call_needs_and_no_credentials() {
    let authority = authority().await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut page = page(&authority, APP, "");
        page.version = version;
        let answer = page.preflight(LIST).await;
        assert_eq!(answer.http, StatusCode::NO_CONTENT);
        assert_eq!(answer.header("access-control-allow-origin"), APP);
        assert_eq!(answer.header("access-control-allow-methods"), "POST");
        assert_eq!(answer.header("access-control-max-age"), "7200");
        assert_eq!(answer.header("vary"), "origin");
        let allowed = answer.header("access-control-allow-headers");
        for header in [
            "authorization",
            "content-type",
            "grpc-timeout",
            "x-grpc-web",
        ] {
            assert!(allowed.contains(header), "{header}: {allowed}");
        }
        let credentials = answer.headers.get("access-control-allow-credentials");
        assert!(credentials.is_none(), "cookies would count");
    }
}

#[tokio::test]
async fn another_origin_is_refused_and_told_nothing() {
    let authority = authority().await;
    let token = authority.sign_in("ada").await.access_token;
    for origin in [
        "https://evil.example",
        // Near misses: each differs from the configured origin in one thing.
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://app.example.com.evil.example",
        "https://evil-app.example.com",
        "https://APP.example.com",
        "https://app.example.com/",
        "null",
        "",
    ] {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let mut page = page(&authority, origin, &token);
            page.version = version;
            for answer in [page.call(LIST, &own()).await, page.preflight(LIST).await] {
                assert_eq!(answer.http, StatusCode::FORBIDDEN, "{origin} {version:?}");
                assert_eq!(status(&answer).code(), Code::PermissionDenied, "{origin}");
                let allowed = answer.headers.get("access-control-allow-origin");
                assert!(allowed.is_none(), "{origin}");
                assert!(answer.messages.is_empty());
            }
        }
    }

    // Two origins are none.
    let page = page(&authority, APP, &token);
    let path = format!("/portcullis.v1.{LIST}");
    let mut twice = page.request(&path, "application/grpc-web+proto", &own());
    let second = "https://evil.example".parse().expect("a header");
    twice.headers_mut().append("origin", second);
    let answer = page.send(twice).await;
    assert_eq!(answer.http, StatusCode::FORBIDDEN);

    // Refusals are counted.
    let metrics = authority.http("/metrics").await;
    assert!(metrics.contains("\"unknown_origin\""), "{metrics}");
}

#[tokio::test]
async fn without_a_configured_origin_there_is_no_grpc_web() {
    let authority = TestAuthority::sqlite().await;
    let token = authority.sign_in("ada").await.access_token;
    let path = format!("/portcullis.v1.{LIST}");

    // The port does not speak the protocol of browsers at all.
    let old = page(&authority, APP, &token);
    let request = old.request(&path, "application/grpc-web+proto", &own());
    assert!(old.try_send(request).await.is_err(), "HTTP/1.1 is answered");

    let mut page = page(&authority, APP, &token);
    page.version = Version::HTTP_2;
    let answer = page.call(LIST, &own()).await;
    assert_eq!(answer.http, StatusCode::FORBIDDEN);
    assert_eq!(page.preflight(LIST).await.http, StatusCode::FORBIDDEN);
    page.origin.clear();
    let answer = page.call(LIST, &own()).await;
    assert_eq!(answer.http, StatusCode::FORBIDDEN);

    // Native gRPC is served as before.
    let listed = authority.sessions(&token).list_sessions(own()).await;
    assert_eq!(listed.expect("a list").into_inner().sessions.len(), 1);
}

#[tokio::test]
async fn a_page_calls_with_a_users_token_only() {
    let authority = authority().await;
    let all = v1::ListSessionsRequest {
        tenant_id: TENANT.into(),
        ..own()
    };
    // The bearer strings of services are good elsewhere, and the answer does not tell.
    for bearer in [ADMIN, LOGIN] {
        let answer = page(&authority, APP, bearer).call(LIST, &all).await;
        assert_eq!(status(&answer).code(), Code::Unauthenticated, "{bearer}");
        assert_eq!(answer.header("access-control-allow-origin"), APP);
    }
    let answer = page(&authority, APP, LOGIN)
        .call("SessionService/CreateSession", &sign_in("ada"))
        .await;
    assert_eq!(status(&answer).code(), Code::PermissionDenied);
    let native = authority.sessions(ADMIN).list_sessions(all).await;
    native.expect("a list");

    // Nothing is public for pages.
    let health = page(&authority, APP, "");
    let request = health.request(
        "/grpc.health.v1.Health/Check",
        "application/grpc-web+proto",
        &tonic_health::pb::HealthCheckRequest::default(),
    );
    let answer = health.send(request).await;
    assert_eq!(status(&answer).code(), Code::PermissionDenied);

    // A page without a token, and one whose token is not good.
    let answer = page(&authority, APP, "").call(LIST, &own()).await;
    assert_eq!(status(&answer).code(), Code::Unauthenticated);
    let token = authority.sign_in("ada").await.access_token;
    let forged = format!("{}AAAA", &token[..token.len() - 4]);
    let answer = page(&authority, APP, &forged).call(LIST, &own()).await;
    assert_eq!(status(&answer).code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_cookie_is_no_credential() {
    let authority = authority().await;
    let token = authority.sign_in("ada").await.access_token;
    let page = page(&authority, APP, "");
    let path = format!("/portcullis.v1.{LIST}");
    let mut request = page.request(&path, "application/grpc-web+proto", &own());
    let cookie = format!("__Host-session={token}").parse().expect("a header");
    request.headers_mut().insert("cookie", cookie);
    let answer = page.send(request).await;
    assert_eq!(status(&answer).code(), Code::Unauthenticated);
}

#[tokio::test]
async fn an_error_reaches_a_page_with_its_details() {
    let authority = authority().await;
    let token = authority.sign_in("ada").await.access_token;
    let page = page(&authority, APP, &token);
    let request = v1::RevokeSessionRequest {
        session_id: "ses_00000000000000000000000000".into(),
        ..Default::default()
    };
    let answer = page.call("SessionService/RevokeSession", &request).await;
    assert_eq!(answer.http, StatusCode::OK);
    let exposed = answer.header("access-control-expose-headers");
    for header in ["grpc-status", "grpc-message", "grpc-status-details-bin"] {
        assert!(exposed.contains(header), "{header}: {exposed}");
    }
    let reason = portcullis_tests::authority::reason(&status(&answer));
    assert_eq!(reason, "SESSION_NOT_FOUND");
}

#[tokio::test]
async fn the_port_stays_a_port_of_grpc() {
    let authority = authority().await;
    let address = authority.config.server.grpc_listen;
    // Of HTTP/1.1 only gRPC-Web is served, by POST.
    let token = authority.sign_in("ada").await.access_token;
    let page = page(&authority, APP, &token);
    let path = format!("/portcullis.v1.{LIST}");
    let native = page.request(&path, "application/grpc", &own());
    assert_eq!(page.send(native).await.http, StatusCode::BAD_REQUEST);
    let mut read = page.request(&path, "application/grpc-web+proto", &own());
    *read.method_mut() = Method::GET;
    assert_eq!(page.send(read).await.http, StatusCode::METHOD_NOT_ALLOWED);
    let answered = answer(address, "/healthz").await;
    assert!(answered.starts_with("HTTP/1.1 403"), "{answered}");
    let listed = authority.sessions(&token).list_sessions(own()).await;
    listed.expect("native gRPC");
}

#[tokio::test]
async fn the_bounds_of_connections_and_calls_hold_for_pages() {
    let authority = TestAuthority::with(|config| {
        allow_app(config);
        config.server.request_timeout = Duration::from_millis(500);
        config.server.connections_per_address_max = Some(2);
        config.limits.user_changes_burst = 1;
    })
    .await;
    let address = authority.config.server.grpc_listen;

    // The rate of a user's changes.
    let token = authority.sign_in("ada").await.access_token;
    let request = v1::RevokeOtherSessionsRequest::default();
    let rpc = "SessionService/RevokeOtherSessions";
    let page = page(&authority, APP, &token);
    assert_eq!(page.call(rpc, &request).await.code(), "0");
    let second = page.call(rpc, &request).await;
    assert_eq!(status(&second).code(), Code::ResourceExhausted);

    // A request that begins and does not go on is cut off, also before its protocol is known.
    for begun in [
        "POST",
        "PRI * HTTP/2.0",
        "POST / HTTP/1.1\r\nHost: x\r\nX: ",
    ] {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(begun.as_bytes()).await.expect("sent");
        let mut rest = Vec::new();
        let ended = within("a stalled request to end", stream.read_to_end(&mut rest)).await;
        ended.expect("an end");
    }

    // The number of connections of one address. The client of the sign-in has one.
    let mut kept = TcpStream::connect(address).await.expect("a connection");
    let mut refused = TcpStream::connect(address).await.expect("a connection");
    let mut rest = Vec::new();
    let ended = within(
        "the third connection to end",
        refused.read_to_end(&mut rest),
    )
    .await;
    ended.expect("it ends without an answer");
    assert!(rest.is_empty());
    kept.write_all(b"PRI").await.expect("it is open");
}
