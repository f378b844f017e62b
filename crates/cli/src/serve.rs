//! `portcullis serve`, `portcullis migrate`, `portcullis log-version` and `portcullis recover`.

use std::sync::Arc;

use anyhow::Result;
use clap::{Args, Subcommand};
use portcullis_authority::{
    Authority, check, config::Config, installation::recover::recover as begin_history, open_store,
    read_master_keys,
};

use portcullis_contract::delta::LOG_VERSION;
use tokio::signal::unix::{Signal, SignalKind};

use crate::{
    backup::check_database,
    callers_file::CallersFile,
    configuration::Source,
    service_manager,
    shutdown::{listen_for_signals, wait_for_shutdown},
    telemetry,
};

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

/// Options of `log-version`.
#[derive(Args)]
pub(crate) struct LogVersionOptions {
    #[command(flatten)]
    source: Source,
    #[command(subcommand)]
    change: Option<LogVersionChange>,
}

#[derive(Subcommand)]
enum LogVersionChange {
    /// Let authorities write entries of this version. It cannot be lowered, and no older version can run afterwards.
    Raise {
        /// The version.
        #[arg(value_name = "VERSION")]
        to: u32,
    },
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

/// Has the kernel use small pages only.
///
/// Each stream has buffers of 8 and 16 KiB of which it uses the beginning. A huge page makes all of them resident: 46 KiB a
/// stream instead of 38, with ten thousand streams.
fn disable_huge_pages() {
    // A kernel without them refuses, and needs nothing.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "huge pages stay as they are");
    }
}

/// Runs an authority until a signal or a failure, or only checks its configuration.
pub(crate) async fn run(options: Options) -> Result<()> {
    let source = Arc::new(options.source);
    // Taken before the file is read: a change in between is then seen as a change.
    let digest = source.digest();
    let config = source.read()?;
    if options.check_config {
        return print_check(&config).await;
    }

    let traces = telemetry::start(&config.telemetry)?;
    disable_huge_pages();
    // Before the start, so that a signal that arrives during it is kept. The authority then drains as soon as it is up.
    let signal = listen_for_signals()?;
    // Registered before the start as well: an unregistered SIGHUP ends the process.
    let hangup = tokio::signal::unix::signal(SignalKind::hangup())?;
    let authority = Authority::start(config).await?;
    tracing::info!(grpc = %authority.grpc_address, http = %authority.http_address, "listening");
    service_manager::tell_ready();

    let callers_file = CallersFile::new(source, digest);
    let outcome = run_until_ended(&authority, callers_file, signal, hangup).await;
    // Told before the drain, which lasts as long as the calls that are under way.
    service_manager::tell_stopping();
    authority.shut_down().await;
    // Last, so that the spans of the drained calls are exported too.
    if let Some(traces) = traces {
        traces.shut_down().await;
    }
    outcome
}

/// Follows the file of callers and keeps the watchdog quiet, until a signal or a failure.
async fn run_until_ended(
    authority: &Authority,
    callers_file: CallersFile,
    signal: impl Future<Output = ()>,
    hangup: Signal,
) -> Result<()> {
    let callers = authority.callers();
    // The three share this task, and only the first one can end it. None of them may block.
    tokio::select! {
        outcome = wait_for_shutdown(authority, signal) => outcome,
        never = callers_file.follow(&callers, hangup) => match never {},
        never = service_manager::feed_watchdog(authority) => match never {},
    }
}

async fn print_check(config: &Config) -> Result<()> {
    for remark in check(config).await? {
        println!("note: {remark}");
    }
    println!("the configuration is good");
    Ok(())
}

/// Brings the database to this version. Opening a store migrates it.
pub(crate) async fn migrate(options: MigrateOptions) -> Result<()> {
    let config = options.source.read()?;
    let store = open_store(&config.store).await?;
    if options.change_issuer {
        // `serve` refuses another issuer instead: a typing mistake in a file must not make every
        // token invalid.
        store.change_issuer(&config.tokens.issuer).await?;
        println!("the issuer is {}", config.tokens.issuer);
    }
    println!("the database is of this version, or of a later one on which it can run");
    Ok(())
}

/// Raises the version of the log if asked to, and prints it with those who read the log.
pub(crate) async fn log_version(options: LogVersionOptions) -> Result<()> {
    let config = options.source.read()?;
    check_database(&config)?;
    let store = open_store(&config.store).await?;
    if let Some(LogVersionChange::Raise { to }) = options.change {
        store.raise_log_version(to).await?;
    }
    // Read after the change, so that what is printed is in force.
    let versions = store.log_versions().await?;
    println!(
        "the log has version {}, and this build understands {LOG_VERSION}",
        versions.log_version
    );
    for authority in &versions.authorities {
        println!(
            "{}: understands {}, its gates {}",
            authority.name, authority.log_version, authority.gates_log_version
        );
    }
    Ok(())
}

/// Begins a new history, and signs everybody out unless told otherwise.
pub(crate) async fn recover(options: RecoverOptions) -> Result<()> {
    let config = options.source.read()?;
    // Before the store is opened, which migrates it. A wrong key file must change nothing.
    let master = read_master_keys(&config.keys).await?;
    check_database(&config)?;
    let store = open_store(&config.store).await?;
    // Sessions end unless the operator says otherwise: nobody knows which sign-outs were lost, and
    // to sign in again is the smaller harm (I1, I4).
    let recovered = begin_history(&*store, &master, !options.keep_sessions).await?;
    println!(
        "a new history begins at revision {}",
        recovered.head.revision
    );
    Ok(())
}
