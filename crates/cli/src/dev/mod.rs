//! `portcullis dev`: everything on one machine with nothing to set up: an authority, an example gateway before a demo
//! upstream, and the console with a demonstration.

mod calls;
mod console;
mod envoy;
mod first_minute;
mod parts;
mod printed;
mod story;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use clap::Args;
use tokio::net::TcpListener;

use self::{console::Console, envoy::EnvoyOptions, parts::Dev, printed::print_console};
use crate::shutdown::{listen_for_signals, wait_for_shutdown};

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
    /// Address of the console, with a sign-in that asks for no password.
    #[arg(long, default_value = "127.0.0.1:7470", value_name = "ADDRESS")]
    console_listen: SocketAddr,
    /// Origin of a web page that may call the authority by gRPC-Web, such as http://localhost:3000. May be repeated.
    #[arg(long, value_name = "ORIGIN")]
    web_origin: Vec<String>,
    #[command(flatten)]
    envoy: EnvoyOptions,
    /// Sign in, be admitted, revoke and be refused once; print the times, and exit.
    #[arg(long)]
    demo: bool,
    /// Make a school and a company in a new data directory: people, devices, places, findings, API keys, and their trail.
    #[arg(long)]
    demo_data: bool,
}

/// Longest wait for the gateway's first view.
const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// Starts everything, prints how to use it, and runs until a signal or a failure; with `--demo`, until the
/// demonstration is over.
pub(crate) async fn run(options: Options) -> Result<()> {
    let (dev, console) = Dev::start(&options).await?;
    // The printed commands work at once only if the gateway admits already.
    tokio::time::timeout(READY_TIMEOUT, dev.validator.ready())
        .await
        .context("the gateway does not become ready")?;
    let outcome = match console {
        Some(listener) => serve(&dev, listener, &options).await,
        None => {
            dev.print_addresses(&options);
            // No signal handler here: Ctrl-C interrupts a demonstration like any other command.
            dev.play_demo().await
        }
    };
    dev.close().await;
    outcome
}

/// Starts the console, prints everything, and runs until a signal or a failure.
async fn serve(dev: &Dev, listener: TcpListener, options: &Options) -> Result<()> {
    let console = Console::start(listener, dev, options.demo_data).await?;
    // Before anything is printed: a person or a script may interrupt as soon as it reads the addresses.
    let signal = listen_for_signals()?;
    dev.print_addresses(options);
    print_console(console.address);
    if dev.envoy.is_some() {
        dev.play_demo().await?;
    }
    dev.print_commands(options);
    let outcome = wait_for_shutdown(&dev.authority, signal).await;
    console.close().await;
    outcome
}
