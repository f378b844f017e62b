//! Drives HTTP on one connection.

use std::{
    error::Error,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::{
    body::Incoming,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, MissedTickBehavior, interval_at, sleep_until},
};

use super::{Bounds, Port, Protocol};

/// An error of a service or of a body.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// The most streams of one connection that the peer resets before they are accepted. More end the connection.
const PENDING_RESETS_MAX: usize = 20;
/// The most resets that this side sends to one connection because of its mistakes. More end the connection.
const ERROR_RESETS_MAX: usize = 128;

/// Drives HTTP on the connections of a port.
pub(super) struct Driver {
    builder: Builder<TokioExecutor>,
    pub(super) port: Port,
}

impl Driver {
    pub(super) fn new(port: Port) -> Self {
        Self {
            builder: builder(port.protocol, &port.bounds),
            port,
        }
    }

    /// Drives HTTP on a connection. An idle one, and every one at the end of the listener, is asked to end, and then
    /// ended.
    pub(super) async fn drive<IO, S, B>(&self, io: IO, service: S)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let progress = Arc::new(AtomicU64::new(0));
        let service = counted(service, Arc::clone(&progress));
        let connection = self.builder.serve_connection(TokioIo::new(io), service);
        let mut connection = pin!(connection);

        let idle_timeout = self.port.bounds.idle_timeout;
        let mut looks = interval_at(Instant::now() + idle_timeout, idle_timeout);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = 0;
        loop {
            tokio::select! {
                // An error is the peer's mistake, and of no interest to the operator.
                _ = connection.as_mut() => return,
                () = self.port.close.cancelled() => break,
                _ = looks.tick() => {
                    // hyper ends idle HTTP/1 connections, and has no bound for HTTP/2 ones and for their preface.
                    let now = progress.load(Relaxed);
                    if now == before {
                        break;
                    }
                    before = now;
                }
            }
        }
        connection.as_mut().graceful_shutdown();
        let end = sleep_until(Instant::now() + self.port.bounds.drain_timeout);
        tokio::select! {
            _ = connection => {}
            () = end => {}
        }
    }
}

/// Counts the requests of a connection and the parts of their answers. Pings are no progress: a peer that only answers
/// them is idle.
fn counted<S, B>(
    service: S,
    progress: Arc<AtomicU64>,
) -> impl Service<
    Request<Incoming>,
    Response = Response<impl Body<Data = B::Data, Error = B::Error> + Send + 'static>,
    Error = BoxError,
    Future: Send + 'static,
>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>>,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
{
    service_fn(move |request| {
        progress.fetch_add(1, Relaxed);
        let progress = Arc::clone(&progress);
        let answer = service.call(request);
        async move {
            let response = answer.await.map_err(Into::into)?;
            Ok(response.map(|body| {
                body.inspect_frame(move |_| {
                    progress.fetch_add(1, Relaxed);
                })
            }))
        }
    })
}

fn builder(protocol: Protocol, bounds: &Bounds) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder = match protocol {
        Protocol::Http1 => builder.http1_only(),
        Protocol::Http2 => builder.http2_only(),
        Protocol::Either => builder,
    };
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.idle_timeout)
        .max_buf_size(bounds.header_bytes_max)
        .max_headers(bounds.headers_max);
    let header_list_bytes_max = u32::try_from(bounds.header_bytes_max).unwrap_or(u32::MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(bounds.keepalive)
        .keep_alive_timeout(bounds.keepalive)
        .max_concurrent_streams(bounds.streams_per_connection_max)
        .max_header_list_size(header_list_bytes_max)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_local_error_reset_streams(ERROR_RESETS_MAX);
    builder
}
