//! The ports of an authority: what each serves, by which limits, and with which certificate.

use std::{net::SocketAddr, sync::Arc};

use axum::Router;
use tokio::net::TcpListener;

use super::{shutdown::Shutdown, start_error::StartError};
use crate::{
    api::{access::Access, grpc, http},
    app::App,
    config::{Config, ConfigError},
    health::Supervisor,
    net::{self, PortLimits, PortOptions, Protocol, Tls},
    telemetry::Telemetry,
};

/// The listening sockets, bound before anything else starts: a port that is taken is the likeliest mistake.
pub(super) struct Sockets {
    grpc: TcpListener,
    pub(super) grpc_address: SocketAddr,
    http: TcpListener,
    pub(super) http_address: SocketAddr,
    pub(super) metrics: Option<(TcpListener, SocketAddr)>,
}

impl Sockets {
    pub(super) async fn bind(config: &Config) -> Result<Self, StartError> {
        let (grpc, grpc_address) = bind(config.server.grpc_listen).await?;
        let (http, http_address) = bind(config.server.http_listen).await?;
        let metrics = match config.server.metrics_listen {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        Ok(Self {
            grpc,
            grpc_address,
            http,
            http_address,
            metrics,
        })
    }
}

/// TLS of the ports that have it.
pub(super) struct PortTls {
    grpc: Option<Arc<Tls>>,
    http: Option<Arc<Tls>>,
}

impl PortTls {
    pub(super) fn open(app: &App) -> Result<Self, ConfigError> {
        let config = &app.config.server;
        let grpc = Tls::open_grpc(config)?.map(Arc::new);
        if let Some(tls) = &grpc {
            net::observe_certificates(&app.instruments.meter, tls);
        }
        Ok(Self {
            grpc,
            http: Tls::open_http(config)?.map(Arc::new),
        })
    }

    /// Each of them, for the renewal of its files.
    pub(super) fn into_vec(self) -> Vec<Arc<Tls>> {
        self.grpc.into_iter().chain(self.http).collect()
    }
}

/// The parts that all ports share.
pub(super) struct Ports<'a> {
    pub(super) app: &'a Arc<App>,
    pub(super) tls: &'a PortTls,
    pub(super) telemetry: &'a Arc<Telemetry>,
    pub(super) tasks: &'a Supervisor,
    pub(super) shutdown: &'a Shutdown,
}

impl Ports<'_> {
    /// Serves the gRPC and the HTTP port, and the metrics.
    pub(super) fn serve(&self, sockets: Sockets) {
        let config = &self.app.config;
        let (grpc_limits, http_limits) = PortLimits::of(config);
        // One for all ports: a caller that fills a bound at one has filled it at the others.
        let access = Arc::new(Access::new(self.app, self.shutdown.close.clone()));
        let grpc = self.grpc_port(&access, grpc_limits);

        // Metrics name the gates and the load. With a listener of their own they are nowhere else.
        let shown = match sockets.metrics {
            Some(_) => None,
            None => Some(Arc::clone(self.telemetry)),
        };
        let routes = http::router(&access, shown, Arc::clone(self.tasks.readiness()));
        let http = self.http_port("http", http_limits, routes);
        self.tasks
            .spawn("gRPC port", net::serve(sockets.grpc, grpc));
        self.tasks
            .spawn("HTTP port", net::serve(sockets.http, http));

        if let Some((listener, _)) = sockets.metrics {
            let limits = PortLimits::of_metrics(&config.server);
            let routes = http::metrics_router(Arc::clone(self.telemetry));
            let metrics = self.http_port("metrics", limits, routes);
            self.tasks
                .spawn("metrics port", net::serve(listener, metrics));
        }
    }

    fn grpc_port(&self, access: &Arc<Access>, limits: PortLimits) -> PortOptions {
        let app = self.app;
        let config = &app.config.server;
        let health = grpc::health::start(self.tasks, &self.shutdown.stop);
        PortOptions {
            name: "grpc",
            protocol: match config.web_origins.is_empty() {
                true => Protocol::Http2,
                false => Protocol::Http1And2,
            },
            tls: self.tls.grpc.clone(),
            limits,
            router: grpc::routes(app, Arc::clone(access), health, config),
            instruments: Arc::clone(&app.instruments),
            close: self.shutdown.close.clone(),
        }
    }

    fn http_port(&self, name: &'static str, limits: PortLimits, router: Router) -> PortOptions {
        PortOptions {
            name,
            protocol: Protocol::Http1,
            tls: self.tls.http.clone(),
            limits,
            router,
            instruments: Arc::clone(&self.app.instruments),
            close: self.shutdown.close.clone(),
        }
    }
}

/// Binds a socket. Also returns its address, which has the port that the system chose if `address` has none.
async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |error| StartError::Listen { address, error };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}
