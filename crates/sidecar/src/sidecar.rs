//! A running sidecar: its start, its parts, its end.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use opentelemetry_sdk::error::OTelSdkError;
use portcullis_gate::Gate;
use portcullis_serving::{
    config::ConfigError,
    connections::{Port, Protocol, serve},
    tls::acceptor,
};
use portcullis_validator::{BuildError, Validator};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{
    config::{self, Config, LimitsConfig, Listen, ListenerConfig},
    doors::{
        Judge,
        ext_authz::{self, ExtAuthz},
        forward_auth::ForwardAuth,
    },
    net::{Handler, Handling, Listener},
    operations::Operations,
    telemetry::{Instruments, Telemetry},
};

/// The time between two looks at the readiness, for gRPC health.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Why a sidecar cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A listener cannot be opened.
    #[error("{key}: cannot listen on {listen}: {error}")]
    Listen {
        /// The key of the listener.
        key: &'static str,
        /// Where it was to listen.
        listen: Listen,
        /// The system's error.
        error: io::Error,
    },
    /// The validator cannot start.
    #[error("authority: {0}")]
    Validator(#[from] BuildError),
    /// Metrics cannot be set up.
    #[error("metrics: {0}")]
    Metrics(#[from] OTelSdkError),
}

/// Where a sidecar listens.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// Of the door for Envoy.
    pub ext_authz: Option<Listen>,
    /// Of the door for forward-auth.
    pub forward_auth: Option<Listen>,
    /// Of health and metrics.
    pub operations: Listen,
}

/// A running sidecar.
pub struct Sidecar {
    addresses: Addresses,
    validator: Validator,
    draining: Arc<AtomicBool>,
    close_doors: CancellationToken,
    doors: TaskTracker,
    close_operations: CancellationToken,
    operations: TaskTracker,
}

impl Sidecar {
    /// Starts a sidecar on the current Tokio runtime. It listens when this returns, and refuses every request until its
    /// validator is ready.
    ///
    /// # Errors
    /// When a setting is invalid or a listener cannot be opened. An authority that cannot be reached is tried again.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        config.check()?;
        // All listeners first: a port that is taken must not leave a gate that the authority waits for.
        let listeners = Listeners::open(config).await?;
        let addresses = listeners.addresses()?;

        let validator = config.validator()?.start()?;
        let telemetry = Telemetry::start()?;
        let meter = telemetry.meter();
        validator.observe(&meter);

        let parts = Parts::new(config, Arc::new(Instruments::new(&meter)));
        // Operations end after the doors, so that the readiness tells of the drain. They have a
        // token and a tracker of their own for that.
        let operations_parts = parts.with_own_end();
        let sidecar = Self {
            addresses,
            validator: validator.clone(),
            draining: Arc::new(AtomicBool::new(false)),
            close_doors: parts.close.clone(),
            doors: parts.tasks.clone(),
            close_operations: operations_parts.close.clone(),
            operations: operations_parts.tasks.clone(),
        };

        let operations = Operations::new(validator, telemetry, Arc::clone(&sidecar.draining));
        operations_parts.serve(listeners.operations, Protocol::Http1, operations)?;
        if let Some(opened) = listeners.forward_auth {
            sidecar.serve_forward_auth(config, &parts, opened)?;
        }
        if let Some(opened) = listeners.ext_authz {
            sidecar.serve_ext_authz(config, &parts, opened)?;
        }
        Ok(sidecar)
    }

    fn serve_forward_auth(
        &self,
        config: &Config,
        parts: &Parts,
        opened: Opened,
    ) -> Result<(), ConfigError> {
        let door = ForwardAuth::new(self.judge(config, parts)?);
        parts.serve(opened, Protocol::Http1, door)
    }

    /// Serves the door for Envoy, with gRPC health beside it.
    fn serve_ext_authz(
        &self,
        config: &Config,
        parts: &Parts,
        opened: Opened,
    ) -> Result<(), ConfigError> {
        let (reporter, health) = tonic_health::server::health_reporter();
        let judge = self.judge(config, parts)?;
        let door = ExtAuthz::new(judge, health, config.rules.cookie.clone());
        parts.serve(opened, Protocol::Http2, door)?;

        let validator = self.validator.clone();
        let close = parts.close.clone();
        parts.tasks.spawn(report_health(validator, reporter, close));
        Ok(())
    }

    fn judge(&self, config: &Config, parts: &Parts) -> Result<Judge, ConfigError> {
        // A new one for each door, so that bad checks at one door do not silence the log about the
        // other.
        let engine = Arc::clone(self.validator.engine());
        let gate = Gate::new(engine, &config.rules).map_err(config::of_rules)?;
        Ok(Judge::new(gate, Arc::clone(&parts.instruments)))
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Its validator.
    #[must_use]
    pub fn validator(&self) -> &Validator {
        &self.validator
    }

    /// Ends the sidecar: it accepts no more connections, finishes the checks that run, and reports the last use of
    /// sessions.
    pub async fn shut_down(self) {
        // Before the doors close, so that the readiness never says `ready` while they take no
        // connection.
        self.draining.store(true, Relaxed);
        self.close_doors.cancel();
        self.doors.close();
        self.doors.wait().await;
        // After the last check, so that its use is reported too.
        self.validator.close().await;
        // Last, so that the readiness says `draining` for as long as that takes.
        self.close_operations.cancel();
        self.operations.close();
        self.operations.wait().await;
    }
}

