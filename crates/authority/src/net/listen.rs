//! One port: it accepts a bounded number of connections, and sets a deadline for each thing that a peer may delay.

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
    time::{Duration, SystemTime},
};

use axum::{Router, body::Body, extract::Request, response::Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use portcullis_serving::connections::is_about_one_connection;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time::{Instant, Interval, MissedTickBehavior, Sleep, interval, sleep, sleep_until, timeout},
};
use tokio_rustls::server::TlsStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use super::{
    ClientCertificate, Full, Held, PortLimits, Share, Shares, Tls,
    requests::{self, Requests, Use},
};
use crate::telemetry::{Instruments, LogLimit};

/// The time between two pings to an HTTP/2 peer, and the longest time until it answers one.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// The most bytes of one request's header fields. A token has at most 8 KiB.
const HEADER_BYTES_MAX: u32 = 16 << 10;
/// The most header fields of one HTTP/1 request.
const HEADERS_MAX: usize = 64;
/// The most streams of one connection that the peer resets before they are accepted. More end the connection.
const PENDING_RESETS_MAX: usize = 20;
/// The most resets that this side sends to one connection because of its mistakes. More end the connection.
const ERROR_RESETS_MAX: usize = 128;
/// The bytes of the preface of an HTTP/2 connection.
const PREFACE_BYTES: usize = 24;
/// The shortest and the longest pause after the system had no descriptor left for a connection.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// The shortest and the longest time between two examinations of a connection.
const EXAMINE_MIN: Duration = Duration::from_millis(50);
const EXAMINE_MAX: Duration = Duration::from_secs(5);
/// The least time between two log lines about refused connections.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The protocol of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
    /// HTTP/2, and HTTP/1.1 for browsers: without TLS they speak nothing else.
    Http1And2,
}

/// The options of a port.
pub(crate) struct PortOptions {
    /// The name in metrics and logs.
    pub(crate) name: &'static str,
    pub(crate) protocol: Protocol,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) limits: PortLimits,
    pub(crate) router: Router,
    pub(crate) instruments: Arc<Instruments>,
    /// Cancelled when the port has to end.
    pub(crate) close: CancellationToken,
}

/// A port that accepts connections.
struct Port {
    options: PortOptions,
    builder: Builder<TokioExecutor>,
    connections: Arc<Shares<IpAddr>>,
    trouble: LogLimit,
}

/// Accepts connections until the port is closed, then waits until the open ones have ended.
pub(crate) async fn serve(listener: TcpListener, options: PortOptions) {
    let limits = &options.limits;
    let port = Arc::new(Port {
        builder: builder(options.protocol, limits),
        // Bounded by address too, so that one peer cannot take all connections from the others.
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
                // Descriptors are free again.
                pause = PAUSE_MIN;
                port.admit(stream, address, &connections);
            }
            // A pause here would let one peer delay the connections of all others.
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                port.log_failed_accept(&error);
                // Trying again at once would spin for as long as the descriptors are used up.
                close.run_until_cancelled(sleep(pause)).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }

    // From here on the system refuses new connections, so that load balancers go elsewhere.
    drop(listener);
    connections.close();
    connections.wait().await;
}

