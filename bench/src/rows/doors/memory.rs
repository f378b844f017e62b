//! Memory of the sidecar and of the module, with many tokens, revocations and streams.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use axum::{
    Router,
    body::{Body, Bytes},
    routing::get as route_get,
};
use futures::{StreamExt, future::try_join_all, stream};
use http::{Request, StatusCode, header::AUTHORIZATION};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

use crate::{
    doors::{
        Settings, admits,
        envoy::{Envoy, Filter},
        sidecar::{Sidecar, Verify},
    },
    effort::Effort,
    load::{Connection, HOST, with_token},
    measure::resident_kib,
    replay::Replay,
    report::{Bar, Report},
    rows::{doors::sidecar::verify_token, validate},
};

/// As many as the caches of both hold by default.
const TOKENS: usize = 100_000;
const STREAMS: usize = 10_000;
const STREAMS_PER_CONNECTION: usize = 100;
const CONNECTIONS: usize = 8;

const RSS_MAX_MIB: f64 = 128.0;
const STREAM_MAX_KIB: f64 = 1.0;

pub(crate) async fn run(effort: Effort, report: &mut Report) -> Result<()> {
    // A million of revocations.
    let (view, signer) = validate::view_with_revocations()?;
    let log = Replay::start(view)?;
    let tokens = (0..effort.count(TOKENS) as u64).map(|index| validate::token(&signer, index));
    let tokens: Arc<Vec<String>> = Arc::new(tokens.collect::<Result<_>>()?);
    let upstream = Upstream::start().await?;
    let settings = Settings {
        endpoint: log.endpoint().to_owned(),
        upstream: upstream.address,
        max_staleness: Duration::from_secs(30),
    };

    let sidecar = Sidecar::start(&settings, Verify::Tcp).await?;
    send_all(sidecar.forward_auth().parse()?, &tokens, verify_token).await?;
    report.add_within(
        "sidecar_rss",
        resident_kib(sidecar.id())? / 1024.0,
        "MiB",
        Bar::ValueAtMost(RSS_MAX_MIB),
    );
    drop(sidecar);

    let streams = effort.count(STREAMS);
    let plain = footprint(&Filter::None, &settings, &tokens, streams).await?;
    let module = footprint(&Filter::Module, &settings, &tokens, streams).await?;
    report.compare_within(
        "module_rss",
        (module.tokens - plain.tokens) / 1024.0,
        "MiB added",
        ("Envoy without a filter (MiB)", plain.tokens / 1024.0),
        Bar::ValueAtMost(RSS_MAX_MIB),
    );
    report.compare_within(
        "module_stream",
        module.stream - plain.stream,
        "KiB added",
        ("a stream without a filter (KiB)", plain.stream),
        Bar::ValueAtMost(STREAM_MAX_KIB),
    );
    Ok(())
}

/// Resident memory of an Envoy, in KiB.
struct Footprint {
    /// After a request of every token.
    tokens: f64,
    /// Of one open stream.
    stream: f64,
}

async fn footprint(
    filter: &Filter,
    settings: &Settings,
    tokens: &Arc<Vec<String>>,
    streams: usize,
) -> Result<Footprint> {
    let envoy = Envoy::start(filter, settings, 1).await?;
    admits(envoy.address(), &tokens[0]).await?;
    send_all(envoy.address(), tokens, with_token).await?;
    let before = resident_kib(envoy.id())?;

    let connections = streams.div_ceil(STREAMS_PER_CONNECTION);
    let count = streams / connections;
    let mut open = Vec::with_capacity(connections);
    for number in 0..connections {
        // Each connection has a session of its own.
        open.push(open_streams(envoy.address(), &tokens[number], count).await?);
    }
    let after = resident_kib(envoy.id())?;
    let streams = (connections * count) as f64;
    drop(open);
    Ok(Footprint {
        tokens: before,
        stream: (after - before) / streams,
    })
}

/// Sends a request with each token.
async fn send_all(
    address: SocketAddr,
    tokens: &Arc<Vec<String>>,
    request: fn(&str) -> Vec<u8>,
) -> Result<()> {
    let mut tasks = JoinSet::new();
    for first in 0..CONNECTIONS {
        let tokens = Arc::clone(tokens);
        tasks.spawn(async move {
            let mut connection = Connection::new(address);
            for token in tokens.iter().skip(first).step_by(CONNECTIONS) {
                let status = connection.exchange(&request(token)).await?;
                ensure!(status == 200, "a live session gets {status}");
            }
            Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

/// Streams on one HTTP/2 connection, which stay open.
struct Streams {
    driving: JoinHandle<()>,
    _bodies: Vec<h2::RecvStream>,
}

impl Drop for Streams {
    fn drop(&mut self) {
        self.driving.abort();
    }
}

async fn open_streams(address: SocketAddr, token: &str, count: usize) -> Result<Streams> {
    let stream = TcpStream::connect(address).await?;
    let (client, connection) = h2::client::handshake(stream).await?;
    let driving = tokio::spawn(async move {
        // The streams tell of an error.
        let _ended = connection.await;
    });
    let open = |_| async {
        let request = Request::get(format!("http://{HOST}{EVENTS}"))
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .body(())?;
        let mut ready = client.clone().ready().await?;
        let (answer, _) = ready.send_request(request, true)?;
        let answer = answer.await?;
        ensure!(answer.status() == StatusCode::OK, "{}", answer.status());
        let mut body = answer.into_body();
        body.data().await.context("no event")??;
        Ok(body)
    };
    let bodies = try_join_all((0..count).map(open)).await?;
    Ok(Streams {
        driving,
        _bodies: bodies,
    })
}

const EVENTS: &str = "/events";

/// A server, in this process, of streams that say one thing and stay open.
struct Upstream {
    address: SocketAddr,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Upstream {
    async fn start() -> Result<Self> {
        let routes = Router::new()
            .route(EVENTS, route_get(events))
            .fallback(async || "ok");
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(Self { address, serving })
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn events() -> Body {
    let first = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"data: open\n\n"))]);
    Body::from_stream(first.chain(stream::pending()))
}