/// The open sockets of all listeners.
struct Listeners {
    ext_authz: Option<Opened>,
    forward_auth: Option<Opened>,
    operations: Opened,
}

/// An open socket, with the section that describes it.
struct Opened {
    section: &'static str,
    config: ListenerConfig,
    listener: Listener,
}

impl Listeners {
    async fn open(config: &Config) -> Result<Self, StartError> {
        let mut ext_authz = None;
        if let Some(listener) = &config.ext_authz {
            ext_authz = Some(Opened::open("ext_authz", "ext_authz.listen", listener).await?);
        }
        let mut forward_auth = None;
        if let Some(listener) = &config.forward_auth {
            let opened = Opened::open("forward_auth", "forward_auth.listen", listener).await?;
            forward_auth = Some(opened);
        }
        Ok(Self {
            ext_authz,
            forward_auth,
            operations: Opened::open("operations", "operations.listen", &config.operations).await?,
        })
    }

    fn addresses(&self) -> Result<Addresses, StartError> {
        Ok(Addresses {
            ext_authz: self.ext_authz.as_ref().map(Opened::address).transpose()?,
            forward_auth: self
                .forward_auth
                .as_ref()
                .map(Opened::address)
                .transpose()?,
            operations: self.operations.address()?,
        })
    }
}

impl Opened {
    async fn open(
        section: &'static str,
        key: &'static str,
        config: &ListenerConfig,
    ) -> Result<Self, StartError> {
        match Listener::bind(config).await {
            Ok(listener) => Ok(Self {
                section,
                config: config.clone(),
                listener,
            }),
            Err(error) => Err(StartError::Listen {
                key,
                listen: config.listen.clone(),
                error,
            }),
        }
    }

    fn address(&self) -> Result<Listen, StartError> {
        self.listener.address().map_err(|error| StartError::Listen {
            key: self.section,
            listen: self.config.listen.clone(),
            error,
        })
    }
}

/// The parts that listeners share.
#[derive(Clone)]
struct Parts {
    limits: LimitsConfig,
    instruments: Arc<Instruments>,
    close: CancellationToken,
    tasks: TaskTracker,
}

impl Parts {
    fn new(config: &Config, instruments: Arc<Instruments>) -> Self {
        Self {
            limits: config.limits.clone(),
            instruments,
            close: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// The same parts for listeners that end at another time.
    fn with_own_end(&self) -> Self {
        Self {
            close: CancellationToken::new(),
            tasks: TaskTracker::new(),
            ..self.clone()
        }
    }

    /// Serves a listener in a task of its own.
    fn serve(
        &self,
        opened: Opened,
        protocol: Protocol,
        handler: impl Handler,
    ) -> Result<(), ConfigError> {
        // Read again after `check`. If the files have changed and are wrong now, the start fails;
        // the listener never falls back to plain text.
        let tls = opened.config.read_tls(opened.section)?;
        let handling = Arc::new(Handling {
            name: opened.section,
            handler,
            request_timeout: self.limits.request_timeout,
            instruments: Arc::clone(&self.instruments),
        });
        let port = Port {
            name: opened.section,
            protocol,
            tls: tls.map(|tls| acceptor(tls, protocol)),
            bounds: self.limits.bounds(),
            close: self.close.clone(),
        };
        let service = move |()| handling.service();
        self.tasks.spawn(serve(opened.listener, port, service));
        Ok(())
    }
}

/// Keeps gRPC health at the readiness until the doors close.
async fn report_health(validator: Validator, reporter: HealthReporter, close: CancellationToken) {
    let mut looks = interval(LOOK_INTERVAL);
    // After a pause one look is enough, because only the readiness of this moment counts.
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reported = None;
    // A view grows stale without any message, so the readiness is looked at again and again.
    while close.run_until_cancelled(looks.tick()).await.is_some() {
        let status = match validator.is_ready() {
            true => ServingStatus::Serving,
            false => ServingStatus::NotServing,
        };
        // Changes only: each one wakes all clients that watch the health.
        if reported != Some(status) {
            set_health(&reporter, status).await;
            reported = Some(status);
        }
    }
    set_health(&reporter, ServingStatus::NotServing).await;
}

async fn set_health(reporter: &HealthReporter, status: ServingStatus) {
    for service in ["", ext_authz::SERVICE] {
        reporter.set_service_status(service, status).await;
    }
}
