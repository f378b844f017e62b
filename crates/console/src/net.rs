//! The listener: its socket, TLS, and a deadline for each thing that a peer may delay.

use std::{
    fs, io,
    net::SocketAddr,
    path::Path,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{Extension, Router};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until, timeout},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        Error, ServerConfig as TlsConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::config::{ConfigError, LimitsConfig, ServerConfig};

/// The most bytes of a request's header.
const HEADER_BYTES_MAX: usize = 32 * 1_024;
/// The most header fields of one request.
const HEADERS_MAX: usize = 128;
/// Requests of one HTTP/2 connection at a time.
const STREAMS_PER_CONNECTION_MAX: u32 = 128;
/// The most streams of one connection that the peer resets before they are accepted. More end the connection.
const PENDING_RESETS_MAX: usize = 20;
/// The most resets that this side sends to one connection because of its mistakes. More end the connection.
const ERROR_RESETS_MAX: usize = 128;
/// The time between two pings to an HTTP/2 peer, and the longest time until it answers one.
const KEEPALIVE: Duration = Duration::from_secs(20);
/// The pause after the system had no descriptor left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The address of the connection's other end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// A listener with what serves it.
pub(crate) struct Port {
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) limits: LimitsConfig,
    pub(crate) pages: Router,
    /// Cancelled when the listener has to end.
    pub(crate) close: CancellationToken,
}

/// Accepts connections until the port is closed, then waits until the open ones have ended.
pub(crate) async fn serve(listener: TcpListener, port: Port) {
    let port = Arc::new(port);
    let places = Arc::new(Semaphore::new(port.limits.connections_max));
    let builder = Arc::new(builder(&port.limits));
    let connections = TaskTracker::new();
    let close = port.close.clone();
    loop {
        // A place first: connections beyond the bound wait in the system's queue, and cost nothing here.
        let place = close.run_until_cancelled(Arc::clone(&places).acquire_owned());
        let Some(Ok(place)) = place.await else { break };
        match close.run_until_cancelled(listener.accept()).await {
            None => break,
            Some(Ok((stream, peer))) => {
                let port = Arc::clone(&port);
                let builder = Arc::clone(&builder);
                connections.spawn(async move {
                    port.serve_connection(&builder, stream, peer).await;
                    drop(place);
                });
            }
            Some(Err(error)) if is_about_one_connection(&error) => {}
            Some(Err(error)) => {
                tracing::error!(%error, "cannot accept a connection");
                // Trying again at once would spin for as long as the descriptors are used up.
                close.run_until_cancelled(sleep(ACCEPT_PAUSE)).await;
            }
        }
    }

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

fn builder(limits: &LimitsConfig) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
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
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .max_header_list_size(HEADER_BYTES_MAX as u32)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_local_error_reset_streams(ERROR_RESETS_MAX);
    builder
}

impl Port {
    /// Serves a connection to its end.
    async fn serve_connection(
        &self,
        builder: &Builder<TokioExecutor>,
        stream: TcpStream,
        peer: SocketAddr,
    ) {
        // Without this a small answer waits until the peer has acknowledged the one before it.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else {
            return self.drive(builder, stream, peer).await;
        };
        // Port scans fail here all the time, so a failed handshake has no line above debug.
        match timeout(self.limits.request_timeout, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.drive(builder, stream, peer).await,
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => tracing::debug!("TLS handshake took too long"),
        }
    }

    /// Drives HTTP on a connection. An idle one, and every one at the end of the listener, is asked to end, and then
    /// ended.
    async fn drive<IO>(&self, builder: &Builder<TokioExecutor>, io: IO, peer: SocketAddr)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let alive = Arc::new(AtomicU64::new(0));
        let pages = self.pages.clone().layer(Extension(Peer(peer)));
        let service = TowerToHyperService::new(pages);
        let io = TokioIo::new(Watched::new(io, Arc::clone(&alive)));
        let mut connection = pin!(builder.serve_connection(io, service));

        let idle_timeout = self.limits.idle_timeout;
        let mut looks = interval_at(Instant::now() + idle_timeout, idle_timeout);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut alive_before = 0;
        loop {
            tokio::select! {
                // An error is the peer's mistake, and of no interest to the operator.
                _ = connection.as_mut() => return,
                () = self.close.cancelled() => break,
                _ = looks.tick() => {
                    // hyper ends idle HTTP/1 connections, and has no bound for HTTP/2 ones and for their preface.
                    let alive = alive.load(Relaxed);
                    if alive == alive_before {
                        break;
                    }
                    alive_before = alive;
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
}

pin_project_lite::pin_project! {
    /// A connection that counts its writes, by which an idle one is found. Live receipts write too.
    struct Watched<IO> {
        #[pin]
        io: IO,
        writes: Arc<AtomicU64>,
    }
}

impl<IO> Watched<IO> {
    fn new(io: IO, writes: Arc<AtomicU64>) -> Self {
        Self { io, writes }
    }
}

impl<IO: AsyncRead> AsyncRead for Watched<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.project().io.poll_read(context, buffer)
    }
}

impl<IO: AsyncWrite> AsyncWrite for Watched<IO> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        this.writes.fetch_add(1, Relaxed);
        this.io.poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_shutdown(context)
    }
}

/// Reads the certificate and its key. None: the listener has no TLS.
///
/// # Errors
/// When one cannot be read, or the two do not belong together.
pub(crate) fn read_tls(server: &ServerConfig) -> Result<Option<TlsAcceptor>, ConfigError> {
    const CERTIFICATE: &str = "server.tls_certificate_file";
    const KEY: &str = "server.tls_key_file";
    let (Some(certificate), Some(key)) = (&server.tls_certificate_file, &server.tls_key_file)
    else {
        return Ok(None);
    };
    let chain = read_chain(CERTIFICATE, certificate)?;
    let key = read_key(KEY, key)?;
    let mut tls = tls_config(chain, key).map_err(|error| {
        let problem = format!("must belong to {CERTIFICATE}: {error}");
        ConfigError::new(KEY, problem)
    })?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(tls))))
}

fn read_chain(key: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let pem = read_file(key, file)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => {
            let problem = "must be a certificate chain in PEM form";
            Err(ConfigError::new(key, problem))
        }
    }
}

fn read_key(key: &str, file: &Path) -> Result<PrivateKeyDer<'static>, ConfigError> {
    let pem = read_file(key, file)?;
    // The error of the parser may quote a line of the file, and must not reach a log.
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| ConfigError::new(key, "must be a private key in PEM form"))
}

fn tls_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<TlsConfig, Error> {
    // Named here, because the process has no default provider unless some crate installs one.
    let provider = Arc::new(aws_lc_rs::default_provider());
    // `with_single_cert` also compares the public keys of the two.
    TlsConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
}

fn read_file(key: &str, file: &Path) -> Result<Vec<u8>, ConfigError> {
    fs::read(file).map_err(|error| {
        let problem = format!("must be a readable file: {error}");
        ConfigError::new(key, problem)
    })
}
