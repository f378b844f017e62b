//! A reverse proxy that is a gate: copy it, and change what you need.
//!
//! Each request is decided by the rules, and streamed to the upstream and back. When a session ends, its open streams
//! are cut: downloads, uploads, event streams, calls of gRPC and WebSockets.

mod headers;
mod health;

use std::{
    convert::Infallible, future::pending, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration,
};

use http_body_util::{Either, Full};
use hyper::{
    Method, Request, Response, StatusCode, Version,
    body::{Body as _, Bytes, Incoming},
    http::uri::{Authority, Scheme, Uri},
    service::service_fn,
    upgrade::{self, OnUpgrade},
};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use portcullis_validator::{
    Admission, CutBody, Rules, RulesError, Validator, ValidatorLayer, run_until_ended,
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tower::{Layer, ServiceExt};

use crate::headers::{is_grpc, remove_hop_headers, set_forwarded};

/// The rules of `rules.toml`, for a gateway that is told no others.
pub const RULES: &str = include_str!("../rules.toml");

/// The most open connections of clients, WebSockets among them.
const CONNECTIONS_MAX: usize = 10_000;
/// The most requests at a time of one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;
/// The longest time in which a client sends the head of a request, and in which an HTTP/2 connection answers a ping.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(15);
/// The longest time to connect to the upstream.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest time in which the upstream begins its answer to a request without a body.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// The same, for a request whose body may take its time.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(3_600);
/// The longest time in which open requests end when the gateway ends.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause after a connection that could not be accepted, for example because there were too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

type Body = Either<Incoming, Full<Bytes>>;
type Answer = Either<CutBody<Body>, Full<Bytes>>;
type Upstream = legacy::Client<HttpConnector, CutBody<Incoming>>;

/// The gateway. Make one, and [`serve`](Self::serve) it.
pub struct Gateway {
    validator: Validator,
    layer: ValidatorLayer,
    upstream: Authority,
    http1: Upstream,
    /// For calls of gRPC, which are HTTP/2.
    http2: Upstream,
}

impl Gateway {
    /// Makes a gateway before the upstream at `upstream`, for example `127.0.0.1:8080`, which only it may reach.
    ///
    /// # Errors
    /// When the rules are not good. The error names the key.
    pub fn new(
        validator: &Validator,
        rules: &Rules,
        upstream: Authority,
    ) -> Result<Self, RulesError> {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        let mut client = legacy::Client::builder(TokioExecutor::new());
        client.pool_timer(TokioTimer::new());
        let layer = ValidatorLayer::new(validator.clone(), rules)?
            .peer(|extensions| Some(extensions.get::<Client>()?.peer.ip()));
        Ok(Self {
            validator: validator.clone(),
            layer,
            upstream,
            http1: client.build(connector.clone()),
            http2: client.http2_only(true).build(connector),
        })
    }

    /// Serves the connections of `listener` until `shutdown` resolves, and then lets open requests end.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let gateway = Arc::new(self);
        let server = server();
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let connections = GracefulShutdown::new();
        let mut shutdown = pin!(shutdown);
        loop {
            let (stream, peer, slot) = tokio::select! {
                () = &mut shutdown => break,
                accepted = accept(&listener, &slots) => accepted,
            };
            let client = Client {
                peer,
                _slot: Arc::new(slot),
                spoke: Arc::default(),
            };
            let (gateway, spoke) = (Arc::clone(&gateway), Arc::clone(&client.spoke));
            let service =
                service_fn(move |request| Arc::clone(&gateway).answer(request, client.clone()));
            let connection = server.serve_connection_with_upgrades(TokioIo::new(stream), service);
            let connection = connections.watch(connection.into_owned());
            tokio::spawn(async move {
                tokio::select! {
                    // An error is the client's, or a stream that was cut.
                    _ended = connection => {}
                    () = silence(&spoke) => {}
                }
            });
        }
        drop(listener);
        // Streams that are still open then are cut, because their tasks end with the runtime.
        let _drained = timeout(DRAIN_TIMEOUT, connections.shutdown()).await;
    }

    async fn answer(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        client: Client,
    ) -> Result<Response<Answer>, Infallible> {
        client.spoke.notify_one();
        if request.uri().path() == health::PATH {
            let answer = health::answer(self.validator.freshness());
            return Ok(answer.map(Either::Right));
        }
        // Before the gate sets its own headers: a client must not name one of those in `Connection`.
        remove_hop_headers(request.headers_mut());
        request.extensions_mut().insert(client);
        let upstream = tower::service_fn(|request| self.forward(request));
        let answer = self.layer.layer(upstream).oneshot(request).await?;
        Ok(answer.map(Either::Left))
    }

    async fn forward(
        &self,
        request: Request<CutBody<Incoming>>,
    ) -> Result<Response<Body>, Infallible> {
        let response = self.pass(request).await;
        Ok(response.unwrap_or_else(|status| {
            let mut response = Response::new(Either::Right(Full::default()));
            *response.status_mut() = status;
            response
        }))
    }

    /// Passes an admitted request on to the upstream, and its answer back.
    async fn pass(
        &self,
        mut request: Request<CutBody<Incoming>>,
    ) -> Result<Response<Body>, StatusCode> {
        if request.method() == Method::CONNECT {
            return Err(StatusCode::METHOD_NOT_ALLOWED);
        }
        let upgraded = request.extensions_mut().remove::<OnUpgrade>();
        let admission = request.extensions_mut().remove::<Admission>();
        let client = request.extensions_mut().remove::<Client>();
        let (Some(admission), Some(client)) = (admission, client) else {
            return Err(StatusCode::INTERNAL_SERVER_ERROR);
        };

        set_forwarded(&mut request, client.peer.ip());
        let (upstream, version) = if is_grpc(request.headers()) {
            (&self.http2, Version::HTTP_2)
        } else {
            (&self.http1, Version::HTTP_11)
        };
        *request.version_mut() = version;
        *request.uri_mut() = self.upstream_uri(request.uri())?;
        let patience = if request.body().is_end_stream() {
            ANSWER_TIMEOUT
        } else {
            UPLOAD_TIMEOUT
        };
        let answer = timeout(patience, upstream.request(request)).await;
        let answer = answer.map_err(|_| StatusCode::GATEWAY_TIMEOUT)?;
        let mut response = answer.map_err(|_| StatusCode::BAD_GATEWAY)?;

        remove_hop_headers(response.headers_mut());
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let upgraded = upgraded.ok_or(StatusCode::BAD_GATEWAY)?;
            tokio::spawn(tunnel(
                upgraded,
                upgrade::on(&mut response),
                admission,
                client,
            ));
        }
        Ok(response.map(Either::Left))
    }

    /// Returns the same target at the upstream, byte for byte: the rules have judged this one.
    fn upstream_uri(&self, target: &Uri) -> Result<Uri, StatusCode> {
        let target = target.path_and_query().ok_or(StatusCode::BAD_REQUEST)?;
        let uri = Uri::builder()
            .scheme(Scheme::HTTP)
            .authority(self.upstream.clone())
            .path_and_query(target.clone());
        uri.build().map_err(|_| StatusCode::BAD_REQUEST)
    }
}