fn builder(protocol: Protocol, limits: &PortLimits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    // A port speaks one protocol where it can, so that nothing is spent on guessing it.
    builder = match protocol {
        Protocol::Http1 => builder.http1_only(),
        Protocol::Http2 => builder.http2_only(),
        Protocol::Http1And2 => builder,
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
        // A peer that opens and resets streams in a loop pays nothing for the work that it causes
        // (CVE-2023-44487).
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_local_error_reset_streams(ERROR_RESETS_MAX);
    builder
}

/// Returns the part of an address that counts as one peer. A host of IPv6 has a whole /64 network of addresses.
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
    /// Serves a connection in a task of its own, unless a bound is reached.
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
                self.count_refused(bound);
                if let Some(unlogged) = self.trouble.admit() {
                    let port = self.options.name;
                    tracing::warn!(port, %address, bound, unlogged, "connection refused");
                }
            }
        }
    }

    fn log_failed_accept(&self, error: &io::Error) {
        self.count_refused("descriptors");
        if let Some(unlogged) = self.trouble.admit() {
            let port = self.options.name;
            tracing::error!(port, %error, unlogged, "cannot accept a connection");
        }
    }

    fn count_refused(&self, bound: &'static str) {
        let options = &self.options;
        options
            .instruments
            .connections
            .count_refused(options.name, bound);
    }

    fn count_ended(&self, reason: &'static str) {
        let options = &self.options;
        options
            .instruments
            .connections
            .count_ended(options.name, reason);
        tracing::debug!(port = options.name, reason, "connection ended");
    }

    /// Serves a connection to its end.
    async fn serve(&self, stream: TcpStream, address: SocketAddr, _share: Share<IpAddr>) {
        let connections = &self.options.instruments.connections;
        let _open = connections.open(self.options.name);
        // Without this a small answer waits until the peer has acknowledged the one before it.
        let _ = stream.set_nodelay(true);

        let Some(tls) = &self.options.tls else {
            return self.drive(stream, address, None).await;
        };
        // Boxed, as the stream that it returns: each connection has this future for as long as it lives, and would have
        // room for a handshake all the time.
        if let Some(stream) = Box::pin(self.shake_hands(tls, stream)).await {
            let (_, session) = stream.get_ref();
            let shown = session.peer_certificates().and_then(<[_]>::first);
            let certificate = shown.map(|der| Arc::new(ClientCertificate::read(der)));
            self.drive(stream, address, certificate).await;
        }
    }

    /// Returns the encrypted stream, unless the handshake fails or takes too long.
    async fn shake_hands(&self, tls: &Tls, stream: TcpStream) -> Option<Box<TlsStream<TcpStream>>> {
        match timeout(self.options.limits.request_timeout, tls.accept(stream)).await {
            Ok(Ok(stream)) => return Some(Box::new(stream)),
            // Port scans fail here all the time, so a failure is counted and has no line of its own above debug.
            Ok(Err(_)) => self.count_ended("handshake"),
            Err(_) => self.count_ended("handshake_timeout"),
        }
        None
    }

    /// Drives HTTP on a connection. A connection that is too old, idle or stuck is asked to end, and then ended.
    async fn drive<IO: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        io: IO,
        address: SocketAddr,
        certificate: Option<Arc<ClientCertificate>>,
    ) {
        let limits = &self.options.limits;
        let state = ConnectionState::new(address, certificate, limits.answer_timeout);
        let router = self.options.router.clone();
        let answering = Arc::clone(&state);
        let service =
            service_fn(move |request| answer(router.clone(), Arc::clone(&answering), request));
        let io = TokioIo::new(Counted {
            io,
            state: Arc::clone(&state),
        });
        let mut connection = pin!(self.builder.serve_connection(io, service));

        let mut timers = Timers::new(limits, &state);
        // The time at which the connection is cut off. None: it was not asked to end.
        let mut end_by = None;
        loop {
            let verdict = tokio::select! {
                // An error is the peer's mistake, and of no interest to the operator.
                _ = connection.as_mut() => return,
                verdict = self.next_verdict(&state, &mut timers, end_by) => verdict,
            };
            match verdict {
                Verdict::Keep => {}
                Verdict::Finish { within } => {
                    connection.as_mut().graceful_shutdown();
                    end_by = Some(Instant::now() + within);
                }
                Verdict::End => return,
            }
        }
    }

    /// Waits until the connection is to be examined or asked to end. It may be dropped at any time.
    async fn next_verdict(
        &self,
        state: &ConnectionState,
        timers: &mut Timers,
        end_by: Option<Instant>,
    ) -> Verdict {
        let limits = &self.options.limits;
        tokio::select! {
            // A token that is cancelled stays ready. Without the condition this branch would put off the end again and
            // again.
            () = self.options.close.cancelled(), if end_by.is_none() => {
                Verdict::Finish { within: limits.drain_timeout }
            }
            () = timers.age.as_mut(), if end_by.is_none() => {
                self.count_ended("age");
                // Streams never finish by themselves: they are told.
                state.aged.cancel();
                Verdict::Finish { within: limits.grace }
            }
            _ = timers.examinations.tick() => self.examine(state, end_by),
        }
    }

    fn has_begun(&self, state: &ConnectionState) -> bool {
        // hyper waits for the preface without a bound of its own, also where it has to tell the protocols apart by it.
        // HTTP/1 has its own for the header, and no request of HTTP/1 that is served is shorter than the preface.
        self.options.protocol == Protocol::Http1
            || state.read.load(Ordering::Relaxed) >= PREFACE_BYTES
    }

    /// Looks for a reason to end a connection.
    fn examine(&self, state: &ConnectionState, end_by: Option<Instant>) -> Verdict {
        let limits = &self.options.limits;
        let now = Instant::now();
        // It did not end in time after it was asked to. The reason was counted then.
        if end_by.is_some_and(|end| end < now) {
            return Verdict::End;
        }
        if !self.has_begun(state) && now.duration_since(state.opened) > limits.request_timeout {
            self.count_ended("preface_timeout");
            return Verdict::End;
        }
        match state.requests.current_use(limits.idle_timeout, now) {
            Use::Overdue => {
                self.count_ended("answer_timeout");
                Verdict::End
            }
            Use::Idle if end_by.is_none() => {
                self.count_ended("idle");
                Verdict::Finish {
                    within: limits.grace,
                }
            }
            Use::Idle | Use::Busy => Verdict::Keep,
        }
    }
}

