//! The life of an authority: start, serve, drain.
//!
//! [`Authority::compose`] and [`start_app`] are the list of its parts. Each part has its own configuration and its own
//! start; here they only meet.
//!
//! Public functions return a boxed future: all that a start awaits is compiled once, in this crate. The body of a plain
//! `async fn` would be compiled again in every binary that awaits it.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use futures::future::BoxFuture;
use opentelemetry::metrics::Meter;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    api::{access::Access, grpc, http},
    app::{App, TokenUses},
    audit_archive::Archiver,
    audit_export::{self, Exporter},
    callers::Callers,
    client_info::{places::Places, user_agents},
    config::{Config, ConfigError},
    domain::TURN_MARGIN,
    feed::{
        self, Beats, Feed, FeedError, Gates, Peers, Receipts, Sharing, Validators, watch::WatchHost,
    },
    health::{self, Condition, Pulse, Readiness, Supervisor},
    identity_providers::IdentityProviders,
    installation::{issuer, open_store},
    jobs::Jobs,
    keys::{
        HeadCodes, Keyring, KeyringError, MasterKeys, Secrets, SecretsError, random,
        read_master_keys,
    },
    limits::Limits,
    log::Log,
    net::{self, PortLimits, PortOptions, Protocol, Tls},
    policies::Policies,
    store::{EnforcementStore, LogBatch, Store, StoreError},
    telemetry::{
        Instruments, Telemetry, TelemetryError,
        store_gauges::{self, Measured},
    },
};

/// The most batches on their way from the appender to the feed. The feed reads further ones from the log.
const BATCHES_MAX: usize = 1024;
/// The remark about a configuration without callers, at the start and by `--check-config`.
pub(crate) const NO_CALLERS: &str =
    "no caller is configured: nobody can sign in, watch or revoke until [[callers]] names one";
/// The longest time from "not serving" until no call is accepted any more.
const NOTICE_MAX: Duration = Duration::from_secs(1);

/// The longest wait for the store after everything else has ended.
const END_OF_BEATS_MAX: Duration = Duration::from_secs(2);

/// A running authority.
pub struct Authority {
    /// The address of the gRPC port.
    pub grpc_address: SocketAddr,
    /// The address of the HTTP port.
    pub http_address: SocketAddr,
    /// The address of the listener of metrics. None: the HTTP port has them.
    pub metrics_address: Option<SocketAddr>,
    shutdown: Shutdown,
    tasks: Supervisor,
    telemetry: Arc<Telemetry>,
    drain_timeout: Duration,
    store: Arc<dyn Store>,
    callers: Arc<Callers>,
    /// The id under which it beats.
    id: [u8; 16],
}

/// The steps of a shutdown, in their order.
#[derive(Default)]
struct Shutdown {
    /// Health says "not serving", and streams are told to move to another authority.
    drain: CancellationToken,
    /// No call is accepted any more.
    close: CancellationToken,
    /// Background jobs end.
    stop: CancellationToken,
}

/// The listening sockets, bound before anything else starts: a port that is taken is the likeliest mistake.
struct Sockets {
    grpc: TcpListener,
    grpc_address: SocketAddr,
    http: TcpListener,
    http_address: SocketAddr,
    metrics: Option<(TcpListener, SocketAddr)>,
}

/// TLS of the ports that have it.
struct PortTls {
    grpc: Option<Arc<Tls>>,
    http: Option<Arc<Tls>>,
}

/// Why an authority did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log cannot be followed.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// The secrets cannot be opened.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// There is no key to sign with.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// Telemetry cannot be set up.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        error: io::Error,
    },
}

