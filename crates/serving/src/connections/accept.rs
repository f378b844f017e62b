//! Accepts connections.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use http::{Request, Response};
use http_body::Body;
use hyper::{body::Incoming, service::Service};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::task::TaskTracker;

use super::{
    Port,
    drive::{BoxError, Driver},
};

/// The pause after the system had no descriptor left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A socket that accepts connections.
pub trait Accept: Send + Sync + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// The identity of its other end.
    type Peer: Send + 'static;

    /// Waits for the next connection.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Self::Peer)>> + Send;
}

impl Accept for TcpListener {
    type Stream = TcpStream;
    type Peer = SocketAddr;

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = TcpListener::accept(self).await?;
        // Without this a small answer waits until the peer has acknowledged the one before it.
        let _ = stream.set_nodelay(true);
        Ok((stream, peer))
    }
}

/// Accepts connections until the port is closed, then waits until the open ones have ended. `service` makes the handler
/// of one connection's requests, which lives as long as the connection.
pub async fn serve<L, S, B>(
    listener: L,
    port: Port,
    service: impl Fn(L::Peer) -> S + Send + Sync + 'static,
) where
    L: Accept,
    S: Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let places = Arc::new(Semaphore::new(port.bounds.connections_max));
    let connections = TaskTracker::new();
    let close = port.close.clone();
    let name = port.name;
    let driver = Arc::new(Driver::new(port));
    loop {
        // A place first: connections beyond the bound wait in the system's queue, and cost nothing here.
        let place = close.run_until_cancelled(Arc::clone(&places).acquire_owned());
        let Some(Ok(place)) = place.await else { break };
        match close.run_until_cancelled(listener.accept()).await {
            None => break,
            Some(Ok((stream, peer))) => {
                let service = service(peer);
                let driver = Arc::clone(&driver);
                connections.spawn(async move {
                    serve_connection(&driver, stream, service).await;
                    // Moved into the task, so that a connection that panics gives its place back too.
                    drop(place);
                });
            }
            // The peer has gone before it was accepted. That takes no descriptor, so the next one
            // needs no pause.
            Some(Err(error)) if is_about_one_connection(&error) => {}
            Some(Err(error)) => {
                tracing::error!(listener = name, %error, "cannot accept a connection");
                // Trying again at once would spin for as long as the descriptors are used up.
                close.run_until_cancelled(sleep(ACCEPT_PAUSE)).await;
            }
        }
    }

    // From here on the system refuses new connections, so that clients go elsewhere.
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Returns true if an error of `accept` is about the connection, and not about this process.
#[must_use]
pub fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// Serves a connection to its end.
async fn serve_connection<IO, S, B>(driver: &Driver, stream: IO, service: S)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let Some(tls) = &driver.port.tls else {
        return driver.drive(stream, service).await;
    };
    // Port scans fail here all the time, so a failed handshake has no line above debug.
    match timeout(driver.port.bounds.handshake_timeout, tls.accept(stream)).await {
        Ok(Ok(stream)) => driver.drive(stream, service).await,
        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => tracing::debug!("TLS handshake took too long"),
    }
}
