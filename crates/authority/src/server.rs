//! The life of an authority: start, serve, drain.
//!
//! [`Authority::compose`] and [`start_app`] are the list of its parts. Each part has its own configuration and its own
//! start; here they only meet. [`ports`] has what is served.
//!
//! Public functions return a boxed future: all that a start awaits is compiled once, in this crate. The body of a plain
//! `async fn` would be compiled again in every binary that awaits it.

mod parts;
mod ports;
mod shutdown;
mod start_error;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use opentelemetry::metrics::Meter;
use tokio::sync::mpsc;

pub use self::start_error::StartError;
use self::{
    parts::start_app,
    ports::{PortTls, Ports, Sockets},
    shutdown::Shutdown,
};
use crate::{
    app::App,
    audit_archive::Archiver,
    audit_export::{self, Exporter},
    callers::Callers,
    config::{Config, ConfigError},
    health::{self, Condition, Pulse, Readiness, Supervisor},
    installation::{issuer, open_store},
    jobs::Jobs,
    keys::{MasterKeys, read_master_keys},
    store::Store,
    telemetry::{
        Telemetry,
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
        let ports = Ports {
            app: &app,
            tls: &tls,
            telemetry: &authority.telemetry,
            tasks: &authority.tasks,
            shutdown: &authority.shutdown,
        };
        ports.serve(sockets);

        // The work that nobody asks for.
        let jobs = Jobs {
            app,
            master,
            measured,
            audit_exports,
            audit_archive,
            tls: tls.into_vec(),
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