impl Authority {
    /// Starts an authority. Its ports listen when this returns.
    ///
    /// # Errors
    /// When any part cannot be started; nothing is left running.
    pub fn start(config: Config) -> BoxFuture<'static, Result<Self, StartError>> {
        Box::pin(async move {
            config.check()?;
            if config.callers.is_empty() {
                tracing::warn!("{NO_CALLERS}");
            }
            let master = read_master_keys(&config.keys).await?;
            // Before the store is opened: opening migrates it, which a start that cannot listen must not do.
            let sockets = Sockets::bind(&config).await?;
            let store = open_store(&config.store).await?;
            let durability = store.durability().await?;
            tracing::info!(durability, "store opened");
            let installed = store.keep_issuer(&config.tokens.issuer).await?;
            issuer::compare(&config.tokens.issuer, &installed)?;
            Self::compose(config, store, Arc::new(master), sockets).await
        })
    }

    /// Starts an authority over a store that is open already. `store.url` is ignored.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_over(
        config: Config,
        store: Arc<dyn Store>,
    ) -> BoxFuture<'static, Result<Self, StartError>> {
        Box::pin(async move {
            config.check()?;
            let master = read_master_keys(&config.keys).await?;
            let sockets = Sockets::bind(&config).await?;
            Self::compose(config, store, Arc::new(master), sockets).await
        })
    }

    async fn compose(
        config: Config,
        store: Arc<dyn Store>,
        master: Arc<MasterKeys>,
        sockets: Sockets,
    ) -> Result<Self, StartError> {
        let shutdown = Shutdown::default();
        // If a later part cannot start, dropping these ends the parts that did.
        let unless_started = [
            // Dropped in this order: the supervisor takes a task that ends before the drain for a failure. `close`
            // needs no guard, because nothing can fail any more once a port is served.
            shutdown.drain.clone().drop_guard(),
            shutdown.stop.clone().drop_guard(),
        ];

        // Readiness, which every part reports to, and the supervisor, which ends the process when a task ends.
        let readiness = Arc::new(Readiness::new(&config.readiness));
        let tasks = Supervisor::new(Arc::clone(&readiness), shutdown.drain.clone());
        tasks.watch_readiness(&shutdown.stop);

        // Metrics, for Prometheus and OTLP.
        let (telemetry, instruments) = Telemetry::start(&config.telemetry, config.store.system())?;
        let measured = Arc::default();
        observe_parts(&instruments.meter, &readiness, &store, &measured);

        // The parts that calls work with. The log sends its batches straight to the feed.
        let (appended, batches) = mpsc::channel(BATCHES_MAX);
        let app = start_app(
            config,
            store,
            Arc::clone(&master),
            appended,
            Arc::new(instruments),
            &tasks,
            &shutdown,
        )
        .await?;
        let app = Arc::new(app);

        // Opened before a port is served, because a file of theirs may not be usable.
        let audit_exports = open_audit_exports(&app)?;
        let audit_archive = Archiver::open(&app)?;

        // The ports.
        let tls = PortTls::open(&app)?;
        let authority = Self {
            grpc_address: sockets.grpc_address,
            http_address: sockets.http_address,
            metrics_address: sockets.metrics.as_ref().map(|(_, address)| *address),
            drain_timeout: app.config.server.drain_timeout,
            store: Arc::clone(&app.store),
            callers: Arc::clone(&app.callers),
            id: app.watch.beats.authority(),
            shutdown,
            tasks,
            telemetry: Arc::new(telemetry),
        };
        authority.serve(&app, sockets, &tls);

        // The work that nobody asks for.
        let jobs = Jobs {
            app,
            master,
            measured,
            audit_exports,
            audit_archive,
            tls: tls.grpc.into_iter().chain(tls.http).collect(),
            batches,
        };
        jobs.start(&authority.tasks, &authority.shutdown.stop);

        for guard in unless_started {
            guard.disarm();
        }
        Ok(authority)
    }

    /// The reason why the authority has to end although nobody asked it to: a background task is gone, or the log
    /// cannot be followed. It is not ready any more then. Pending while all is well.
    pub async fn failed(&self) -> String {
        self.tasks.failed().await
    }

    /// The callers, which may be replaced while it serves.
    #[must_use]
    pub fn callers(&self) -> Arc<Callers> {
        Arc::clone(&self.callers)
    }

    /// The time since the last attempt to beat ended, with or without an answer of the store. It grows beyond a few
    /// seconds only if the process hangs, so a watchdog may end it then.
    #[must_use]
    pub fn beat_attempt_age(&self) -> Duration {
        self.tasks.readiness().attempt_age(Pulse::Beat)
    }

    /// Serves the gRPC and the HTTP port, and the metrics.
    fn serve(&self, app: &Arc<App>, sockets: Sockets, tls: &PortTls) {
        let (grpc_limits, http_limits) = PortLimits::of(&app.config);
        // One for all ports: a caller that fills a bound at one has filled it at the others.
        let access = Arc::new(Access::new(app, self.shutdown.close.clone()));
        let grpc = self.grpc_port(&access, app, grpc_limits, tls.grpc.clone());
        // Metrics name the gates and the load. With a listener of their own they are nowhere else.
        let shown = sockets
            .metrics
            .is_none()
            .then(|| Arc::clone(&self.telemetry));
        let routes = http::router(&access, shown, Arc::clone(self.tasks.readiness()));
        let http = self.http_port("http", app, http_limits, routes, tls);
        self.tasks
            .spawn("gRPC port", net::serve(sockets.grpc, grpc));
        self.tasks
            .spawn("HTTP port", net::serve(sockets.http, http));
        if let Some((listener, _)) = sockets.metrics {
            let limits = PortLimits::of_metrics(&app.config.server);
            let routes = http::metrics_router(Arc::clone(&self.telemetry));
            let metrics = self.http_port("metrics", app, limits, routes, tls);
            self.tasks
                .spawn("metrics port", net::serve(listener, metrics));
        }
    }

    fn grpc_port(
        &self,
        access: &Arc<Access>,
        app: &Arc<App>,
        limits: PortLimits,
        tls: Option<Arc<Tls>>,
    ) -> PortOptions {
        let config = &app.config;
        let health = grpc::health::start(&self.tasks, &self.shutdown.stop);
        PortOptions {
            name: "grpc",
            protocol: match config.server.web_origins.is_empty() {
                true => Protocol::Http2,
                false => Protocol::Http1And2,
            },
            tls,
            limits,
            router: grpc::routes(app, Arc::clone(access), health, &config.server),
            instruments: Arc::clone(&app.instruments),
            close: self.shutdown.close.clone(),
        }
    }

    fn http_port(
        &self,
        name: &'static str,
        app: &App,
        limits: PortLimits,
        router: Router,
        tls: &PortTls,
    ) -> PortOptions {
        PortOptions {
            name,
            protocol: Protocol::Http1,
            tls: tls.http.clone(),
            limits,
            router,
            instruments: Arc::clone(&app.instruments),
            close: self.shutdown.close.clone(),
        }
    }

    /// Drains: health says "not serving" and streams are told to move on, then no call is accepted any more, then
    /// running calls may finish, within the drain timeout.
    pub fn shut_down(self) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            tracing::info!("draining");
            let readiness = self.tasks.readiness();
            readiness.raise(Condition::Draining, "the process was asked to end".into());
            self.shutdown.drain.cancel();
            // Calls are accepted until load balancers have had a moment to see that this authority is not serving.
            tokio::time::sleep(NOTICE_MAX.min(self.drain_timeout / 4)).await;
            self.shutdown.close.cancel();
            // Jobs end while calls are still running: a change is acknowledged by the appender alone, which ends with the
            // last handle of the log.
            self.shutdown.stop.cancel();

            let ended = tokio::time::timeout(self.drain_timeout, self.tasks.wait()).await;
            match ended {
                Ok(()) => self.end_beats().await,
                // Something may still write: `portcullis recover` has to wait until the last beat is old.
                Err(_) => tracing::warn!("calls were still running when the drain timeout passed"),
            }
            // Last, so that the metrics of the drained calls are exported.
            self.telemetry.shut_down().await;
        })
    }
}

