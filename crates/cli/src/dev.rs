//! `portcullis dev`: an authority, and an example gateway before a demo upstream, on one machine with nothing to set up.

use std::{future::pending, net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use axum::serve::ListenerExt;
use clap::Args;
use portcullis_authority::{
    Authority,
    config::{Config, ConfigError},
    installation::issuer,
    open_store,
};
use portcullis_example_gateway::{Gateway, RULES};
use portcullis_validator::{Rules, Validator};
use tokio::net::TcpListener;

use crate::{
    credentials::{Credentials, create_directory, create_master_key},
    demo,
    envoy::{self, Envoy, EnvoyOptions},
    shutdown::{listen_for_signals, wait_for_shutdown},
};

/// Options of `dev`.
#[derive(Args)]
pub(crate) struct Options {
    /// Directory of the database and the credentials.
    #[arg(long, default_value = "./portcullis-data", value_name = "DIR")]
    data_dir: PathBuf,
    /// Address of the authority's gRPC server.
    #[arg(long, default_value = "127.0.0.1:7400", value_name = "ADDRESS")]
    grpc_listen: SocketAddr,
    /// Address of the authority's HTTP server (JWKS, health).
    #[arg(long, default_value = "127.0.0.1:7480", value_name = "ADDRESS")]
    http_listen: SocketAddr,
    /// Address of the example gateway.
    #[arg(long, default_value = "127.0.0.1:7490", value_name = "ADDRESS")]
    gateway_listen: SocketAddr,
    /// Address of the demo upstream: a web application that trusts the gateway's identity headers.
    #[arg(long, default_value = "127.0.0.1:7491", value_name = "ADDRESS")]
    upstream_listen: SocketAddr,
    #[command(flatten)]
    envoy: EnvoyOptions,
    /// Sign in, be admitted, revoke and be refused once; print the times, and exit.
    #[arg(long)]
    demo: bool,
}

/// Longest wait for the gateway's first view.
const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// The proxies that the example gateway trusts. `dev` listens on loopback addresses only, so every caller is one: an
/// application on this machine tells the address of its own client.
const TRUSTED_PROXIES: [&str; 2] = ["127.0.0.0/8", "::1"];

/// The running parts of `dev`.
struct Dev {
    authority: Authority,
    validator: Validator,
    gateway: SocketAddr,
    upstream: SocketAddr,
    credentials: Credentials,
    envoy: Option<Envoy>,
}

/// Starts everything, prints how to use it, and runs until a signal or a failure; with `--demo`, until the
/// demonstration is over.
pub(crate) async fn run(options: Options) -> Result<()> {
    let dev = Dev::start(&options).await?;
    // The printed commands work at once only if the gateway admits already.
    tokio::time::timeout(READY_TIMEOUT, dev.validator.ready())
        .await
        .context("the gateway does not become ready")?;

    let outcome = if options.demo {
        dev.print_addresses(&options);
        // No signal handler here: Ctrl-C interrupts a demonstration like any other command.
        dev.play_demo().await
    } else {
        // Before anything is printed: a person or a script may interrupt as soon as it reads the addresses.
        let signal = listen_for_signals()?;
        dev.print_addresses(&options);
        if dev.envoy.is_some() {
            dev.play_demo().await?;
        }
        dev.print_commands(&options);
        wait_for_shutdown(&dev.authority, signal).await
    };
    // Before the authority, which would wait for its stream.
    drop(dev.envoy);
    // The gate ends first, and can still tell the authority that it leaves.
    dev.validator.close().await;
    dev.authority.shut_down().await;
    outcome
}

impl Dev {
    async fn start(options: &Options) -> Result<Self> {
        check_addresses(options)?;
        let programs = options.envoy.programs()?;
        create_directory(&options.data_dir)?;
        let credentials = Credentials::read_or_create(&options.data_dir)?;
        // Bound before the authority starts, so that a port that is taken fails before the database is touched.
        let upstream_listener = listen(options.upstream_listen).await?;
        let upstream = upstream_listener.local_addr()?;
        let listener = listen(options.gateway_listen).await?;
        let gateway = listener.local_addr()?;

        let config = authority_config(options, &credentials)?;
        let issuer = config.tokens.issuer.clone();
        adopt_issuer(&config).await?;
        let authority = Authority::start(config).await?;
        let validator = Validator::builder(format!("http://{}", authority.grpc_address))
            .bearer(&credentials.gateway)
            .issuer(&issuer)
            .audience("gateway")
            .name("dev gateway")
            .start()?;
        spawn_upstream(upstream_listener);
        spawn_gateway(listener, &validator, upstream)?;
        let envoy = match &programs {
            Some(programs) => {
                let parts = envoy::Parts {
                    authority: authority.grpc_address,
                    upstream,
                    issuer: &issuer,
                    bearer: &credentials.gateway,
                    directory: &options.data_dir,
                };
                let listen = options.envoy.envoy_listen;
                Some(programs.start(listen, &parts).await?)
            }
            None => None,
        };
        Ok(Self {
            authority,
            validator,
            gateway,
            upstream,
            credentials,
            envoy,
        })
    }

    /// Plays the demonstration before Envoy if there is one, and before the example gateway otherwise.
    async fn play_demo(&self) -> Result<()> {
        let gateway = self.door();
        demo::play(self.authority.grpc_address, gateway, &self.credentials).await
    }

    /// The gate that the demonstration and the printed commands use.
    fn door(&self) -> SocketAddr {
        self.envoy
            .as_ref()
            .map_or(self.gateway, |envoy| envoy.address)
    }

    fn print_addresses(&self, options: &Options) {
        println!("authority  gRPC  {}", self.authority.grpc_address);
        println!(
            "authority  HTTP  http://{}/.well-known/jwks.json",
            self.authority.http_address
        );
        println!("upstream   HTTP  http://{}/whoami", self.upstream);
        println!("gateway    HTTP  http://{}/whoami", self.gateway);
        if let Some(envoy) = &self.envoy {
            println!("envoy      HTTP  http://{}/whoami", envoy.address);
        }
        println!(
            "credentials      {}",
            Credentials::file(&options.data_dir).display()
        );
    }

    fn print_commands(&self, options: &Options) {
        let credentials = Credentials::file(&options.data_dir);
        let credentials = credentials.display();
        let session = options.data_dir.join("session.json");
        let session = session.display();
        let grpc = self.authority.grpc_address;
        let gateway = self.door();
        println!(
            r#"
Try next (with grpcurl, jq and curl), in another terminal:

  grpcurl -plaintext -H "authorization: Bearer $(jq -r .login {credentials})" \
    -d '{{"tenant_id": "acme", "user": {{"id": "ada"}}}}' \
    {grpc} portcullis.v1.SessionService/CreateSession > {session}

  curl -i -H "Authorization: Bearer $(jq -r .accessToken {session})" http://{gateway}/whoami

  grpcurl -plaintext -H "authorization: Bearer $(jq -r .admin {credentials})" \
    -d "{{\"tenant_id\": \"acme\", \"session_id\": $(jq .session.id {session}), \"reason\": \"trying it\"}}" \
    {grpc} portcullis.v1.SessionService/RevokeSession

Then the second command again: the gate has dropped. Ctrl-C ends it."#
        );
    }
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
    // Port 0 is a different port at each start. As issuer it would invalidate the tokens of the previous run.
    if options.http_listen.port() != 0 {
        config.tokens.issuer = format!("http://{}", options.http_listen);
    }
    config.store.url = format!("sqlite:{}", options.data_dir.display());
    config.keys.master_key_file = create_master_key(&options.data_dir)?;
    config.callers = credentials.callers();
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
    tokio::spawn(gateway.serve(listener, pending()));
    Ok(())
}
