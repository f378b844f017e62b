//! A gRPC proxy before an authority that refuses the calls of one rpc as overloaded, and forwards all others.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use axum::{Router, body::Body, extract::State};
use http::{Request, Response};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    service::Routes,
    transport::{Channel, Endpoint, Server},
};
use tower::ServiceExt;

/// A running proxy; it ends when it is dropped.
pub struct Refusing {
    /// `http://…` of the proxy.
    pub endpoint: String,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    upstream: Channel,
    rpc: &'static str,
    refuses: AtomicBool,
    refused: AtomicUsize,
}

impl Drop for Refusing {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Refusing {
    /// Starts a proxy before `upstream` that refuses `rpc`, a name without its service.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start(upstream: &str, rpc: &'static str) -> Self {
        let upstream = Endpoint::from_shared(upstream.to_owned()).expect("an address");
        let shared = Arc::new(Shared {
            upstream: upstream.connect_lazy(),
            rpc,
            refuses: AtomicBool::new(true),
            refused: AtomicUsize::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address: SocketAddr = listener.local_addr().expect("an address");
        let router = Router::new()
            .fallback(forward)
            .with_state(Arc::clone(&shared));
        let server = Server::builder()
            .add_routes(Routes::from(router))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let serving = tokio::spawn(async move { server.await.expect("the proxy serves") });
        Self {
            endpoint: format!("http://{address}"),
            shared,
            serving,
        }
    }

    /// How many calls were refused.
    #[must_use]
    pub fn refused(&self) -> usize {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// Forwards every call from now on.
    pub fn forward_all(&self) {
        self.shared.refuses.store(false, Ordering::Relaxed);
    }
}

async fn forward(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response<Body> {
    if request.uri().path().ends_with(shared.rpc) && shared.refuses.load(Ordering::Relaxed) {
        shared.refused.fetch_add(1, Ordering::Relaxed);
        let status = tonic::Status::resource_exhausted("overloaded: retry after 1 s");
        return status.into_http::<Body>();
    }
    let forwarded = shared
        .upstream
        .clone()
        .oneshot(request.map(tonic::body::Body::new))
        .await;
    match forwarded {
        Ok(response) => response.map(Body::new),
        Err(error) => tonic::Status::unavailable(error.to_string()).into_http::<Body>(),
    }
}