impl Authority {
    /// Removes the record of this authority's beats, so that `portcullis recover` sees at once that it has ended.
    async fn end_beats(&self) {
        let ending = self.store.end_beats(&self.id);
        match tokio::time::timeout(END_OF_BEATS_MAX, ending).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => error.log("the record of the beats stays"),
            Err(_) => tracing::debug!("the record of the beats stays: the store does not answer"),
        }
    }
}

/// Shows the state of readiness and of the store in the metrics.
fn observe_parts(
    meter: &Meter,
    readiness: &Arc<Readiness>,
    store: &Arc<dyn Store>,
    measured: &Arc<Measured>,
) {
    health::gauges::observe(meter, readiness);
    store_gauges::observe(meter, store);
    store_gauges::observe_measured(meter, measured);
}

/// Opens the destinations of the audit trail.
fn open_audit_exports(app: &App) -> Result<Vec<Exporter>, ConfigError> {
    let parts = audit_export::Parts {
        store: &app.store,
        feed: &app.feed,
        authority: app.watch.beats.authority(),
        meter: &app.instruments.meter,
    };
    audit_export::open(&app.config.audit_exports, &parts)
}

/// Starts the parts that calls work with.
async fn start_app(
    config: Config,
    store: Arc<dyn Store>,
    master: Arc<MasterKeys>,
    appended: mpsc::Sender<LogBatch>,
    instruments: Arc<Instruments>,
    tasks: &Supervisor,
    shutdown: &Shutdown,
) -> Result<App, StartError> {
    // The life of tokens is announced before any is issued: no generation may be forgotten while its tokens live.
    store
        .token_life(config.tokens.access_token_lifetime, TURN_MARGIN)
        .await?;

    // The secrets that all authorities of the installation share.
    let secrets = Secrets::load(
        Arc::clone(&store),
        Arc::clone(&master),
        config.keys.activation_delay,
    )
    .await?;

    // The log, which commits entries in batches.
    let enforcement: Arc<dyn EnforcementStore> = store.clone();
    let log = Log::start(
        &enforcement,
        &config.log,
        &appended,
        Arc::clone(&instruments),
        tasks,
    );

    // The keys to sign with.
    let keyring = Keyring::start(
        Arc::clone(&store),
        Arc::clone(&master),
        &log,
        config.keys.algorithm,
    )
    .await?;

    // The feed, with the gates that watch it, and the receipts of changes.
    let following = start_following(
        &config,
        &enforcement,
        master,
        Arc::clone(&secrets.heads),
        &instruments,
        tasks,
        shutdown,
    )
    .await?;

    // The services that may call.
    let callers = Arc::new(Callers::new(&config.callers)?);
    callers.observe(&instruments.meter);

    // The devices and places of clients.
    user_agents::warm_up();
    let places = Places::open_configured(&config.places)?;

    // The identity providers whose logouts end sessions.
    let identity_providers = IdentityProviders::open(&config.identity_providers)?;

    // The bounds of callers, and the policies of tenants.
    let limits = Limits::new(&config.limits, Arc::clone(&store), Arc::clone(&instruments));
    let policies = Policies::new(Arc::clone(&store), config.sessions.default_policy());

    Ok(App {
        config,
        callers,
        store,
        log,
        limits,
        identity_providers,
        feed: following.feed,
        receipts: following.receipts,
        peers: following.peers,
        gates: Arc::clone(&following.watch.gates),
        watch: following.watch,
        keyring: Arc::new(keyring),
        secrets: Arc::new(secrets),
        policies: Arc::new(policies),
        refused_sign_ins: Arc::default(),
        places: Arc::new(places),
        instruments,
        token_uses: TokenUses::default(),
        drain: shutdown.drain.clone(),
    })
}

