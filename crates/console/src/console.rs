//! A running console: its start, its parts, its end.

use std::{io, net::SocketAddr};

use axum::{
    Extension, Router, middleware,
    response::{IntoResponse, Response},
};
use hyper_util::service::TowerToHyperService;
use portcullis_serving::{
    config::ConfigError,
    connections::{Port, Protocol, serve},
    tls::acceptor,
};
use portcullis_validator::{BuildError, Validator};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tower_http::{
    catch_panic::CatchPanicLayer, compression::CompressionLayer, timeout::TimeoutLayer,
};

use crate::{
    admission::{self, Peer},
    assets,
    config::Config,
    live_receipts, pages, preferences,
    problem::Problem,
    problem_page, reader,
    security::{self, SecurityHeaders},
    state::State,
};

/// Why a console cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The listener cannot be opened.
    #[error("server.listen: cannot listen on {listen}: {error}")]
    Listen {
        /// Where it was to listen.
        listen: SocketAddr,
        /// The system's error.
        error: io::Error,
    },
    /// The validator cannot start.
    #[error("authority: {0}")]
    Validator(#[from] BuildError),
}

/// A running console.
pub struct Console {
    address: SocketAddr,
    validator: Validator,
    close: CancellationToken,
    serving: JoinHandle<()>,
}

impl Console {
    /// Starts a console on the current Tokio runtime. It listens when this returns. Its pages say that the authority is
    /// away until its validator is ready.
    ///
    /// # Errors
    /// When a setting is invalid or the listener cannot be opened. An authority that cannot be reached is tried again.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        config.check()?;
        // The listener first: a port that is taken must not leave a gate that the authority waits for.
        let listen = config.server.listen;
        let listener = TcpListener::bind(listen).await;
        let listener = listener.map_err(|error| StartError::Listen { listen, error })?;
        Self::start_with(config, listener, |pages| pages)
    }

    /// Starts a console on a listener, with its pages as `arrange` returns them: an application can put pages of its own
    /// beside them, or a layer around them. Call it on a Tokio runtime.
    ///
    /// # Errors
    /// The same as [`start`](Self::start).
    pub fn start_with(
        config: &Config,
        listener: TcpListener,
        arrange: impl FnOnce(Router) -> Router,
    ) -> Result<Self, StartError> {
        // Again, because an application may call this function without `start`.
        config.check()?;
        let listen = config.server.listen;
        let address = listener.local_addr();
        let address = address.map_err(|error| StartError::Listen { listen, error })?;

        let validator = config.validator()?.start()?;
        let close = CancellationToken::new();
        let port = port(config, close.clone())?;
        let state = State::new(config, validator.clone(), close.clone())?;
        let pages = arrange(router(config, state)?);
        // Each connection has a copy of the router that knows the peer, since the admission needs
        // its address.
        let service =
            move |peer| TowerToHyperService::new(pages.clone().layer(Extension(Peer(peer))));
        Ok(Self {
            address,
            validator,
            close,
            serving: tokio::spawn(serve(listener, port, service)),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its validator.
    #[must_use]
    pub fn validator(&self) -> &Validator {
        &self.validator
    }

    /// Ends the console: it accepts no more connections, finishes the requests that run, and reports the last use of
    /// sessions.
    pub async fn shut_down(self) {
        self.close.cancel();
        // An error would be a panic of the accept loop, which ends it too.
        let _ = self.serving.await;
        // Last, because the requests that still ran have counted uses of sessions.
        self.validator.close().await;
    }
}

fn port(config: &Config, close: CancellationToken) -> Result<Port, ConfigError> {
    // Browsers speak HTTP/2 over TLS only. Without TLS, and behind many proxies, it is HTTP/1.1.
    let protocol = Protocol::Either;
    let tls = config.server.read_tls()?;
    Ok(Port {
        name: "pages",
        protocol,
        tls: tls.map(|tls| acceptor(tls, protocol)),
        bounds: config.limits.bounds(),
        close,
    })
}

/// All pages, with the layers of every answer. A layer is outside of those above it.
fn router(config: &Config, state: State) -> Result<Router, ConfigError> {
    let security = SecurityHeaders::new(&config.server)?;
    let router = all_pages(&state)
        // Timeouts and panics become problems here, and `show_problems` outside of them writes their page.
        .layer(timeout(config))
        .layer(CatchPanicLayer::custom(answer_panic))
        .layer(middleware::from_fn_with_state(
            state.clone(),
            problem_page::show_problems,
        ))
        // Outside of `show_problems`, which writes its page for the reader that this layer finds.
        .layer(middleware::from_fn(reader::find_reader))
        // The length of a compressed page tells something about its content. Form tokens and nonces
        // are other ones in each answer, so repeated requests do not reveal them.
        .layer(CompressionLayer::new())
        // Outermost, so that every answer has the headers, whichever layer made it.
        .layer(middleware::from_fn_with_state(security, security::secure));
    Ok(router.with_state(state))
}

fn timeout(config: &Config) -> TimeoutLayer {
    // Longer than one call may take: a page makes some calls one after another, and one that times
    // out still has time to become the page that says so.
    let longest = 2 * config.limits.request_timeout;
    TimeoutLayer::with_status_code(http::StatusCode::SERVICE_UNAVAILABLE, longest)
}

/// The answer of a handler that panicked.
fn answer_panic(_: Box<dyn std::any::Any + Send>) -> Response {
    Problem::internal().into_response()
}

/// All pages and files. Those that need a person are behind the admission.
fn all_pages(state: &State) -> Router<State> {
    let admit = middleware::from_fn_with_state(state.clone(), admission::admit);
    Router::new()
        .merge(pages::routes())
        .merge(live_receipts::routes())
        .layer(admit)
        // Outside of the admission: they work for everybody, also while the authority is away.
        .merge(preferences::routes())
        .merge(assets::routes(state.theme.clone()))
        .fallback(|| async { Problem::not_found() })
}
