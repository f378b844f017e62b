//! The parts of `dev`, started in their order.

use std::{future::pending, net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use axum::serve::ListenerExt;
use portcullis_authority::{
    Authority,
    config::{Config, ConfigError},
    installation::issuer,
    open_store,
};
use portcullis_example_gateway::{Gateway, RULES};
use portcullis_validator::{Rules, Validator};
use tokio::net::TcpListener;

use super::{
    envoy::{self, Envoy, Programs},
    first_minute,
    options::Options,
    story,
};
use crate::credentials::{Credentials, create_directory, create_master_key};

/// The proxies that the example gateway trusts. `dev` listens on loopback addresses only, so every caller is one: an
/// application on this machine tells the address of its own client.
const TRUSTED_PROXIES: [&str; 2] = ["127.0.0.0/8", "::1"];

/// The time between two measurements of the delay of enforcement.
const CANARY_INTERVAL: Duration = Duration::from_secs(10);

/// The running parts of `dev`, but for the console.
pub(super) struct Dev {
    pub(super) authority: Authority,
    pub(super) validator: Validator,
    pub(super) issuer: String,
    pub(super) gateway: SocketAddr,
    pub(super) upstream: SocketAddr,
    pub(super) credentials: Credentials,
    pub(super) envoy: Option<Envoy>,
}

impl Dev {
    /// Starts the parts. Returns the listener of the console too, unless `--demo` needs none.
    pub(super) async fn start(options: &Options) -> Result<(Self, Option<TcpListener>)> {
        check_addresses(options)?;
        // Before anything is made: a wrong path leaves no directory behind.
        let programs = options.envoy.programs()?;
        create_directory(&options.data_dir)?;
        let credentials = Credentials::read_or_create(&options.data_dir)?;
        // Bound before the authority starts, so that a port that is taken fails before the database is touched.
        let upstream_listener = listen(options.upstream_listen).await?;
        let upstream = upstream_listener.local_addr()?;
        let listener = listen(options.gateway_listen).await?;
        let gateway = listener.local_addr()?;
        let console = match options.demo {
            true => None,
            false => Some(listen(options.console_listen).await?),
        };

        let config = authority_config(options, &credentials)?;
        let issuer = config.tokens.issuer.clone();
        // Before the start, which refuses an issuer other than the installed one.
        adopt_issuer(&config).await?;
        let authority = Authority::start(config).await?;
        let validator = start_validator(&authority, &credentials, &issuer)?;
        spawn_upstream(upstream_listener);
        spawn_gateway(listener, &validator, upstream)?;
        let mut dev = Self {
            authority,
            validator,
            issuer,
            gateway,
            upstream,
            credentials,
            envoy: None,
        };
        if let Some(programs) = programs {
            dev.envoy = Some(dev.start_envoy(&programs, options).await?);
        }
        Ok((dev, console))
    }

    async fn start_envoy(&self, programs: &Programs, options: &Options) -> Result<Envoy> {
        let parts = envoy::Parts {
            authority: self.authority.grpc_address,
            upstream: self.upstream,
            issuer: &self.issuer,
            bearer: &self.credentials.gateway,
            directory: &options.data_dir,
        };
        programs.start(options.envoy.envoy_listen, &parts).await
    }

    /// Plays the demonstration before Envoy if there is one, and before the example gateway otherwise.
    pub(super) async fn play_demo(&self) -> Result<()> {
        let gateway = self.door();
        story::play(self.authority.grpc_address, gateway, &self.credentials).await
    }

    /// The gate that the demonstration and the printed commands use.
    pub(super) fn door(&self) -> SocketAddr {
        self.envoy
            .as_ref()
            .map_or(self.gateway, |envoy| envoy.address)
    }

    /// Ends everything in an order in which nothing waits for another part.
    pub(super) async fn close(self) {
        // Before the authority, which would wait for its stream.
        drop(self.envoy);
        // The gate ends first, and can still tell the authority that it leaves.
        self.validator.close().await;
        self.authority.shut_down().await;
    }
}

/// Starts the gate of the example gateway.
fn start_validator(
    authority: &Authority,
    credentials: &Credentials,
    issuer: &str,
) -> Result<Validator> {
    let validator = Validator::builder(format!("http://{}", authority.grpc_address))
        .bearer(&credentials.gateway)
        .issuer(issuer)
        .audience("gateway")
        .name("dev gateway")
        .start()?;
    Ok(validator)
}

async fn listen(address: SocketAddr) -> Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| format!("cannot listen on {address}"))
}

fn check_addresses(options: &Options) -> Result<(), ConfigError> {
    let flags = [
        ("--grpc-listen", options.grpc_listen),
        ("--http-listen", options.http_listen),
        ("--gateway-listen", options.gateway_listen),
        ("--upstream-listen", options.upstream_listen),
        ("--console-listen", options.console_listen),
        ("--envoy-listen", options.envoy.envoy_listen),
    ];
    for (flag, address) in flags {
        // The bearer strings would cross the network in clear.
        if !address.ip().is_loopback() {
            let problem =
                "`dev` has no TLS and listens on loopback addresses only; use `serve` for others";
            return Err(ConfigError::new(flag, problem));
        }
    }
    Ok(())
}

fn authority_config(options: &Options, credentials: &Credentials) -> Result<Config> {
    let mut config = Config::default();
    config.server.grpc_listen = options.grpc_listen;
    config.server.http_listen = options.http_listen;
    // The printed grpcurl commands find the services by reflection and need no proto files.
    config.server.reflection = true;
    config.server.web_origins.clone_from(&options.web_origin);
    // Port 0 is a different port at each start. As issuer it would invalidate the tokens of the previous run.
    if options.http_listen.port() != 0 {
        config.tokens.issuer = format!("http://{}", options.http_listen);
    }
    config.store.url = format!("sqlite:{}", options.data_dir.display());
    config.keys.master_key_file = create_master_key(&options.data_dir)?;
    config.callers = credentials.callers();
    if !options.demo {
        // Only beside the console: the demonstration in the terminal shows no places.
        config.places = first_minute::write_databases(&options.data_dir)?;
        // Its administrators see the gates, and may verify the trail.
        config.server.operators_tenant = Some(first_minute::OPERATORS.into());
        // Somebody who has just started looks for a measurement at once.
        config.watch.canary_interval = CANARY_INTERVAL;
    }
    Ok(config)
}

/// Changes the issuer of an existing data directory to the one of the flags. `serve` refuses to do so because gates
/// would have to be told; the only gate of `dev` starts with the new issuer.
async fn adopt_issuer(config: &Config) -> Result<()> {
    let installed = issuer::installed(&config.store).await?;
    if installed.is_some_and(|installed| installed != config.tokens.issuer) {
        let store = open_store(&config.store).await?;
        store.change_issuer(&config.tokens.issuer).await?;
    }
    Ok(())
}

fn spawn_upstream(listener: TcpListener) {
    // Without it, Nagle's algorithm delays small answers, and the printed times show that instead of the gate.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let router = portcullis_example_upstream::router();
    tokio::spawn(async move { axum::serve(listener, router).await });
}

fn spawn_gateway(listener: TcpListener, validator: &Validator, upstream: SocketAddr) -> Result<()> {
    let mut rules = Rules::from_toml(RULES)?;
    rules.trusted_proxies = TRUSTED_PROXIES.map(str::to_owned).to_vec();
    let gateway = Gateway::new(validator, &rules, upstream.to_string().parse()?)?;
    // It never drains: it ends with the process, and nobody waits for an answer of it then.
    tokio::spawn(gateway.serve(listener, pending()));
    Ok(())
}