/// The parts that follow the log and prove it to gates.
struct Following {
    feed: Arc<Feed>,
    watch: Arc<WatchHost>,
    peers: Arc<Peers>,
    receipts: Receipts,
}

/// Starts the parts that follow the log and prove it to gates.
async fn start_following(
    config: &Config,
    store: &Arc<dyn EnforcementStore>,
    master: Arc<MasterKeys>,
    heads: Arc<HeadCodes>,
    instruments: &Arc<Instruments>,
    tasks: &Supervisor,
    shutdown: &Shutdown,
) -> Result<Following, StartError> {
    // The feed: the view that follows the log, for this authority and for every stream.
    let feed = Feed::open(Arc::clone(store), master, &config.watch).await?;
    let feed = Arc::new(feed);

    // The streams of gates that watch this authority.
    let (watch, peers) = start_watch(config, store, &feed, heads, instruments, tasks, shutdown);

    // The receipts of changes.
    let receipts = Receipts::new(
        Arc::clone(&feed),
        Arc::clone(&watch.validators),
        Arc::clone(&peers),
        config.watch.receipts_max,
        config.watch.staleness_max,
    );
    Ok(Following {
        feed,
        watch: Arc::new(watch),
        peers,
        receipts,
    })
}

/// Starts the beats and the look at the other authorities, and makes the host of the streams.
fn start_watch(
    config: &Config,
    store: &Arc<dyn EnforcementStore>,
    feed: &Arc<Feed>,
    heads: Arc<HeadCodes>,
    instruments: &Arc<Instruments>,
    tasks: &Supervisor,
    shutdown: &Shutdown,
) -> (WatchHost, Arc<Peers>) {
    let validators = Arc::new(Validators::new(Arc::clone(instruments)));
    // Another one at each start: the row of the process before stays, so that receipts do not
    // forget its gates.
    let authority: [u8; 16] = random();
    // The row of this authority for the others.
    let sharing = Sharing::new(
        Arc::clone(store),
        Arc::clone(&validators),
        authority,
        replica_name(&authority),
    );
    // The beats: proof that a head is fresh.
    let beats = Beats::start(
        Arc::clone(store),
        Arc::clone(&heads),
        Arc::clone(&sharing),
        config.readiness.beat_interval,
        tasks,
    );
    // The other authorities.
    let peers = Peers::new(
        Arc::clone(store),
        Arc::clone(&validators),
        sharing,
        config.watch.staleness_max,
    );
    tasks.spawn_until(&shutdown.stop, "peers", Arc::clone(&peers).run());
    feed::metrics::observe(&instruments.meter, feed, &validators);
    let host = WatchHost {
        config: config.watch.clone(),
        feed: Arc::clone(feed),
        store: Arc::clone(store),
        beats,
        validators,
        gates: Arc::new(Gates::default()),
        heads,
        readiness: Arc::clone(tasks.readiness()),
        drain: shutdown.drain.clone(),
    };
    (host, peers)
}

/// The name of this authority, for operators: that of its host, and a part of its id.
fn replica_name(authority: &[u8; 16]) -> String {
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy();
    let [first, second, third, ..] = authority;
    format!("{host}-{first:02x}{second:02x}{third:02x}")
}

impl Sockets {
    async fn bind(config: &Config) -> Result<Self, StartError> {
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

impl PortTls {
    fn open(app: &App) -> Result<Self, ConfigError> {
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
}

/// Binds a socket. Also returns its address, which has the port that the system chose if `address` has none.
async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |error| StartError::Listen { address, error };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}
