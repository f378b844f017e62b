//! Live streams are cut when their session ends: by the example gateway, and in services with the layer.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Extension, Router,
    body::{Body, Bytes},
    extract::{
        Request, State,
        ws::{Message, WebSocketUpgrade},
    },
    routing::{any, get, post},
};
use futures::{SinkExt, StreamExt, stream};
use http::{Method, Version};
use http_body_util::BodyExt;
use portcullis_contract::v1;
use portcullis_tests::{
    authority::{TestAuthority, ready},
    example_gateway::{serve_gateway, serve_router},
    guarded_service::{close_message, guarded_service},
    live::{How, Live, empty, send, streamed, text},
    upstream::{Upstream, WEBSOCKET},
    wait::{eventually, within},
};
use portcullis_validator::{
    Access, Admission, CLOSE_CODE, CutSocket, Rule, Rules, Validator, ValidatorLayer,
};
use tokio::{net::TcpListener, sync::mpsc, time::interval};
use tonic::{Code, transport::Server};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

/// The longest time from the acknowledgement of an end to the last byte of a stream. Generous: a quiet machine needs a
/// few milliseconds.
const CUT_WITHIN: Duration = Duration::from_secs(2);
const STALENESS: Duration = Duration::from_millis(800);

/// The ends of a stream whose signs differ. `tests/doors` has all ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Revoke,
    /// The authority goes away, and the gate is strict.
    Staleness,
}

impl End {
    /// Ends the session, and returns when that was acknowledged.
    async fn of(
        self,
        authority: &mut TestAuthority,
        session: &v1::CreateSessionResponse,
    ) -> Instant {
        match self {
            Self::Revoke => {
                authority.revoke(session).await;
            }
            Self::Staleness => authority.stop().await,
        }
        Instant::now()
    }

    fn reason(self) -> &'static str {
        match self {
            Self::Revoke => "revoked",
            Self::Staleness => "stale",
        }
    }

    /// The time that the end itself takes: until the proof is too old.
    fn takes(self) -> Duration {
        match self {
            Self::Revoke => Duration::ZERO,
            Self::Staleness => STALENESS,
        }
    }

    fn code(self) -> Code {
        match self {
            Self::Revoke => Code::Unauthenticated,
            Self::Staleness => Code::Unavailable,
        }
    }

    async fn gate(self, authority: &TestAuthority) -> Validator {
        match self {
            Self::Revoke => authority.ready_gate().await,
            Self::Staleness => ready(authority.gate().max_staleness(STALENESS)).await,
        }
    }
}

