//! The `portcullis-sidecar` command.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command writes to the terminal it was typed in"
)]

use std::{
    convert::Infallible, future::pending, panic, path::PathBuf, process::ExitCode, time::Duration,
};

use anyhow::Result;
use clap::{Parser, Subcommand};
use portcullis_sidecar::{Config, ConfigError, ExplainError, Sidecar, StartError};
use sd_notify::NotifyState;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::interval,
};
use tracing_subscriber::EnvFilter;

/// Checks make small allocations on several threads. mimalloc serves those faster than the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Decides for gateways that ask about each request: Envoy by ext_authz, NGINX, Caddy, Traefik and HAProxy by
/// forward-auth.
#[derive(Parser)]
#[command(version, name = "portcullis-sidecar")]
struct Cli {
    /// The configuration file (TOML). `PORTCULLIS_SIDECAR_SECTION__KEY` in the environment overrides it.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Only read and check the configuration.
    #[arg(long)]
    check_config: bool,
    #[command(subcommand)]
    question: Option<Question>,
}

#[derive(Subcommand)]
enum Question {
    /// Print the rule that decides about a request, and what it demands.
    Explain {
        /// The method, as GET.
        method: String,
        /// The address, as `https://shop.example/orders`.
        url: String,
    },
}

/// Exit status after a wrong option or configuration, the same as clap's.
const USAGE: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The alternate form prints all causes: the last one often has the detail to act on.
            eprintln!("portcullis-sidecar: {error:#}");
            if is_usage(&error) {
                ExitCode::from(USAGE)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

async fn run(cli: Cli) -> Result<()> {
    let config = Config::read_file(&cli.config)?;
    if cli.check_config {
        println!("the configuration is good");
        return Ok(());
    }
    if let Some(Question::Explain { method, url }) = cli.question {
        println!("{}", config.explain(&method, &url)?);
        return Ok(());
    }

    start_log();
    log_panics();
    // Before the start, so that a signal that arrives during it is kept.
    let signal = listen_for_signals()?;
    let sidecar = Sidecar::start(&config).await?;
    let addresses = sidecar.addresses();
    tracing::info!(
        ext_authz = addresses.ext_authz.as_ref().map(tracing::field::display),
        forward_auth = addresses.forward_auth.as_ref().map(tracing::field::display),
        operations = %addresses.operations,
        "listening"
    );
    // After the listeners are open: units that wait for this one connect at once.
    tell_service_manager(&NotifyState::Ready);

    // By a timer of the runtime and no thread of its own: a process whose tasks are stuck must not
    // look alive.
    tokio::select! {
        () = signal => {}
        never = feed_watchdog() => match never {},
    }
    tracing::info!("draining");
    tell_service_manager(&NotifyState::Stopping);
    sidecar.shut_down().await;
    Ok(())
}

/// Starts the log: one JSON object a line, on standard error. `RUST_LOG` overrides the filter.
fn start_log() {
    // A malformed `RUST_LOG` counts as unset: a typo in it must not keep a sidecar from starting.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .json()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}

/// Logs the place of a panic, and not its message, which may repeat a part of a request.
fn log_panics() {
    panic::set_hook(Box::new(|panicked| {
        let location = panicked.location().map(ToString::to_string);
        tracing::error!(location, "panicked: report this defect");
    }));
}

/// Keeps systemd's watchdog quiet for as long as tasks run. An authority that is away is no reason to restart.
async fn feed_watchdog() -> Infallible {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return pending().await;
    };
    // Twice in each half of the limit, so that one late turn is no failure.
    let mut ticks = interval((limit / 4).max(Duration::from_millis(1)));
    loop {
        ticks.tick().await;
        tell_service_manager(&NotifyState::Watchdog);
    }
}

/// Tells systemd, if it started this process with `Type=notify`.
fn tell_service_manager(state: &NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(std::slice::from_ref(state)) {
        tracing::warn!(%error, "the service manager was not told");
    }
}

/// Registers for SIGTERM and SIGINT, and returns a future that completes at the first of them.
fn listen_for_signals() -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Returns whether the user of the command can fix the error, in a flag or in the configuration.
fn is_usage(error: &anyhow::Error) -> bool {
    error.is::<ConfigError>()
        || error.is::<ExplainError>()
        || matches!(error.downcast_ref(), Some(StartError::Config(_)))
}