/// The state of a connection that its examination, its requests and its reader share.
struct ConnectionState {
    address: SocketAddr,
    certificate: Option<Arc<ClientCertificate>>,
    opened: Instant,
    requests: Arc<Requests>,
    /// Bytes that were read.
    read: AtomicUsize,
    /// Cancelled when the connection is as old as it may be.
    aged: CancellationToken,
}

impl ConnectionState {
    fn new(
        address: SocketAddr,
        certificate: Option<Arc<ClientCertificate>>,
        answer_timeout: Duration,
    ) -> Arc<Self> {
        Arc::new(Self {
            address,
            certificate,
            opened: Instant::now(),
            requests: Requests::new(answer_timeout),
            read: AtomicUsize::new(0),
            aged: CancellationToken::new(),
        })
    }
}

/// The fate of a connection.
enum Verdict {
    Keep,
    /// It may finish its requests within this time, and ends then.
    Finish {
        within: Duration,
    },
    /// It ends now.
    End,
}

/// The timers of one connection.
struct Timers {
    examinations: Interval,
    age: Pin<Box<Sleep>>,
}

impl Timers {
    fn new(limits: &PortLimits, state: &ConnectionState) -> Self {
        let mut examinations = interval(examine_interval(limits));
        examinations.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Connections that opened together must not all come back at one moment.
        let mut age = jittered(limits.age_max);
        // A certificate says nothing about its owner once it has expired, so its connection ends with it.
        if let Some(certificate) = &state.certificate {
            age = age.min(certificate.expires_in(SystemTime::now()));
        }
        Self {
            examinations,
            age: Box::pin(sleep_until(state.opened + age)),
        }
    }
}

/// Answers one request. The connection is busy with it until the last byte of the answer was sent.
async fn answer(
    router: Router,
    state: Arc<ConnectionState>,
    request: hyper::Request<Incoming>,
) -> Result<Response, Infallible> {
    let (peer, open) = requests::open(
        &state.requests,
        state.address,
        state.certificate.as_ref(),
        &state.aged,
    );
    let mut request: Request = request.map(Body::new);
    request.extensions_mut().insert(peer);
    let response = router.oneshot(request).await?;
    // The request is open until its answer was read, or else a peer that reads slowly would look idle.
    Ok(response.map(|body| Held::wrap(body, open)))
}

/// Changes an age by up to a tenth, so that connections which began together do not end together.
fn jittered(age: Duration) -> Duration {
    let [byte] = crate::keys::random::<1>();
    age.mul_f64(0.9 + 0.2 * f64::from(byte) / 255.0)
}

/// A quarter of the shortest timeout, so that none is exceeded by much.
fn examine_interval(limits: &PortLimits) -> Duration {
    let shortest = limits
        .request_timeout
        .min(limits.answer_timeout)
        .min(limits.idle_timeout)
        .min(limits.grace);
    (shortest / 4).clamp(EXAMINE_MIN, EXAMINE_MAX)
}

/// A connection that counts the bytes that it reads.
struct Counted<IO> {
    io: IO,
    state: Arc<ConnectionState>,
}

impl<IO: AsyncRead + Unpin> AsyncRead for Counted<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.io).poll_read(context, buffer));
        let bytes = buffer.filled().len() - before;
        self.state.read.fetch_add(bytes, Ordering::Relaxed);
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