/// Opens every kind of stream at two doors, ends the session, and expects that all are cut and say so.
async fn play(end: End) {
    let mut authority = TestAuthority::sqlite().await;
    let gate = end.gate(&authority).await;
    let upstream = Upstream::start().await;
    let gateway = serve_gateway(&gate, &Rules::default(), upstream.address()).await;
    let service = guarded_service(&gate, &Rules::default(), &upstream);
    let service = serve_router(service).await;

    let session = authority.sign_in("ada").await;
    let token = &session.access_token;
    let mut streams = Live::open_all(gateway, token).await;
    streams.extend(Live::open_all(service, token).await);
    eventually("all streams to wait", async || {
        (gate.statistics().streams >= streams.len()).then_some(())
    })
    .await;
    for stream in &streams {
        assert!(stream.is_open(), "{end:?}: {} ended by itself", stream.name);
    }

    let acknowledged = end.of(&mut authority, &session).await;
    for (index, stream) in streams.into_iter().enumerate() {
        let name = stream.name;
        let is_proxied = index < 6;
        let (how, delay) = stream.ended(acknowledged).await;
        let expected = match name {
            "gRPC" => How::Status(end.code(), format!("the session ended: {}", end.reason())),
            // The gateway does not know where a frame of the upstream ends.
            "WebSocket" if !is_proxied => How::Closed(CLOSE_CODE, end.reason().to_owned()),
            _ => How::Broken,
        };
        assert_eq!(how, expected, "{end:?}: {name}, proxied: {is_proxied}");
        assert!(
            delay < CUT_WITHIN + end.takes(),
            "{end:?}: {name} was cut after {delay:?}"
        );
    }
    eventually("the places to be free", async || {
        (gate.statistics().streams == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_cut_when_their_session_is_revoked() {
    play(End::Revoke).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_cut_when_a_strict_gate_cannot_know() {
    play(End::Staleness).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_streams_of_the_ended_session_are_cut() {
    let authority = TestAuthority::sqlite().await;
    let gate = authority.ready_gate().await;
    let upstream = Upstream::start().await;
    let rules = Rules {
        rules: vec![Rule::new("/download", Access::Public)],
        ..Rules::default()
    };
    let gateway = serve_gateway(&gate, &rules, upstream.address()).await;
    let (ada, bob) = (
        authority.sign_in("ada").await,
        authority.sign_in("bob").await,
    );
    let kept = Live::open_all(gateway, &bob.access_token).await;
    let cut = Live::grpc("gRPC", gateway, &ada.access_token).await;
    let public = Live::body(
        "public",
        gateway,
        Version::HTTP_11,
        "/download",
        &ada.access_token,
    )
    .await;
    authority.revoke(&ada).await;
    let (how, _) = cut.ended(Instant::now()).await;
    assert!(matches!(how, How::Status(..)), "{how:?}");
    for stream in kept.iter().chain([&public]) {
        assert!(stream.is_open(), "{} was cut", stream.name);
    }
}

/// Tells how the bodies of uploads go on.
#[derive(Clone)]
struct Uploads(mpsc::Sender<&'static str>);

async fn upload(State(uploads): State<Uploads>, request: Request) -> &'static str {
    let mut body = request.into_body();
    let mut begun = false;
    loop {
        let word = match body.frame().await {
            Some(Ok(_)) if begun => continue,
            Some(Ok(_)) => "begun",
            Some(Err(_)) => "broken",
            None => "whole",
        };
        begun = true;
        uploads.0.send(word).await.expect("the test listens");
        if word != "begun" {
            return word;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_cut_before_the_service_takes_it_for_whole() {
    let authority = TestAuthority::sqlite().await;
    let gate = authority.ready_gate().await;
    let (sender, mut words) = mpsc::channel(8);
    let router = Router::new()
        .route("/upload", post(upload))
        .with_state(Uploads(sender));
    let upstream = serve_router(router.clone()).await;
    let gateway = serve_gateway(&gate, &Rules::default(), upstream).await;
    let layer = ValidatorLayer::new(gate.clone(), &Rules::default()).expect("good rules");
    let service = serve_router(router.layer(layer)).await;

    for door in [gateway, service] {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let session = authority.sign_in("ada").await;
            let token = session.access_token.clone();
            // One part, and then silence: nothing but the gate wakes the service.
            let parts = stream::iter([Bytes::from("part")]).chain(stream::pending());
            let sending = tokio::spawn(async move {
                send(
                    door,
                    version,
                    Method::POST,
                    "/upload",
                    &token,
                    streamed(parts),
                )
                .await
            });
            assert_eq!(within("the upload", words.recv()).await, Some("begun"));
            authority.revoke(&session).await;
            let acknowledged = Instant::now();
            assert_eq!(within("the cut", words.recv()).await, Some("broken"));
            assert!(acknowledged.elapsed() < CUT_WITHIN, "{version:?}");
            sending.abort();
        }
    }
}

/// A download that always has a next part, so that the gate never has to wait for it.
async fn flood() -> Body {
    let part = Bytes::from_static(&[b'.'; 64 * 1024]);
    Body::from_stream(stream::repeat(Ok::<_, std::convert::Infallible>(part)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_never_pauses_is_cut_too() {
    let authority = TestAuthority::sqlite().await;
    let gate = authority.ready_gate().await;
    let layer = ValidatorLayer::new(gate.clone(), &Rules::default()).expect("good rules");
    let router = Router::new().route("/flood", get(flood)).layer(layer);
    let service = serve_router(router).await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let session = authority.sign_in("ada").await;
        let token = &session.access_token;
        let live = Live::body("flood", service, version, "/flood", token).await;
        authority.revoke(&session).await;
        let (how, delay) = live.ended(Instant::now()).await;
        assert_eq!(how, How::Broken, "{version:?}");
        assert!(delay < CUT_WITHIN, "{version:?}: {delay:?}");
    }
}

#[tokio::test]
async fn short_requests_and_whole_answers_are_left_alone() {
    let authority = TestAuthority::sqlite().await;
    let gate = authority.ready_gate().await;
    let upstream = Upstream::start().await;
    let gateway = serve_gateway(&gate, &Rules::default(), upstream.address()).await;
    let service = guarded_service(&gate, &Rules::default(), &upstream);
    let service = serve_router(service).await;
    let token = authority.sign_in("ada").await.access_token;
    let part = Bytes::from(vec![b'x'; 100_000]);
    for door in [gateway, service] {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            for (method, body, bytes) in [
                (Method::GET, empty(), 0),
                (
                    Method::POST,
                    streamed(stream::iter([part.clone()])),
                    100_000,
                ),
                (
                    Method::PUT,
                    streamed(stream::iter(vec![part.clone(); 5])),
                    500_000,
                ),
            ] {
                let answer = send(door, version, method, "/orders", &token, body).await;
                assert_eq!(answer.status(), 200);
                assert!(answer.headers().contains_key("content-length"));
                let text = text(answer.into_body()).await;
                assert!(text.contains(&format!(r#""body_bytes":{bytes}"#)), "{text}");
            }
        }
    }
    assert_eq!(gate.statistics().streams, 0);
}

/// Serves the health service of gRPC in a server of tonic, with the layer if there is one.
async fn serve_tonic(layer: Option<ValidatorLayer>) -> SocketAddr {
    let (reporter, health) = tonic_health::server::health_reporter();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    tokio::spawn(async move {
        // Its streams end without the reporter.
        let _kept = reporter;
        match layer {
            Some(layer) => {
                let server = Server::builder().layer(layer).add_service(health);
                server.serve_with_incoming(incoming).await
            }
            None => {
                let server = Server::builder().add_service(health);
                server.serve_with_incoming(incoming).await
            }
        }
    });
    address
}

async fn guarded_tonic(gate: &Validator, rules: &Rules) -> SocketAddr {
    let layer = ValidatorLayer::new(gate.clone(), rules).expect("good rules");
    serve_tonic(Some(layer)).await
}

async fn check(door: SocketAddr, token: &str) -> Result<(), tonic::Status> {
    let transport = portcullis_tests::authority::transport(&format!("http://{door}"), token);
    let mut client = HealthClient::new(transport);
    client.check(HealthCheckRequest::default()).await.map(drop)
}

#[tokio::test]
async fn a_call_of_grpc_is_refused_with_a_status() {
    let mut authority = TestAuthority::sqlite().await;
    let gate = ready(authority.gate().max_staleness(STALENESS)).await;
    let upstream = serve_tonic(None).await;
    let mut only_other = Rule::new("/{*rest}", Access::Session);
    only_other.tenants = vec!["other".into()];
    let foreign = Rules {
        rules: vec![only_other],
        ..Rules::default()
    };
    let any = Rules::default();
    let doors = [
        (
            guarded_tonic(&gate, &any).await,
            guarded_tonic(&gate, &foreign).await,
        ),
        (
            serve_gateway(&gate, &any, upstream).await,
            serve_gateway(&gate, &foreign, upstream).await,
        ),
    ];
    let (ada, bob) = (
        authority.sign_in("ada").await,
        authority.sign_in("bob").await,
    );
    authority.revoke(&bob).await;
    portcullis_tests::gate::refused(&gate, &bob.access_token).await;
    for (door, _) in doors {
        eventually("the call to be admitted", async || {
            check(door, &ada.access_token).await.ok()
        })
        .await;
    }
    let refused = async |door, token: &str| {
        let status = check(door, token).await.expect_err("refused");
        (status.code(), status.message().to_owned())
    };
    let expect = |code, reason: &str| (code, reason.to_owned());
    for (door, foreign) in doors {
        let missing = expect(Code::Unauthenticated, "missing");
        assert_eq!(refused(door, "").await, missing);
        let revoked = expect(Code::Unauthenticated, "revoked");
        assert_eq!(refused(door, &bob.access_token).await, revoked);
        let tenant = expect(Code::PermissionDenied, "tenant");
        assert_eq!(refused(foreign, &ada.access_token).await, tenant);
    }

    authority.stop().await;
    eventually("the gate to be stale", async || {
        (!gate.is_ready()).then_some(())
    })
    .await;
    for (door, _) in doors {
        let stale = expect(Code::Unavailable, "stale");
        assert_eq!(refused(door, &ada.access_token).await, stale);
    }
}

#[tokio::test]
async fn streams_of_a_tonic_server_are_cut_with_a_status() {
    let authority = TestAuthority::sqlite().await;
    let gate = authority.ready_gate().await;
    let door = guarded_tonic(&gate, &Rules::default()).await;
    let session = authority.sign_in("ada").await;
    let live = Live::grpc("gRPC", door, &session.access_token).await;
    authority.revoke(&session).await;
    let (how, delay) = live.ended(Instant::now()).await;
    let message = "the session ended: revoked".to_owned();
    assert_eq!(how, How::Status(Code::Unauthenticated, message));
    assert!(delay < CUT_WITHIN, "{delay:?}");
}

#[tokio::test]
async fn a_socket_that_only_sends_is_cut_too() {
    let authority = TestAuthority::sqlite().await;
    let gate = authority.ready_gate().await;
    let (sender, mut outcomes) = mpsc::channel(8);
    let handler = async move |upgrade: WebSocketUpgrade,
                              Extension(admission): Extension<Admission>| {
        upgrade.on_upgrade(async move |socket| {
            let mut socket = CutSocket::new(socket, &admission, close_message);
            // A connection that closes with unread bytes is reset, and the client may miss the close frame.
            assert!(socket.next().await.is_some(), "a greeting");
            // Slower than the client reads. A full connection has no room for the close frame either.
            let mut pace = interval(Duration::from_millis(2));
            let outcome = loop {
                pace.tick().await;
                if let Err(error) = socket.send(Message::text("hello")).await {
                    break error.to_string();
                }
            };
            sender.send(outcome).await.expect("the test listens");
        })
    };
    let layer = ValidatorLayer::new(gate.clone(), &Rules::default()).expect("good rules");
    let door = serve_router(Router::new().route(WEBSOCKET, any(handler)).layer(layer)).await;
    let session = authority.sign_in("ada").await;
    let live = Live::websocket("WebSocket", door, &session.access_token).await;
    authority.revoke(&session).await;
    let (how, _) = live.ended(Instant::now()).await;
    assert_eq!(how, How::Closed(CLOSE_CODE, "revoked".to_owned()));
    let outcome = within("the sender", outcomes.recv()).await;
    assert_eq!(outcome.as_deref(), Some("the session ended: revoked"));
}

#[tokio::test]
async fn a_service_finds_who_was_admitted() {
    let authority = TestAuthority::sqlite().await;
    let gate = authority.ready_gate().await;
    let handler = async |Extension(admission): Extension<Admission>, request: Request| {
        let identity = request
            .extensions()
            .get::<Arc<portcullis_validator::Identity>>();
        let name = identity.map(|identity| identity.user_id.to_string());
        format!("{name:?} {}", admission.ended().is_some())
    };
    let rules = Rules {
        rules: vec![Rule::new("/open", Access::Public)],
        ..Rules::default()
    };
    let layer = ValidatorLayer::new(gate, &rules).expect("good rules");
    let door = serve_router(Router::new().fallback(handler).layer(layer)).await;
    let token = authority.sign_in("ada").await.access_token;
    for (path, expected) in [("/", r#"Some("ada") true"#), ("/open", "None false")] {
        let answer = send(door, Version::HTTP_11, Method::GET, path, &token, empty()).await;
        assert_eq!(text(answer.into_body()).await, expected, "{path}");
    }
}
