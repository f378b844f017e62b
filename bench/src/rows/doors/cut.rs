//! From the acknowledgement of an end to the end of the live WebSockets of the session.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use axum::{
    Extension, Router,
    extract::ws::{CloseFrame, Message, WebSocketUpgrade},
    response::Response,
    routing::{MethodRouter, any},
};
use futures::{Sink, SinkExt, Stream, StreamExt, future::try_join_all};
use portcullis_validator::{Admission, CLOSE_CODE, CutSocket, Rejection};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{interval, timeout},
};

use crate::{
    doors::{
        Session, Settings, admits,
        envoy::{Envoy, Filter},
        layer::Service,
        sign_in_many,
    },
    effort::Effort,
    load::get,
    measure::median,
    report::{Bar, Report},
    world::{World, revoke},
};

const SOCKET: &str = "/socket";
/// The time between two messages of a server to each client.
const MESSAGE_INTERVAL: Duration = Duration::from_millis(500);
const MANY: usize = 1_000;
/// Streams that are opened at a time.
const OPENING: usize = 50;
const ROUNDS_OF_ONE: usize = 40;
const ROUNDS_OF_MANY: usize = 5;
/// The time until a stream of an ended session must have ended.
const END_MAX: Duration = Duration::from_secs(20);

/// Milliseconds of the median.
const ONE_MAX: f64 = 1.0;
const MANY_MAX: f64 = 50.0;

pub(crate) async fn run(effort: Effort, report: &mut Report) -> Result<()> {
    let world = World::start().await?;
    let upstream = Upstream::start().await?;
    let settings = Settings {
        endpoint: world.authority.endpoint().to_owned(),
        upstream: upstream.address,
        max_staleness: Duration::from_secs(30),
    };
    let envoy = Envoy::start(&Filter::Module, &settings, 1).await?;
    let one = (ROUNDS_OF_ONE, 1, ONE_MAX);
    let many = (ROUNDS_OF_MANY, MANY, MANY_MAX);
    let service = Service::start(&settings, routes(any(guarded))).await?;
    let rows = [
        ("cut_stream_module", envoy.address(), one),
        ("cut_stream_layer", service.address(), one),
        ("cut_stream_module_1000", envoy.address(), many),
        ("cut_stream_layer_1000", service.address(), many),
    ];
    for (name, address, (rounds, streams, most)) in rows {
        let sessions = sign_in_many(&world.authority, effort.count(rounds)).await?;
        let mut times = Vec::new();
        for session in &sessions {
            let time = cut(&world, address, session, streams);
            times.push(time.await.with_context(|| format!("measuring {name}"))?);
        }
        report.add_within(name, median(times), "ms", Bar::ValueAtMost(most));
    }
    Ok(())
}

/// Milliseconds from the acknowledgement until the last of the streams has ended. No byte comes after that.
async fn cut(world: &World, address: SocketAddr, session: &Session, count: usize) -> Result<f64> {
    admits(address, &session.token).await?;
    let mut ending = Vec::with_capacity(count);
    while ending.len() < count {
        let opening = (ending.len()..count).take(OPENING);
        let opened = try_join_all(opening.map(|_| open(address, &session.token))).await?;
        // A task each, as a stream has in a program.
        ending.extend(opened.into_iter().map(|stream| tokio::spawn(end(stream))));
    }
    ensure!(
        ending.iter().all(|stream| !stream.is_finished()),
        "a live stream ended"
    );

    let mut sessions = world.authority.sessions().await?;
    revoke(&mut sessions, session.id.clone()).await?;
    let acknowledged = Instant::now();
    let mut last = acknowledged;
    for stream in ending {
        last = last.max(stream.await??);
    }
    Ok((last - acknowledged).as_secs_f64() * 1000.0)
}

/// Opens a WebSocket, and returns it after its first message.
async fn open(address: SocketAddr, token: &str) -> Result<TcpStream> {
    let upgrade = get(
        SOCKET,
        &[
            format!("Authorization: Bearer {token}"),
            "Connection: Upgrade".into(),
            "Upgrade: websocket".into(),
            "Sec-WebSocket-Version: 13".into(),
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==".into(),
        ],
    );
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(&upgrade).await?;
    let mut answer = Vec::with_capacity(1024);
    let message = loop {
        let read = timeout(END_MAX, stream.read_buf(&mut answer)).await??;
        ensure!(read > 0, "closed before the upgrade");
        let head = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        if let Some(head) = head
            && answer.len() > head + 4
        {
            break head + 4;
        }
    };
    let text = String::from_utf8_lossy(&answer[..message]);
    ensure!(text.starts_with("HTTP/1.1 101 "), "no upgrade: {text}");
    Ok(stream)
}

/// Reads a stream to its end, whether closed or reset, and returns when that was.
async fn end(mut stream: TcpStream) -> Result<Instant> {
    let mut bytes = [0; 1024];
    let reading = async {
        while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
        Instant::now()
    };
    // A stream of its own may wait for long until its session is ended.
    timeout(4 * END_MAX, reading)
        .await
        .context("a stream of an ended session goes on")
}

/// A server of WebSockets, in this process.
struct Upstream {
    address: SocketAddr,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Upstream {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let routes = routes(any(unguarded));
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(Self { address, serving })
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// WebSockets, and an answer to everything else.
fn routes(socket: MethodRouter) -> Router {
    Router::new().route(SOCKET, socket).fallback(async || "ok")
}

/// A WebSocket behind a door that cuts it.
async fn unguarded(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(serve)
}

/// A WebSocket of a service with the layer.
async fn guarded(
    upgrade: WebSocketUpgrade,
    Extension(admission): Extension<Admission>,
) -> Response {
    upgrade.on_upgrade(async move |socket| serve(CutSocket::new(socket, &admission, close)).await)
}

fn close(rejection: &Rejection) -> Message {
    Message::Close(Some(CloseFrame {
        code: CLOSE_CODE,
        reason: rejection.reason().into(),
    }))
}

/// Sends a message now and then, until the socket ends.
async fn serve<E>(mut socket: impl Stream<Item = Result<Message, E>> + Sink<Message> + Unpin) {
    let mut ticks = interval(MESSAGE_INTERVAL);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                if socket.send("tick".into()).await.is_err() {
                    return;
                }
            }
            received = socket.next() => {
                if !matches!(received, Some(Ok(_))) {
                    return;
                }
            }
        }
    }
}
