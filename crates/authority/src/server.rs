//! One page of wiring: open, compose, listen, serve, drain.

use std::{io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use portcullis_contract::{key::CredentialKind, position::Position, view::Frame};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    api::{
        grpc::{Access, routes},
        http,
    },
    app::App,
    client_info::{
        places::{Places, reload},
        user_agents,
    },
    config::{Config, ConfigError, StoreConfig},
    feed::{Beats, Feed, FeedError, Gates, Validators},
    health::{Condition, Readiness, Supervisor},
    installation::{
        files::{self, open_places, read_master_key},
        issuer,
    },
    jobs::{
        audit_outbox::record,
        log_maintenance::{Maintenance, maintain},
        retention,
        sweep::Sweeper,
        write_check,
    },
    keys::{Keyring, KeyringError, MasterKey, Secrets, SecretsError, random},
    limits::Limits,
    log::Log,
    net::{self, PortLimits, PortOptions, Protocol},
    policies::Policies,
    store::{
        Store, StoreError,
        postgres::{self, Postgres},
        sql::SqlStore,
        sqlite::Sqlite,
    },
    telemetry::{Telemetry, TelemetryError},
};

/// A running authority.
pub struct Authority {
    /// Where gRPC is served.
    pub grpc_address: SocketAddr,
    /// Where HTTP is served.
    pub http_address: SocketAddr,
    /// Tells health and streams.
    drain: CancellationToken,
    /// Ends the taking of calls.
    close: CancellationToken,
    /// Ends the background work.
    stop: CancellationToken,
    tasks: Supervisor,
    telemetry: Arc<Telemetry>,
    drain_timeout: Duration,
}

/// Batches on their way from the appender to the feed; what does not fit is read from the log.
const FRAMES_MAX: usize = 1024;
/// Told at the start and by `--check-config`.
const NO_CALLERS: &str =
    "no caller is configured: nobody can sign in, watch or revoke until [[callers]] names one";
/// Between "not serving" and the end of serving.
const NOTICE: Duration = Duration::from_secs(1);

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
        /// Why not.
        error: io::Error,
    },
}

/// Opens the store that the configuration names.
///
/// # Errors
/// When it cannot be opened.
pub async fn open_store(config: &StoreConfig) -> Result<Arc<dyn Store>, StoreError> {
    if let Some(directory) = config.url.strip_prefix("sqlite:") {
        let sqlite = Sqlite::connect(Path::new(directory)).await?;
        let sqlite = sqlite.search_timeout(config.search_timeout);
        return Ok(Arc::new(SqlStore::open(Arc::new(sqlite)).await?));
    }
    let options = config.postgres_options();
    Ok(Arc::new(Postgres::open(&config.url, &options).await?))
}

/// Checks a configuration and the files that it names, without starting anything or changing the store. Returns
/// remarks for the operator: what could not be checked, and what is allowed but rarely meant.
///
/// # Errors
/// The first thing that would keep an authority from starting.
pub async fn check(config: &Config) -> Result<Vec<String>, StartError> {
    config.check()?;
    read_master_key(&config.keys.master_key_file)?;
    open_places(&config.places)?;
    files::tls(&config.server)?;

    let mut remarks = Vec::new();
    if config.callers.is_empty() {
        remarks.push(NO_CALLERS.to_owned());
    }
    match issuer::installed(&config.store).await {
        Ok(Some(installed)) => issuer::compare(&config.tokens.issuer, &installed)?,
        Ok(None) => {}
        Err(error) => remarks.push(format!("tokens.issuer was not compared: {error}")),
    }
    remarks.extend(look_at_store(&config.store).await?);
    Ok(remarks)
}

/// A remark about the database's settings, or why they could not be looked at. A directory of SQLite needs none.
async fn look_at_store(config: &StoreConfig) -> Result<Option<String>, StartError> {
    if config.url.starts_with("sqlite:") {
        return Ok(None);
    }
    match postgres::examine(&config.url, &config.postgres_options()).await {
        Ok(durability) => Ok(Some(format!("durability: {durability}"))),
        Err(error) if error.is_retryable() => {
            Ok(Some(format!("the database was not looked at: {error}")))
        }
        Err(error) => Err(error.into()),
    }
}