/// The client of a connection.
#[derive(Clone)]
struct Client {
    peer: SocketAddr,
    /// Whether it has sent the head of a request.
    spoke: Arc<Notify>,
    /// Its place among the connections, which a WebSocket keeps.
    _slot: Arc<OwnedSemaphorePermit>,
}

fn server() -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(CLIENT_TIMEOUT)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .keep_alive_interval(CLIENT_TIMEOUT)
        .keep_alive_timeout(CLIENT_TIMEOUT);
    server
}

/// Accepts the next connection when there is a place for it.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    loop {
        // The semaphore is never closed.
        let Ok(slot) = Arc::clone(slots).acquire_owned().await else {
            continue;
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Without it, Nagle's algorithm delays small answers.
                let _unsupported = stream.set_nodelay(true);
                return (stream, peer, slot);
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Resolves when a client sends no request for too long after it has connected.
async fn silence(spoke: &Notify) {
    if timeout(CLIENT_TIMEOUT, spoke.notified()).await.is_ok() {
        // The server has timeouts of its own from now on.
        pending::<()>().await;
    }
}

/// Copies between the two sides of an upgraded connection, until one ends or the session does.
async fn tunnel(client: OnUpgrade, upstream: OnUpgrade, admission: Admission, _slot: Client) {
    let _ended = run_until_ended(&admission, async {
        let (client, upstream) = tokio::try_join!(client, upstream).map_err(io::Error::other)?;
        let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
        copy_bidirectional(&mut client, &mut upstream).await
    })
    .await;
}
