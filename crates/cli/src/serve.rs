//! `portcullis serve`, `portcullis migrate` and `portcullis recover`.

use anyhow::Result;
use clap::Args;
use portcullis_authority::{
    Authority, check, installation::recover::recover as begin_history, open_store, read_master_key,
};
use tokio::signal::unix::{SignalKind, signal};

use crate::{configuration::Source, telemetry};

/// Options of `serve`.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    source: Source,
    /// Only read and check the configuration.
    #[arg(long)]
    check_config: bool,
}

/// Options of `migrate`.
#[derive(Args)]
pub(crate) struct MigrateOptions {
    #[command(flatten)]
    source: Source,
    /// Replace the issuer that the database was installed with by `tokens.issuer`. Gates refuse every token that was
    /// issued before, and have to be told the new issuer.
    #[arg(long)]
    change_issuer: bool,
}

/// Options of `recover`.
#[derive(Args)]
pub(crate) struct RecoverOptions {
    #[command(flatten)]
    source: Source,
    /// Leave everybody signed in. Only when no revocation can have been lost.
    #[arg(long)]
    keep_sessions: bool,
}

pub(crate) async fn run(options: Options) -> Result<()> {
    let config = options.source.read()?;
    if options.check_config {
        for remark in check(&config).await? {
            println!("note: {remark}");
        }
        println!("the configuration is good");
        return Ok(());
    }
    let traces = telemetry::start(&config.telemetry)?;
    let signalled = signalled()?;
    let authority = Authority::start(config).await?;
    tracing::info!(grpc = %authority.grpc_address, http = %authority.http_address, "listening");
    let failure = wait_for_end(&authority, signalled).await;
    authority.shut_down().await;
    if let Some(traces) = traces {
        traces.shut_down().await;
    }
    failure
}

/// Waits until the process is asked to end, or cannot go on: then it ends with an error, so that a supervisor restarts
/// it.
pub(crate) async fn wait_for_end(
    authority: &Authority,
    signalled: impl Future<Output = ()>,
) -> Result<()> {
    tokio::select! {
        () = signalled => Ok(()),
        reason = authority.failed() => Err(anyhow::Error::msg(reason)),
    }
}

pub(crate) async fn migrate(options: MigrateOptions) -> Result<()> {
    let config = options.source.read()?;
    let store = open_store(&config.store).await?;
    if options.change_issuer {
        store.change_issuer(&config.tokens.issuer).await?;
        println!("the issuer is {}", config.tokens.issuer);
    }
    println!("the database is of this version");
    Ok(())
}

pub(crate) async fn recover(options: RecoverOptions) -> Result<()> {
    let config = options.source.read()?;
    let master = read_master_key(&config.keys.master_key_file)?;
    let store = open_store(&config.store).await?;
    let recovered = begin_history(&*store, &master, !options.keep_sessions).await?;
    println!(
        "a new history begins at revision {}",
        recovered.head.revision
    );
    Ok(())
}

/// SIGTERM or SIGINT, from now on: whoever reads that it runs may end it at once.
pub(crate) fn signalled() -> Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