impl Authority {
    /// Starts an authority: it listens when this returns.
    ///
    /// # Errors
    /// When any part cannot be started; nothing is left running.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        config.check()?;
        if config.callers.is_empty() {
            tracing::warn!("{NO_CALLERS}");
        }
        let master = Arc::new(read_master_key(&config.keys.master_key_file)?);
        let grpc = listen(config.server.grpc_listen).await?;
        let http = listen(config.server.http_listen).await?;
        let store = open_store(&config.store).await?;
        tracing::info!(durability = store.durability().await?, "store opened");
        issuer::keep(&*store, &config.tokens.issuer).await?;
        Self::compose(config, store, master, grpc, http).await
    }

    /// Starts an authority over a store that is open, whatever `store.url` says.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_over(config: Config, store: Arc<dyn Store>) -> Result<Self, StartError> {
        config.check()?;
        let master = Arc::new(read_master_key(&config.keys.master_key_file)?);
        let grpc = listen(config.server.grpc_listen).await?;
        let http = listen(config.server.http_listen).await?;
        Self::compose(config, store, master, grpc, http).await
    }

    async fn compose(
        config: Config,
        store: Arc<dyn Store>,
        master: Arc<MasterKey>,
        grpc: TcpListener,
        http: TcpListener,
    ) -> Result<Self, StartError> {
        let drain = CancellationToken::new();
        // What was started ends again, without a word, when a later part cannot be.
        let unless_started = drain.clone().drop_guard();
        let readiness = Arc::new(Readiness::new(&config.readiness));
        let tasks = Supervisor::new(Arc::clone(&readiness), drain.clone());
        let (appended, frames) = mpsc::channel(FRAMES_MAX);
        store
            .token_life(config.tokens.access_token_lifetime)
            .await?;
        user_agents::warm_up();
        let places = Arc::new(open_places(&config.places)?);
        let secrets = Secrets::load(&*store, &master).await?;
        let (telemetry, instruments) = Telemetry::start(&config.telemetry, config.store.system())?;
        let (telemetry, instruments) = (Arc::new(telemetry), Arc::new(instruments));
        let recorder = Arc::clone(&instruments);
        let log = Log::start(Arc::clone(&store), &config.log, appended, recorder, &tasks);
        let keyring = Arc::new(Keyring::open(Arc::clone(&store), Arc::clone(&master)).await?);
        for credential in [CredentialKind::ApiKey, CredentialKind::Session] {
            keyring
                .ensure_first(&log, credential, config.keys.algorithm)
                .await?;
        }
        let feed = Feed::open(Arc::clone(&store), Arc::clone(&master), &config.watch).await?;
        let feed = Arc::new(feed);
        let validators = Arc::new(Validators::new(Arc::clone(&instruments)));
        instruments.observe(&feed, &validators);
        instruments.observe_readiness(&readiness);
        let beat_interval = config.readiness.beat_interval;
        instruments.observe_store(&store);
        let limits = Limits::new(&config.limits, Arc::clone(&store), Arc::clone(&instruments));
        let core = Arc::new(App {
            limits,
            beats: Beats::start(Arc::clone(&store), random(), beat_interval, &tasks),
            validators,
            gates: Arc::new(Gates::default()),
            instruments,
            log: log.clone(),
            feed: Arc::clone(&feed),
            keyring: Arc::clone(&keyring),
            store: Arc::clone(&store),
            drain: drain.clone(),
            readiness,
            config: config.clone(),
            secrets,
            places: Arc::clone(&places),
            policies: Arc::new(Policies::new(
                Arc::clone(&store),
                config.sessions.default_policy(),
            )),
        });
        let authority = Self {
            grpc_address: local_address(&grpc, config.server.grpc_listen)?,
            http_address: local_address(&http, config.server.http_listen)?,
            drain_timeout: config.server.drain_timeout,
            drain,
            close: CancellationToken::new(),
            stop: CancellationToken::new(),
            tasks,
            telemetry,
        };
        authority.serve(&core, grpc, http)?;
        authority.watch_readiness(&core);
        authority.follow(&core, frames);
        authority.keep_in_order(&core, places, master);
        unless_started.disarm();
        Ok(authority)
    }

    /// Ends the process's claim to be ready when a part cannot do its work, and the process when waiting cannot help.
    fn watch_readiness(&self, core: &App) {
        let readiness = Arc::clone(self.tasks.readiness());
        let supervisor = self.tasks.clone();
        self.spawn("readiness", async move {
            supervisor.fail(Condition::Feed, readiness.watch().await);
            // The end is asked for; nothing is left to watch.
            std::future::pending::<()>().await;
        });
        self.spawn(
            "write check",
            write_check::check_writes(
                Arc::clone(&core.store),
                core.config.readiness.beat_interval,
                Arc::clone(self.tasks.readiness()),
            ),
        );
    }

    /// Follows the log, and the signing keys in it.
    fn follow(&self, core: &App, frames: mpsc::Receiver<(Frame, Position)>) {
        let readiness = Arc::clone(self.tasks.readiness());
        let (feed, config) = (Arc::clone(&core.feed), core.config.log.clone());
        let stop = self.stop.clone();
        self.tasks.spawn("feed", async move {
            feed.follow(&config, frames, &readiness, &stop).await;
        });
        let (feed, keyring) = (Arc::clone(&core.feed), Arc::clone(&core.keyring));
        self.spawn("keys", async move { follow_keys(&feed, &keyring).await });
    }

    /// Keeps rows, the log and the databases of places in order.
    fn keep_in_order(&self, core: &App, places: Arc<Places>, master: Arc<MasterKey>) {
        let (store, log, config) = (&core.store, &core.log, &core.config);
        let retention = config.sessions.retention;
        self.tasks.spawn(
            "retention",
            retention::sweep(Arc::clone(store), retention, self.stop.clone()),
        );
        self.tasks
            .spawn("places", reload(places, self.stop.clone()));
        self.tasks.spawn(
            "record",
            record(Arc::clone(store), log.clone(), self.stop.clone()),
        );
        let sweeper = Sweeper::new(
            Arc::clone(store),
            log.clone(),
            Arc::clone(&core.gates),
            config.sessions.clone(),
        );
        self.spawn("sweep", sweeper.run());
        let maintenance = Maintenance {
            store: Arc::clone(store),
            log: log.clone(),
            feed: Arc::clone(&core.feed),
            keyring: Arc::clone(&core.keyring),
            readiness: Arc::clone(self.tasks.readiness()),
            master,
            config: config.clone(),
        };
        let stop = self.stop.clone();
        self.tasks.spawn("maintenance", maintain(maintenance, stop));
    }

    /// Runs a task that may be dropped at any point, until the authority stops.
    fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(name, stop.run_until_cancelled_owned(work));
    }

    /// Why the authority has to end although nobody asked it to: a background task is gone, or the log cannot be
    /// followed. It is not ready any more. Pending while all is well.
    pub async fn failed(&self) -> String {
        self.tasks.failed().await
    }

    fn serve(
        &self,
        core: &Arc<App>,
        grpc: TcpListener,
        http: TcpListener,
    ) -> Result<(), StartError> {
        let config = &core.config;
        let access = Access::new(core, self.close.clone())?;
        let (reporter, health) = tonic_health::server::health_reporter();
        let readiness = Arc::clone(self.tasks.readiness());
        self.spawn(
            "health",
            write_check::report(Arc::clone(&readiness), reporter),
        );

        let (grpc_limits, http_limits) = PortLimits::of(config);
        let grpc_port = PortOptions {
            name: "grpc",
            protocol: Protocol::Http2,
            tls: files::tls(&config.server)?,
            limits: grpc_limits,
            router: routes(core, access, health, config.server.reflection),
            instruments: Arc::clone(&core.instruments),
            close: self.close.clone(),
        };
        let router = http::router(
            Arc::clone(&core.feed),
            Arc::clone(&self.telemetry),
            readiness,
        );
        let http_port = PortOptions {
            name: "http",
            protocol: Protocol::Http1,
            tls: None,
            limits: http_limits,
            router,
            instruments: Arc::clone(&core.instruments),
            close: self.close.clone(),
        };
        self.tasks.spawn("gRPC port", net::serve(grpc, grpc_port));
        self.tasks.spawn("HTTP port", net::serve(http, http_port));
        Ok(())
    }

    /// Drains: health says so and streams are told to move on, then no call is taken any more, then those that run
    /// may finish, within the drain timeout.
    pub async fn shut_down(self) {
        tracing::info!("draining");
        self.tasks
            .readiness()
            .raise(Condition::Draining, "the process was asked to end".into());
        self.drain.cancel();
        // Load balancers look at health; calls are served until they have had a moment to.
        tokio::time::sleep(NOTICE.min(self.drain_timeout / 4)).await;
        self.close.cancel();
        self.stop.cancel();
        if tokio::time::timeout(self.drain_timeout, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("calls were still running when the drain timeout passed");
        }
        self.telemetry.shut_down().await;
    }
}

/// Keeps the signing keys as the log has them: another authority may have rotated.
async fn follow_keys(feed: &Feed, keyring: &Keyring) {
    let mut position = feed.position();
    let keys = || {
        feed.view()
            .trusted_keys()
            .iter()
            .map(|key| key.id.clone())
            .collect::<Vec<_>>()
    };
    let mut known = keys();
    while position.changed().await.is_ok() {
        let now = keys();
        if now == known {
            continue;
        }
        match keyring.reload().await {
            Ok(()) => known = now,
            Err(error) => tracing::error!(%error, "signing keys cannot be read"),
        }
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|error| StartError::Listen { address, error })
}

fn local_address(listener: &TcpListener, address: SocketAddr) -> Result<SocketAddr, StartError> {
    listener
        .local_addr()
        .map_err(|error| StartError::Listen { address, error })
}
