//! The server that all doors stand before. It answers with the request that reached it, and keeps count.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{
        Request, State,
        ws::{Message, WebSocket, WebSocketUpgrade},
    },
    middleware::{self, Next},
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
    routing::{any, get},
};
use futures::{Stream, StreamExt, stream};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;
use tonic_health::server::HealthReporter;

/// The header by which a test marks a request, to ask whether it reached the upstream.
pub const MARK: &str = "x-mark";

/// The path of the WebSocket that echoes.
pub const WEBSOCKET: &str = "/ws";

/// The path of the event stream, which has an event every 10 ms. It is below `/programs` too.
pub const EVENTS: &str = "/events";

/// The path of the download that never ends.
pub const DOWNLOAD: &str = "/download";

/// The path of the gRPC call whose answer never ends.
pub const GRPC_STREAM: &str = "/grpc.health.v1.Health/Watch";

/// The time between two parts of a stream.
const TICK: Duration = Duration::from_millis(10);

/// The bytes of one part of the download.
const DOWNLOAD_PART_BYTES: usize = 1024;

/// The most bytes of a request's body.
const BODY_BYTES_MAX: usize = 1 << 20;

/// The most marks that are counted.
const MARKS_MAX: usize = 400_000;

/// A request as it reached the upstream.
#[derive(Debug, Serialize, Deserialize)]
pub struct Echo {
    /// The method.
    pub method: String,
    /// The target: path and query, or the whole URI if the door sent that.
    pub target: String,
    /// The version, such as `HTTP/1.1`.
    pub version: String,
    /// All headers in their order. Names are in lower case; bytes that are not UTF-8 are replaced.
    pub headers: Vec<(String, String)>,
    /// All trailers of the body.
    pub trailers: Vec<(String, String)>,
    /// The length of the body.
    pub body_bytes: usize,
}

impl Echo {
    /// All values of a header, or of a trailer of that name.
    #[must_use]
    pub fn values(&self, name: &str) -> Vec<&str> {
        let all = self.headers.iter().chain(&self.trailers);
        all.filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The one value of a header.
    ///
    /// # Panics
    /// When there are several.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        let values = self.values(name);
        assert!(values.len() <= 1, "{name} came {} times", values.len());
        values.first().copied()
    }
}

/// A running upstream on a free port: HTTP/1.1, and HTTP/2 by prior knowledge.
///
/// - [`WEBSOCKET`] echoes messages.
/// - [`EVENTS`], [`DOWNLOAD`] and [`GRPC_STREAM`] are answers without an end.
/// - Every other path answers 200 with an [`Echo`] of the request, whatever its method.
pub struct Upstream {
    address: SocketAddr,
    state: Arc<Shared>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    marks: Mutex<HashMap<String, u64>>,
    ended: CancellationToken,
}

impl Upstream {
    /// Starts it.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(Shared::default());
        let router = router(&state);
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("it serves");
        });
        Self {
            address,
            state,
            serving,
        }
    }

    /// The address to which doors forward.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its routes, for a door that is a layer of the service itself. The marks are shared.
    pub fn router(&self) -> Router {
        router(&self.state)
    }

    /// How many requests with this mark reached it.
    ///
    /// # Panics
    /// Never: no holder of the lock panics.
    #[must_use]
    pub fn reached(&self, mark: &str) -> u64 {
        let marks = self.state.marks.lock().expect("whole");
        marks.get(mark).copied().unwrap_or_default()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.state.ended.cancel();
        self.serving.abort();
    }
}

fn router(state: &Arc<Shared>) -> Router {
    let (reporter, health) = tonic_health::server::health_reporter();
    let grpc = tonic::service::Routes::new(health).into_axum_router();
    Router::new()
        .route(WEBSOCKET, any(websocket))
        .route(EVENTS, get(events))
        .route(&format!("/programs{EVENTS}"), get(events))
        .route(DOWNLOAD, get(download))
        .route(GRPC_STREAM, grpc_route(grpc, reporter))
        .fallback(echo)
        .layer(middleware::from_fn_with_state(Arc::clone(state), count))
        .with_state(Arc::clone(state))
}

/// A health service for as long as its route lives: without the reporter its streams would end.
fn grpc_route(grpc: Router, reporter: HealthReporter) -> axum::routing::MethodRouter<Arc<Shared>> {
    let handler = move |request: Request| {
        let _kept = reporter.clone();
        let grpc = grpc.clone();
        async move {
            tower::ServiceExt::oneshot(grpc, request)
                .await
                .into_response()
        }
    };
    any(handler)
}

/// Counts a request by its mark, before anything answers it.
async fn count(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    for mark in request.headers().get_all(MARK) {
        let mark = String::from_utf8_lossy(mark.as_bytes()).into_owned();
        let mut marks = shared.marks.lock().expect("whole");
        assert!(marks.len() < MARKS_MAX, "too many marks");
        *marks.entry(mark).or_default() += 1;
    }
    next.run(request).await
}

async fn echo(request: Request) -> Response {
    use http_body_util::BodyExt;
    let (parts, body) = request.into_parts();
    let limited = http_body_util::Limited::new(body, BODY_BYTES_MAX);
    let Ok(collected) = limited.collect().await else {
        return http::StatusCode::BAD_REQUEST.into_response();
    };
    let trailers = collected.trailers().map(pairs).unwrap_or_default();
    let echo = Echo {
        method: parts.method.to_string(),
        target: parts.uri.to_string(),
        version: format!("{:?}", parts.version),
        headers: pairs(&parts.headers),
        trailers,
        body_bytes: collected.to_bytes().len(),
    };
    Json(echo).into_response()
}

fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    let pairs = headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.to_string(), value)
    });
    pairs.collect()
}

async fn websocket(State(shared): State<Arc<Shared>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(|socket| async move {
        tokio::select! {
            () = echo_messages(socket) => {}
            () = shared.ended.cancelled() => {}
        }
    })
}

async fn echo_messages(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if matches!(message, Message::Text(_) | Message::Binary(_))
            && socket.send(message).await.is_err()
        {
            return;
        }
    }
}

async fn events(
    State(shared): State<Arc<Shared>>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    Sse::new(ticks(&shared).map(|number| Ok(Event::default().data(number.to_string()))))
}

async fn download(State(shared): State<Arc<Shared>>) -> Response {
    let part = Bytes::from_static(&[b'.'; DOWNLOAD_PART_BYTES]);
    let parts = ticks(&shared).map(move |_| Ok::<_, Infallible>(part.clone()));
    Response::new(Body::from_stream(parts))
}

/// Counts from 0, a number every [`TICK`], until the upstream ends.
fn ticks(shared: &Shared) -> impl Stream<Item = u64> + use<> {
    let ended = shared.ended.clone();
    let numbers = stream::unfold(0, |number| async move {
        if number > 0 {
            sleep(TICK).await;
        }
        Some((number, number + 1))
    });
    numbers.take_until(ended.cancelled_owned())
}
