//! The sockets of one port: a bounded number of connections, and a deadline for each thing that a peer may delay.

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{Router, body::Body, extract::Request, response::Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::transport::server::TcpConnectInfo;
use tower::ServiceExt;

use super::{
    Full, Held, Peer, PortLimits, Share, Shares,
    requests::{self, Requests, Standing},
};
use crate::telemetry::{Instruments, LogLimit};

/// How often an HTTP/2 peer is asked for a sign of life, and how long it may take to give one.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// The header fields of one request, in bytes: a token has at most 8 KiB.
const HEADER_BYTES_MAX: u32 = 16 << 10;
/// The header fields of one HTTP/1 request.
const HEADERS_MAX: usize = 64;
/// Streams of one connection that were reset before they were looked at; more end the connection.
const PENDING_RESETS_MAX: usize = 20;
/// Resets that this side sent to one connection because of its mistakes; more end the connection.
const ERROR_RESETS_MAX: usize = 128;
/// What an HTTP/2 connection begins with, in bytes.
const PREFACE_BYTES: usize = 24;
/// The shortest and the longest pause after the system had no descriptor for a connection.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How often a connection is looked at.
const LOOK_MIN: Duration = Duration::from_millis(50);
const LOOK_MAX: Duration = Duration::from_secs(5);
/// At most one line about each kind of trouble in this time.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// What a port speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// What a port serves, and with what.
pub(crate) struct PortOptions {
    /// For metrics and logs.
    pub(crate) name: &'static str,
    pub(crate) protocol: Protocol,
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) limits: PortLimits,
    pub(crate) router: Router,
    pub(crate) instruments: Arc<Instruments>,
    /// Ends the port.
    pub(crate) close: CancellationToken,
}

/// A port that serves.
struct Port {
    options: PortOptions,
    builder: Builder<TokioExecutor>,
    connections: Arc<Shares<IpAddr>>,
    trouble: LogLimit,
}

/// Takes connections until the port is closed, and then waits for those that it has.
pub(crate) async fn serve(listener: TcpListener, options: PortOptions) {
    let limits = &options.limits;
    let port = Arc::new(Port {
        builder: builder(options.protocol, limits),
        connections: Shares::new(limits.connections_max, limits.connections_per_address_max),
        trouble: LogLimit::new(LOG_INTERVAL),
        options,
    });

    let close = port.options.close.clone();
    let connections = TaskTracker::new();
    let mut pause = PAUSE_MIN;
    while let Some(accepted) = close.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, address)) => {
                pause = PAUSE_MIN;
                port.admit(stream, address, &connections);
            }
            Err(error) if is_about_one_connection(&error) => {}
            // Trying again at once would spin for as long as the descriptors are used up.
            Err(error) => {
                port.refused("descriptors");
                if let Some(unlogged) = port.trouble.admit() {
                    let name = port.options.name;
                    tracing::error!(port = name, %error, unlogged, "cannot take a connection");
                }
                close.run_until_cancelled(sleep(pause)).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }

    // The system refuses who comes now.
    drop(listener);
    connections.close();
    connections.wait().await;
}

