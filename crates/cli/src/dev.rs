//! `portcullis dev`: everything on one machine, with nothing to set up.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use axum::serve::ListenerExt;
use clap::Args;
use portcullis_authority::{
    Authority,
    config::{Config, ConfigError},
    installation::issuer,
    open_store,
};
use portcullis_validator::Validator;
use tokio::net::TcpListener;

use crate::{
    credentials::{Credentials, keep_master_key, make_directory},
    demo,
    serve::{signalled, wait_for_end},
};

/// Options of `dev`.
#[derive(Args)]
pub(crate) struct Options {
    /// Where it keeps its database and credentials.
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
    /// Play the story once (sign in, admitted, revoke, refused), print the times, and exit.
    #[arg(long)]
    demo: bool,
}

/// For the gateway's first view.
const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// A running `dev`.
pub(crate) struct Dev {
    pub(crate) authority: Authority,
    pub(crate) gateway: SocketAddr,
    pub(crate) credentials: Credentials,
}

pub(crate) async fn run(options: Options) -> Result<()> {
    let (validator, dev) = start(&options).await?;
    // What is printed can be used at once.
    tokio::time::timeout(READY_TIMEOUT, validator.ready())
        .await
        .context("the gateway does not become ready")?;
    // A demonstration can be interrupted like any other command.
    let signalled = (!options.demo).then(signalled).transpose()?;
    println!("authority  gRPC  {}", dev.authority.grpc_address);
    println!(
        "authority  HTTP  http://{}/.well-known/jwks.json",
        dev.authority.http_address
    );
    println!("gateway    HTTP  http://{}/whoami", dev.gateway);
    println!(
        "credentials      {}",
        Credentials::file(&options.data_dir).display()
    );
    let ended = match signalled {
        None => demo::play(&dev).await,
        Some(signalled) => {
            print_commands(&options, &dev);
            wait_for_end(&dev.authority, signalled).await
        }
    };
    validator.close().await;
    dev.authority.shut_down().await;
    ended
}

async fn start(options: &Options) -> Result<(Validator, Dev)> {
    let listens = [
        ("--grpc-listen", options.grpc_listen),
        ("--http-listen", options.http_listen),
        ("--gateway-listen", options.gateway_listen),
    ];
    if let Some((flag, _)) = listens
        .iter()
        .find(|(_, address)| !address.ip().is_loopback())
    {
        let problem =
            "`dev` has no TLS and listens on loopback addresses only; use `serve` for others";
        return Err(ConfigError::new(*flag, problem).into());
    }
    make_directory(&options.data_dir)?;
    let credentials = Credentials::keep(&options.data_dir)?;
    let listener = TcpListener::bind(options.gateway_listen).await;
    let listener =
        listener.with_context(|| format!("cannot listen on {}", options.gateway_listen))?;
    let config = config(options, &credentials)?;
    follow_issuer(&config).await?;
    let audience = "gateway";
    let issuer = config.tokens.issuer.clone();
    let authority = Authority::start(config).await?;
    let validator = Validator::builder(format!("http://{}", authority.grpc_address))
        .bearer(&credentials.gateway)
        .issuer(issuer)
        .audience(audience)
        .name("dev gateway")
        .start()?;
    let gateway = listener.local_addr()?;
    let router = portcullis_example_gateway::router(&validator);
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    Ok((
        validator,
        Dev {
            authority,
            gateway,
            credentials,
        },
    ))
}

fn config(options: &Options, credentials: &Credentials) -> Result<Config> {
    let mut config = Config::default();
    config.server.grpc_listen = options.grpc_listen;
    config.server.http_listen = options.http_listen;
    // A port that the system chooses is another each time; the sessions of the time before shall stay good.
    if options.http_listen.port() != 0 {
        config.tokens.issuer = format!("http://{}", options.http_listen);
    }
    config.server.reflection = true;
    config.store.url = format!("sqlite:{}", options.data_dir.display());
    config.keys.master_key_file = keep_master_key(&options.data_dir)?;
    config.callers = credentials.callers();
    Ok(config)
}

/// Lets the issuer of the data directory follow the flag: `dev` has one gate, which is told the new one.
async fn follow_issuer(config: &Config) -> Result<()> {
    let installed = issuer::installed(&config.store).await?;
    if installed.is_some_and(|installed| installed != config.tokens.issuer) {
        let store = open_store(&config.store).await?;
        store.change_issuer(&config.tokens.issuer).await?;
    }
    Ok(())
}

fn print_commands(options: &Options, dev: &Dev) {
    let (file, session) = (
        Credentials::file(&options.data_dir),
        options.data_dir.join("session.json"),
    );
    let (file, session) = (file.display(), session.display());
    let (grpc, gateway) = (dev.authority.grpc_address, dev.gateway);
    println!(
        r#"
Try next (with grpcurl, jq and curl), in another terminal:

  grpcurl -plaintext -H "authorization: Bearer $(jq -r .login {file})" \
    -d '{{"tenant_id": "acme", "user": {{"id": "ada"}}}}' \
    {grpc} portcullis.v1.SessionService/CreateSession > {session}

  curl -i -H "Authorization: Bearer $(jq -r .accessToken {session})" http://{gateway}/whoami

  grpcurl -plaintext -H "authorization: Bearer $(jq -r .admin {file})" \
    -d "{{\"tenant_id\": \"acme\", \"session_id\": $(jq .session.id {session}), \"reason\": \"trying it\"}}" \
    {grpc} portcullis.v1.SessionService/RevokeSession

Then the second command again: the gate has dropped. Ctrl-C ends it."#
    );
}
