//! One listener: it accepts a bounded number of connections, and sets a deadline for each thing that a peer may delay.

use std::{
    convert::Infallible,
    error::Error,
    io,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::FutureExt;
use http::{Request, Response};
use http_body::Body;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use portcullis_gate::HEAD_BYTES_MAX;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Semaphore,
    time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Listener, bind::Stream};
use crate::{config::LimitsConfig, telemetry::Instruments};

/// The time between two pings to an HTTP/2 peer, and the longest time until it answers one.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// The most bytes of a request's header: the client's own ones as far as the gate looks at them, and as many of the
/// gateway.
const HEADER_BYTES_MAX: usize = 2 * HEAD_BYTES_MAX;
/// The most header fields of one HTTP/1 request.
const HEADERS_MAX: usize = 256;
/// The most streams of one connection that the peer resets before they are accepted. More end the connection.
const PENDING_RESETS_MAX: usize = 20;
/// The most resets that this side sends to one connection because of its mistakes. More end the connection.
const ERROR_RESETS_MAX: usize = 128;
/// The pause after the system had no descriptor left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The protocol of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// Answers the requests of a listener.
pub(crate) trait Handler: Send + Sync + 'static {
    /// The body of answers.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static;

    /// Answers one request.
    fn handle(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;

    /// The refusal of a request that took too long, or whose handler panicked.
    fn unavailable(&self) -> Response<Self::Body>;
}

/// A listener with the handler of its requests.
pub(crate) struct Port<H> {
    /// The name in metrics and logs.
    pub(crate) name: &'static str,
    pub(crate) protocol: Protocol,
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) limits: LimitsConfig,
    pub(crate) handler: H,
    pub(crate) instruments: Arc<Instruments>,
    /// Cancelled when the listener has to end.
    pub(crate) close: CancellationToken,
}

/// Accepts connections until the port is closed, then waits until the open ones have ended.
pub(crate) async fn serve<H: Handler>(listener: Listener, port: Port<H>) {
    let port = Arc::new(port);
    let places = Arc::new(Semaphore::new(port.limits.connections_max));
    let builder = Arc::new(port.builder());
    let connections = TaskTracker::new();
    let close = port.close.clone();
    loop {
        // A place first: connections beyond the bound wait in the system's queue, and cost nothing here.
        let place = close.run_until_cancelled(Arc::clone(&places).acquire_owned());
        let Some(Ok(place)) = place.await else { break };
        match close.run_until_cancelled(listener.accept()).await {
            None => break,
            Some(Ok(stream)) => {
                let port = Arc::clone(&port);
                let builder = Arc::clone(&builder);
                connections.spawn(async move {
                    port.serve_connection(&builder, stream).await;
                    drop(place);
                });
            }
            Some(Err(error)) if is_about_one_connection(&error) => {}
            Some(Err(error)) => {
                tracing::error!(listener = port.name, %error, "cannot accept a connection");
                // Trying again at once would spin for as long as the descriptors are used up.
                close.run_until_cancelled(sleep(ACCEPT_PAUSE)).await;
            }
        }
    }

    // From here on the system refuses new connections, so that gateways go elsewhere.
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Returns true if an error of `accept` is about the connection, and not about this process.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

impl<H: Handler> Port<H> {
    fn builder(&self) -> Builder<TokioExecutor> {
        let limits = &self.limits;
        let mut builder = Builder::new(TokioExecutor::new());
        // A listener speaks one protocol, so that nothing is spent on guessing it.
        builder = match self.protocol {
            Protocol::Http1 => builder.http1_only(),
            Protocol::Http2 => builder.http2_only(),
        };
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.idle_timeout)
            .max_buf_size(HEADER_BYTES_MAX)
            .max_headers(HEADERS_MAX);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE)
            .max_concurrent_streams(limits.streams_per_connection_max)
            .max_header_list_size(HEADER_BYTES_MAX as u32)
            .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
            .max_local_error_reset_streams(ERROR_RESETS_MAX);
        builder
    }

    /// Serves a connection to its end.
    async fn serve_connection(self: &Arc<Self>, builder: &Builder<TokioExecutor>, stream: Stream) {
        let _open = self.instruments.open_connection(self.name);
        let Some(tls) = &self.tls else {
            return self.drive(builder, stream).await;
        };
        // Port scans fail here all the time, so a failed handshake has no line above debug.
        match timeout(self.limits.request_timeout, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.drive(builder, stream).await,
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => tracing::debug!("TLS handshake took too long"),
        }
    }

    /// Drives HTTP on a connection. An idle one, and every one at the end of the listener, is asked to end, and then
    /// ended.
    async fn drive<IO>(self: &Arc<Self>, builder: &Builder<TokioExecutor>, io: IO)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let requests = Arc::new(AtomicU64::new(0));
        let service = {
            let port = Arc::clone(self);
            let requests = Arc::clone(&requests);
            service_fn(move |request| {
                requests.fetch_add(1, Relaxed);
                let port = Arc::clone(&port);
                async move { port.answer(request).await }
            })
        };
        let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));

        let idle_timeout = self.limits.idle_timeout;
        let mut looks = interval_at(Instant::now() + idle_timeout, idle_timeout);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut requests_before = 0;
        loop {
            tokio::select! {
                // An error is the peer's mistake, and of no interest to the operator.
                _ = connection.as_mut() => return,
                () = self.close.cancelled() => break,
                _ = looks.tick() => {
                    // hyper ends idle HTTP/1 connections, and has no bound for HTTP/2 ones and for their preface.
                    let requests = requests.load(Relaxed);
                    if requests == requests_before {
                        break;
                    }
                    requests_before = requests;
                }
            }
        }
        connection.as_mut().graceful_shutdown();
        let end = sleep_until(Instant::now() + self.limits.drain_timeout);
        tokio::select! {
            _ = connection => {}
            () = end => {}
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<H::Body>, Infallible> {
        let handling = AssertUnwindSafe(self.handler.handle(request)).catch_unwind();
        match timeout(self.limits.request_timeout, handling).await {
            Ok(Ok(response)) => Ok(response),
            // A panic was logged by its hook.
            Ok(Err(_)) | Err(_) => Ok(self.handler.unavailable()),
        }
    }
}