fn builder(protocol: Protocol, limits: &PortLimits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder = match protocol {
        Protocol::Http1 => builder.http1_only(),
        Protocol::Http2 => builder.http2_only(),
    };
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.request_timeout)
        .max_buf_size(HEADER_BYTES_MAX as usize)
        .max_headers(HEADERS_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .max_concurrent_streams(limits.streams_max)
        .max_header_list_size(HEADER_BYTES_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_local_error_reset_streams(ERROR_RESETS_MAX);
    builder
}

/// Whether an error of `accept` is about the connection that was to be taken, and not about this process.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// What counts as one address: a host of IPv6 has a whole network of them.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            Ipv6Addr::from_bits(network).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

impl Port {
    fn admit(self: &Arc<Self>, stream: TcpStream, address: SocketAddr, tasks: &TaskTracker) {
        match self.connections.take(network(address.ip()), 1) {
            Ok(share) => {
                let port = Arc::clone(self);
                tasks.spawn(async move { port.serve(stream, address, share).await });
            }
            Err(full) => {
                let bound = match full {
                    Full::All => "all",
                    Full::Each => "address",
                };
                self.refused(bound);
                if let Some(unlogged) = self.trouble.admit() {
                    let port = self.options.name;
                    tracing::warn!(port, %address, bound, unlogged, "connection refused");
                }
            }
        }
    }

    fn refused(&self, bound: &'static str) {
        let options = &self.options;
        options.instruments.connection_refused(options.name, bound);
    }

    fn ended(&self, reason: &'static str) {
        let options = &self.options;
        options.instruments.connection_ended(options.name, reason);
        tracing::debug!(port = options.name, reason, "connection ended");
    }

    /// Serves a connection to its end.
    async fn serve(&self, stream: TcpStream, address: SocketAddr, _share: Share<IpAddr>) {
        let instruments = &self.options.instruments;
        let _open = instruments.connection(self.options.name);
        // Small answers would wait for the acknowledgement of others.
        let _ = stream.set_nodelay(true);
        let local = stream.local_addr().ok();
        let info = TcpConnectInfo {
            local_addr: local,
            remote_addr: Some(address),
        };

        let Some(tls) = &self.options.tls else {
            return self.drive(stream, address, info).await;
        };
        match timeout(self.options.limits.request_timeout, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.drive(stream, address, info).await,
            Ok(Err(_)) => self.ended("handshake"),
            Err(_) => self.ended("handshake_timeout"),
        }
    }

    async fn drive<IO: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        io: IO,
        address: SocketAddr,
        info: TcpConnectInfo,
    ) {
        let limits = &self.options.limits;
        let requests = Requests::new(limits.answer_timeout);
        let aged = CancellationToken::new();
        let router = self.options.router.clone();
        let (opening, aging) = (Arc::clone(&requests), aged.clone());
        let service = service_fn(move |request| {
            let (peer, open) = requests::open(&opening, address, &aging);
            answer(router.clone(), request, info.clone(), peer, open)
        });

        let read = Arc::new(AtomicUsize::new(0));
        let io = TokioIo::new(Counted {
            io,
            read: Arc::clone(&read),
        });
        let mut connection = pin!(self.builder.serve_connection(io, service));

        let opened = Instant::now();
        let mut looks = interval(look_interval(limits));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut age = pin!(sleep_until(opened + jittered(limits.age_max)));
        // None while nothing asked the connection to end.
        let mut end_by = None;
        loop {
            tokio::select! {
                // What a peer did wrong is its own affair.
                _ = connection.as_mut() => return,
                () = self.options.close.cancelled(), if end_by.is_none() => {
                    connection.as_mut().graceful_shutdown();
                    end_by = Some(Instant::now() + limits.drain_timeout);
                }
                () = age.as_mut(), if end_by.is_none() => {
                    self.ended("age");
                    aged.cancel();
                    connection.as_mut().graceful_shutdown();
                    end_by = Some(Instant::now() + limits.grace);
                }
                _ = looks.tick() => {
                    if end_by.is_some_and(|end| end < Instant::now()) {
                        return;
                    }
                    let begun = self.options.protocol == Protocol::Http1
                        || read.load(Ordering::Relaxed) >= PREFACE_BYTES;
                    if !begun && opened.elapsed() > limits.request_timeout {
                        return self.ended("preface_timeout");
                    }
                    match requests.standing(limits.idle_timeout, Instant::now()) {
                        Standing::Busy => {}
                        Standing::Overdue => return self.ended("answer_timeout"),
                        Standing::Idle if end_by.is_none() => {
                            self.ended("idle");
                            connection.as_mut().graceful_shutdown();
                            end_by = Some(Instant::now() + limits.grace);
                        }
                        Standing::Idle => {}
                    }
                }
            }
        }
    }
}

/// Answers one request; the connection is busy with it until its answer was sent.
async fn answer(
    router: Router,
    request: hyper::Request<Incoming>,
    info: TcpConnectInfo,
    peer: Peer,
    open: requests::Open,
) -> Result<Response, Infallible> {
    let mut request: Request = request.map(Body::new);
    request.extensions_mut().insert(info);
    request.extensions_mut().insert(peer);
    let response = router.oneshot(request).await?;
    Ok(response.map(|body| Held::wrap(body, open)))
}

/// A tenth more or less, so that connections that began together do not end together.
fn jittered(age: Duration) -> Duration {
    let [byte] = crate::keys::random::<1>();
    age.mul_f64(0.9 + 0.2 * f64::from(byte) / 255.0)
}

fn look_interval(limits: &PortLimits) -> Duration {
    let shortest = limits
        .request_timeout
        .min(limits.answer_timeout)
        .min(limits.idle_timeout)
        .min(limits.grace);
    (shortest / 4).clamp(LOOK_MIN, LOOK_MAX)
}

/// A connection that counts the bytes it read.
struct Counted<IO> {
    io: IO,
    read: Arc<AtomicUsize>,
}

impl<IO: AsyncRead + Unpin> AsyncRead for Counted<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.io).poll_read(context, buffer));
        self.read
            .fetch_add(buffer.filled().len() - before, Ordering::Relaxed);
        Poll::Ready(read)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Counted<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_of_ipv6_is_one_address() {
        let of = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    #[test]
    fn an_age_is_a_tenth_more_or_less() {
        let age = Duration::from_secs(100);
        for _ in 0..100 {
            let jittered = jittered(age).as_secs_f64();
            assert!((89.9..=110.1).contains(&jittered), "{jittered}");
        }
    }
}
