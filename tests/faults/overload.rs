//! The edge holds: whoever fills a bound is who is refused, and nobody is waited for without end.

use std::{net::SocketAddr, time::Duration};

use portcullis_contract::v1;
use portcullis_contract::v1::session_service_client::SessionServiceClient;
use portcullis_tests::{
    authority::{
        ADMIN, GATEWAY, LOGIN, OPERATOR, SUPPORT, TENANT, TestAuthority, Transport, reason,
        session_id, sign_in, transport,
    },
    gate::refused,
    half_open::{Bare, PREFACE, closed, closed_after, connect_from},
    serve::{Serve, get},
    telemetry::{Receiver, Scraped},
    wait::{DEADLINE, eventually, within},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tonic::{Code, Request, service::interceptor::InterceptedService, transport::Endpoint};

use crate::tls::{certificate_authority, speak_tls};

const INTROSPECT: &str = "/portcullis.v1.SessionService/IntrospectToken";
const LIST_SESSIONS: &str = "/portcullis.v1.SessionService/ListSessions";
const LIST_SIGNING_KEYS: &str = "/portcullis.v1.KeyService/ListSigningKeys";
const HEALTH_WATCH: &str = "/grpc.health.v1.Health/Watch";
/// As much as a client has by default.
const WINDOW: u32 = 65_535;

async fn revoke(authority: &TestAuthority, session: &v1::CreateSessionResponse) {
    let request = v1::RevokeSessionRequest {
        tenant_id: TENANT.into(),
        session_id: session_id(session),
        reason: "a lost phone".into(),
        ..Default::default()
    };
    let revoked = authority.sessions(ADMIN).revoke_session(request).await;
    revoked.expect("revoked");
}

async fn metrics(authority: &TestAuthority) -> Scraped {
    Scraped::of(authority.config.server.http_listen).await
}

/// Waits until the sum of a counter's series with these labels has reached `count`.
async fn counted(authority: &TestAuthority, name: &str, labels: &[(&str, &str)], count: f64) {
    eventually(name, async || {
        let value = metrics(authority).await.value(name, labels)?;
        (value >= count).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_open_calls_of_a_revoked_user_stop_no_other_caller() {
    let authority = TestAuthority::with(|config| config.server.calls_max = 64).await;
    let (eve, ada) = (
        authority.sign_in("eve").await,
        authority.sign_in("ada").await,
    );
    revoke(&authority, &eve).await;

    let address = authority.config.server.grpc_listen;
    let (mut connections, mut calls) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let connection = Bare::connect(address, WINDOW).await;
        for _ in 0..64 {
            calls.push(connection.begin(INTROSPECT, &eve.access_token).await);
        }
        connections.push(connection);
    }
    let labels = [("portcullis_class", "call"), ("portcullis_bound", "user")];
    let shed = "portcullis_refused_total";
    // All have arrived when all but the user's own share were refused.
    counted(&authority, shed, &labels, 4.0 * 64.0 - 16.0).await;

    for user in ["bob", "eve", "zoe"] {
        authority.sign_in(user).await;
    }
    let refresh = v1::RefreshSessionRequest {
        tenant_id: TENANT.into(),
        refresh_token: ada.refresh_token.clone(),
        ..Default::default()
    };
    let refreshed = authority.sessions(LOGIN).refresh_session(refresh).await;
    refreshed.expect("refreshed");
    let report = v1::ReportActivityRequest::default();
    let reported = authority.revocations(GATEWAY).report_activity(report).await;
    reported.expect("reported");
    let mine = v1::ListSessionsRequest::default();
    let listed = authority
        .sessions(&ada.access_token)
        .list_sessions(mine)
        .await;
    listed.expect("another user's calls go on");
}

#[tokio::test]
async fn a_call_whose_message_is_not_in_holds_no_permit() {
    let authority = TestAuthority::with(|config| config.server.calls_max = 16).await;
    let connection = Bare::connect(authority.config.server.grpc_listen, WINDOW).await;
    let mut half_open = Vec::new();
    // More than the caller's share, and than all permits.
    for _ in 0..40 {
        half_open.push(connection.begin(LIST_SIGNING_KEYS, OPERATOR).await);
    }
    // The calls of one connection arrive in order: when this one is answered, the others have arrived.
    let mut last = connection.begin(LIST_SIGNING_KEYS, OPERATOR).await;
    last.finish();
    let (header, _) = last.header().await;
    assert_eq!(header.get("grpc-status"), None, "{header:?}");

    for mut call in half_open {
        call.finish();
        let (header, _) = call.header().await;
        assert_eq!(header.get("grpc-status"), None, "{header:?}");
    }
}

#[tokio::test]
async fn a_caller_that_takes_no_answers_fills_its_own_share_only() {
    let authority = TestAuthority::with(|config| config.server.calls_max = 16).await;
    authority.sign_in("ada").await;
    // Without room for an answer: each call keeps its permit.
    let connection = Bare::connect(authority.config.server.grpc_listen, 0).await;
    let mut calls = Vec::new();
    let mut codes = Vec::new();
    for _ in 0..16 {
        let mut call = connection.begin(LIST_SIGNING_KEYS, OPERATOR).await;
        call.finish();
        let (header, body) = call.header().await;
        codes.push(
            header
                .get("grpc-status")
                .map(|code| code.to_str().expect("text").to_owned()),
        );
        calls.push(body);
    }
    let refused = codes.iter().flatten().collect::<Vec<_>>();
    assert_eq!(refused, vec!["8"; 8], "half is the most: {codes:?}");

    authority.sign_in("bob").await;
    let list = v1::ListSessionsRequest {
        tenant_id: TENANT.into(),
        ..Default::default()
    };
    let listed = authority.sessions(SUPPORT).list_sessions(list).await;
    listed.expect("another caller has room");
    let keys = v1::ListSigningKeysRequest::default();
    let refused = authority.keys(OPERATOR).list_signing_keys(keys).await;
    let refused = refused.expect_err("its share is full");
    assert_eq!(
        (refused.code(), reason(&refused).as_str(), refused.message()),
        (
            Code::ResourceExhausted,
            "OVERLOADED",
            "overloaded: retry after 1 s"
        )
    );
}

#[tokio::test]
async fn a_message_that_does_not_come_in_ends_its_call() {
    let authority =
        TestAuthority::with(|config| config.server.request_timeout = Duration::from_millis(300))
            .await;
    let address = authority.config.server.grpc_listen;
    let connection = Bare::connect(address, WINDOW).await;
    let call = connection.begin(LIST_SESSIONS, SUPPORT).await;
    assert_eq!(call.code().await, Code::DeadlineExceeded as i32);
    let call = connection.begin("/grpc.health.v1.Health/Check", "").await;
    assert_eq!(call.code().await, Code::DeadlineExceeded as i32);
}

#[tokio::test]
async fn a_call_without_a_deadline_gets_one() {
    let authority = TestAuthority::with(|config| {
        config.server.request_timeout = Duration::from_secs(600);
        config.server.call_timeout = Duration::from_millis(300);
    })
    .await;
    let connection = Bare::connect(authority.config.server.grpc_listen, WINDOW).await;
    let call = connection.begin(LIST_SESSIONS, SUPPORT).await;
    assert_eq!(call.code().await, Code::DeadlineExceeded as i32);
}

#[tokio::test]
async fn silent_sockets_are_closed_and_stop_no_other_caller() {
    let authority = TestAuthority::with(|config| {
        config.server.connections_max = Some(64);
        config.server.http_connections_max = Some(16);
        config.server.request_timeout = Duration::from_secs(5);
    })
    .await;
    let grpc = authority.config.server.grpc_listen;
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(TcpStream::connect(grpc).await.expect("connects"));
    }
    let labels = [("portcullis_port", "grpc"), ("portcullis_bound", "address")];
    let refused = "portcullis_connections_refused_total";
    counted(&authority, refused, &labels, 300.0 - 32.0).await;

    let elsewhere = Endpoint::from_shared(authority.endpoint())
        .expect("an endpoint")
        .local_address(Some([127, 0, 0, 2].into()))
        .connect()
        .await
        .expect("another address has room");
    let bearer = |mut request: Request<()>| {
        let value = format!("Bearer {LOGIN}").parse().expect("a header value");
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    };
    let mut sessions = SessionServiceClient::new(InterceptedService::new(elsewhere, bearer));
    sessions
        .create_session(sign_in("ada"))
        .await
        .expect("opened");
    assert_eq!(
        get(authority.config.server.http_listen, "/healthz").await,
        "ok\n"
    );

    for socket in &mut silent {
        within("a silent socket to be closed", closed(socket)).await;
    }
    authority.sign_in("bob").await;
}

#[tokio::test]
async fn the_http_port_has_connections_of_its_own() {
    let authority = TestAuthority::with(|config| {
        config.server.http_connections_max = Some(8);
        config.server.request_timeout = Duration::from_secs(2);
    })
    .await;
    let http = authority.config.server.http_listen;
    let mut silent = Vec::new();
    for last in 1..=4 {
        let address = [127, 0, 0, last];
        for _ in 0..16 {
            silent.push(connect_from(address, http).await.expect("connects"));
        }
    }
    authority.sign_in("ada").await;
    for socket in &mut silent {
        within("a silent socket to be closed", closed(socket)).await;
    }
    assert_eq!(get(http, "/healthz").await, "ok\n");
}

#[tokio::test]
async fn half_a_preface_and_half_a_header_are_not_waited_for() {
    let authority =
        TestAuthority::with(|config| config.server.request_timeout = Duration::from_millis(500))
            .await;
    let (grpc, http) = (
        authority.config.server.grpc_listen,
        authority.config.server.http_listen,
    );
    closed_after(grpc, &PREFACE[..10]).await;
    closed_after(grpc, b"").await;
    closed_after(http, b"GET /healthz HTTP/1.1\r\nHost: ").await;
    closed_after(http, b"").await;
    within("a slow header to be given up", drip(http)).await;
}

#[tokio::test]
async fn a_tls_handshake_that_stalls_is_closed_and_counted() {
    let issuer = certificate_authority("ours");
    let authority = TestAuthority::with(|config| {
        speak_tls(config, &issuer, "localhost");
        config.server.request_timeout = Duration::from_millis(500);
    })
    .await;
    let grpc = authority.config.server.grpc_listen;
    // The header of a record that holds a client's hello of 512 bytes, without the hello.
    let half_a_hello = [22, 3, 1, 2, 0];
    closed_after(grpc, b"").await;
    closed_after(grpc, &half_a_hello).await;
    let labels = [
        ("portcullis_port", "grpc"),
        ("portcullis_reason", "handshake_timeout"),
    ];
    let name = "portcullis_connections_ended_total";
    counted(&authority, name, &labels, 2.0).await;
}

/// Takes 35 s: a client may take 30 s for its answer after the deadline of its call.
#[tokio::test]
async fn a_client_that_never_takes_its_answer_is_disconnected() {
    let authority = TestAuthority::with(|config| {
        // Long enough for a busy machine to answer a call, and short enough to wait for.
        config.server.request_timeout = Duration::from_secs(5);
        config.server.call_timeout = Duration::from_secs(5);
    })
    .await;
    authority.sign_in("ada").await;
    // Without room for an answer.
    let connection = Bare::connect(authority.config.server.grpc_listen, 0).await;
    let mut call = connection.begin(LIST_SIGNING_KEYS, OPERATOR).await;
    call.finish();
    let (_header, _body) = call.header().await;

    let ended = timeout(2 * DEADLINE, connection.connection).await;
    assert!(ended.is_ok(), "the connection is still open");
    let labels = [
        ("portcullis_port", "grpc"),
        ("portcullis_reason", "answer_timeout"),
    ];
    let name = "portcullis_connections_ended_total";
    counted(&authority, name, &labels, 1.0).await;
}

/// Sends a header byte by byte, until the other side has enough of it.
async fn drip(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    let begin = b"GET /healthz HTTP/1.1\r\nX: ";
    stream.write_all(begin).await.expect("sent");
    while stream.write_all(b"x").await.is_ok() {
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn an_idle_connection_ends_and_its_client_connects_again() {
    let authority =
        TestAuthority::with(|config| config.server.idle_timeout = Duration::from_secs(1)).await;
    let connection = Bare::connect(authority.config.server.grpc_listen, WINDOW).await;
    let mut sessions = authority.sessions(LOGIN);
    sessions
        .create_session(sign_in("ada"))
        .await
        .expect("opened");

    let ended = within("the idle connection to end", connection.connection).await;
    ended.expect("no panic").expect("a graceful end");
    let labels = [("portcullis_port", "grpc"), ("portcullis_reason", "idle")];
    let name = "portcullis_connections_ended_total";
    counted(&authority, name, &labels, 2.0).await;
    open_session(&sessions, "bob").await;
}

/// Signs in. A client whose connection ends at this very moment gives a call back without having sent it.
async fn open_session(
    sessions: &SessionServiceClient<Transport>,
    user: &str,
) -> v1::CreateSessionResponse {
    let opened = eventually(
        "a connection that does not end just now",
        async || match sessions.clone().create_session(sign_in(user)).await {
            Err(status) if status.message() == "operation was canceled" => None,
            answer => Some(answer),
        },
    )
    .await;
    opened.expect("no call fails").into_inner()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_connection_ends_without_anybody_noticing() {
    let authority =
        TestAuthority::with(|config| config.server.connection_age_max = Duration::from_secs(1))
            .await;
    let gate = authority.ready_gate().await;
    let sessions = authority.sessions(LOGIN);
    let labels = [("portcullis_port", "grpc"), ("portcullis_reason", "age")];
    let name = "portcullis_connections_ended_total";
    let last = eventually("three ages of both connections", async || {
        let last = open_session(&sessions, "ada").await;
        gate.check(&last.access_token).expect("no check fails");
        let ended = metrics(&authority).await.value(name, &labels)?;
        (ended >= 6.0).then_some(last)
    })
    .await;
    revoke(&authority, &last).await;
    refused(&gate, &last.access_token).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_streams_are_bounded_and_do_not_hold_up_a_drain() {
    let mut authority = TestAuthority::with(|config| {
        config.server.public_streams_max = 64;
        config.server.drain_timeout = Duration::from_secs(20);
    })
    .await;
    let connection = Bare::connect(authority.config.server.grpc_listen, WINDOW).await;
    let mut open = Vec::new();
    let mut shed = 0;
    for _ in 0..200 {
        let mut call = connection.begin(HEALTH_WATCH, "").await;
        call.finish();
        let (header, body) = call.header().await;
        match header.get("grpc-status") {
            Some(code) if code == "8" => shed += 1,
            _ => open.push(body),
        }
    }
    assert_eq!((open.len(), shed), (32, 168), "half is for other addresses");

    let begun = Instant::now();
    authority.stop().await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(8), "{took:?}");
    for mut body in open {
        while let Some(data) = body.data().await {
            data.expect("a graceful end");
        }
        let trailers = body.trailers().await.expect("an end").expect("a code");
        assert_eq!(trailers["grpc-status"], "14");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_streams_takes_little_memory() {
    let authority = Serve::start("info", |_| {}).await;
    let before = authority.memory();
    let mut floods = Vec::new();
    for _ in 0..4 {
        floods.push(tokio::spawn(flood(authority.grpc)));
    }
    for flood in floods {
        flood.await.expect("no panic");
    }
    let grown = authority.memory().saturating_sub(before) >> 20;
    assert!(grown < 100, "{grown} MiB more");
}

/// Opens streams without looking whether the other side allows them, and keeps them.
async fn flood(address: SocketAddr) {
    const STREAMS: u32 = 30_000;
    let mut bytes = PREFACE.to_vec();
    bytes.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    // :method POST, :scheme http, :path, :authority, and `te: trailers`, from the static table and as literals.
    let path = HEALTH_WATCH.as_bytes();
    let mut header = vec![0x83, 0x86, 0x04, u8::try_from(path.len()).expect("short")];
    header.extend(path);
    header.extend(b"\x01\x01x\x00\x02te\x08trailers\x0f\x10\x10application/grpc");
    for number in 0..STREAMS {
        let length = u32::try_from(header.len()).expect("short").to_be_bytes();
        bytes.extend(&length[1..]);
        bytes.extend([1, 4]);
        bytes.extend((2 * number + 1).to_be_bytes());
        bytes.extend(&header);
    }

    let stream = TcpStream::connect(address).await.expect("connects");
    let (mut reader, mut writer) = stream.into_split();
    let answers = tokio::spawn(async move {
        let mut sink = tokio::io::sink();
        drop(tokio::io::copy(&mut reader, &mut sink).await);
    });
    // The other side may end the connection, which is right as well.
    drop(writer.write_all(&bytes).await);
    sleep(Duration::from_millis(500)).await;
    answers.abort();
}

#[tokio::test]
async fn a_connection_says_how_many_streams_it_takes() {
    let authority =
        TestAuthority::with(|config| config.server.streams_per_connection_max = 77).await;
    let address = authority.config.server.grpc_listen;
    let mut stream = TcpStream::connect(address).await.expect("connects");
    let settings = [PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
    stream.write_all(&settings).await.expect("sent");

    let mut header = [0; 9];
    stream.read_exact(&mut header).await.expect("a frame");
    assert_eq!(header[3], 4, "the first frame has the settings");
    let mut settings = vec![0; usize::from(header[2])];
    stream.read_exact(&mut settings).await.expect("a frame");
    let max_concurrent_streams = settings.chunks(6).find(|setting| setting[..2] == [0, 3]);
    assert_eq!(
        max_concurrent_streams.map(|setting| &setting[2..]),
        Some(&[0, 0, 0, 77][..])
    );
}

#[tokio::test]
async fn an_ended_token_may_ask_why_for_a_while_and_no_longer() {
    let authority = TestAuthority::with(|config| {
        config.tokens.access_token_lifetime = Duration::from_secs(1);
        config.tokens.ended_token_window = Duration::from_secs(8);
    })
    .await;
    let ada = authority.sign_in("ada").await;
    let sessions = authority.sessions(&ada.access_token);
    let ask = v1::IntrospectTokenRequest::default;
    eventually("the token to have expired", async || {
        let told = sessions
            .clone()
            .introspect_token(ask())
            .await
            .expect("within the window");
        (told.into_inner().inactive_reason == "expired").then_some(())
    })
    .await;
    let refused = eventually("the window to have passed", async || {
        sessions.clone().introspect_token(ask()).await.err()
    })
    .await;
    assert_eq!(reason(&refused), "CREDENTIALS_INVALID");
}

#[tokio::test]
async fn introspection_shows_a_gateway_no_email() {
    let authority = TestAuthority::sqlite().await;
    let mut request = sign_in("ada");
    let user = request.user.as_mut().expect("a user");
    user.email = "ada@example.org".into();
    user.user_name = "ada".into();
    let created = authority.sessions(LOGIN).create_session(request).await;
    let created = created.expect("opened").into_inner();
    for (bearer, email) in [
        (GATEWAY, ""),
        (SUPPORT, "ada@example.org"),
        (ADMIN, "ada@example.org"),
        (created.access_token.as_str(), "ada@example.org"),
    ] {
        let ask = v1::IntrospectTokenRequest {
            tenant_id: TENANT.into(),
            token: created.access_token.clone(),
            ..Default::default()
        };
        let told = authority.sessions(bearer).introspect_token(ask).await;
        let session = told.expect("told").into_inner().session;
        let user = session.and_then(|session| session.user).expect("a user");
        assert_eq!(
            (user.email.as_str(), user.user_name.as_str()),
            (email, "ada")
        );
    }
}

#[tokio::test]
async fn a_refresh_cannot_make_a_token_larger_than_a_sign_in_can() {
    let authority = TestAuthority::sqlite().await;
    let request = v1::CreateSessionRequest {
        amr: vec!["pwd".into(); 8],
        ..sign_in("ada")
    };
    let created = authority.sessions(LOGIN).create_session(request).await;
    let created = created.expect("opened").into_inner();
    let refresh = |audiences: Vec<String>| v1::RefreshSessionRequest {
        tenant_id: TENANT.into(),
        refresh_token: created.refresh_token.clone(),
        audiences,
        ..Default::default()
    };
    // Together 2,048 bytes, without amr.
    let large = vec!["x".repeat(256); 8];
    let mut sessions = authority.sessions(LOGIN);
    let refused = sessions
        .refresh_session(refresh(large))
        .await
        .expect_err("too large");
    assert_eq!(reason(&refused), "INVALID_FIELD");

    // Nothing was rotated: the token is still the newest.
    let first = sessions.refresh_session(refresh(vec![])).await;
    let first = first.expect("refreshed").into_inner();
    assert_ne!(first.refresh_token, created.refresh_token);
}

#[tokio::test]
async fn refused_credentials_are_counted_and_logged_within_bounds() {
    let authority = Serve::start("info", |_| {}).await;
    let mut calls = 0;
    for _ in 0..50 {
        for bearer in ["", "a-secret-that-nobody-has", "not.a.token"] {
            let mut sessions = SessionServiceClient::new(authority.transport(bearer));
            let refused = sessions.create_session(sign_in("ada")).await;
            assert_eq!(refused.expect_err("refused").code(), Code::Unauthenticated);
            calls += 1;
        }
    }
    let scraped = Scraped::of(authority.http).await;
    for reason in ["missing", "unknown_bearer", "malformed"] {
        let name = "portcullis_credentials_refused_total";
        let value = scraped.value(name, &[("portcullis_reason", reason)]);
        assert_eq!(value, Some(50.0), "{reason}");
    }
    let log = authority.log();
    let lines = log.matches("credential refused").count();
    assert!((1..calls / 2).contains(&lines), "{lines} lines");
    assert!(!log.contains("a-secret-that-nobody-has"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_cannot_have_traces_kept() {
    let receiver = Receiver::start().await;
    let endpoint = receiver.endpoint.clone();
    let authority = Serve::start("info", |config| {
        config.telemetry.otlp_endpoint = Some(endpoint);
        config.telemetry.trace_sample_ratio = 0.0;
    })
    .await;
    let sampled = |id: &str| format!("00-{id}-00f067aa0ba902b7-01");
    let (users, nobodys, services) = (
        "0af7651916cd43dd8448eb211c80319c",
        "1af7651916cd43dd8448eb211c80319c",
        "4bf92f3577b34da6a3ce929d0e0e4736",
    );
    let mut login = SessionServiceClient::new(transport(&authority.endpoint(), LOGIN));
    let created = login
        .create_session(sign_in("ada"))
        .await
        .expect("opened")
        .into_inner();

    let with = |trace: &str| {
        let mut request = Request::new(v1::ListSessionsRequest {
            tenant_id: TENANT.into(),
            ..Default::default()
        });
        let value = sampled(trace).parse().expect("a header value");
        request.metadata_mut().insert("traceparent", value);
        request
    };
    let mut of_user = SessionServiceClient::new(authority.transport(&created.access_token));
    of_user.list_sessions(with(users)).await.expect("listed");
    let mut of_nobody = SessionServiceClient::new(authority.transport("nobody"));
    of_nobody
        .list_sessions(with(nobodys))
        .await
        .expect_err("refused");
    let mut of_service = SessionServiceClient::new(authority.transport(SUPPORT));
    of_service
        .list_sessions(with(services))
        .await
        .expect("listed");

    let id = |text: &str| u128::from_str_radix(text, 16).expect("an id");
    receiver.trace(id(services), 1).await;
    let received = receiver.spans();
    for id in [users, nobodys].map(id) {
        let kept = received
            .iter()
            .any(|received| received.span.trace_id == id.to_be_bytes());
        assert!(!kept, "a user's word was taken");
    }
}
