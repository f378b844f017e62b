//! `portcullis console`: the pages for people and administrators.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use portcullis_console::{Config, ConfigError, Console, StartError};

use crate::{service_manager, shutdown::listen_for_signals, telemetry};

/// Options of `console`.
#[derive(Args)]
pub(crate) struct Options {
    /// The configuration file (TOML). `PORTCULLIS_CONSOLE_SECTION__KEY` in the environment overrides it.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Only read and check the configuration.
    #[arg(long)]
    check_config: bool,
}

/// Runs a console until a signal, or only checks its configuration.
pub(crate) async fn run(options: Options) -> Result<()> {
    let config = Config::read_file(&options.config)?;
    if options.check_config {
        println!("the configuration is good");
        return Ok(());
    }

    telemetry::start_log(telemetry::Format::Json, telemetry::SERVICE_FILTER);
    // Before the start, so that a signal that arrives during it is kept.
    let signal = listen_for_signals()?;
    let console = Console::start(&config).await?;
    tracing::info!(pages = %console.address(), "listening");
    // Only now: a unit that is ordered after this one may call at once.
    service_manager::tell_ready();

    signal.await;
    service_manager::tell_stopping();
    tracing::info!("draining");
    console.shut_down().await;
    Ok(())
}

/// Returns whether the user of the command can fix the error, in a flag or in the configuration.
pub(crate) fn is_usage(error: &anyhow::Error) -> bool {
    error.is::<ConfigError>() || matches!(error.downcast_ref(), Some(StartError::Config(_)))
}
