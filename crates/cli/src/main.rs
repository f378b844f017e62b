//! The `portcullis` command: `dev` to try it, `init` and `serve` to run an authority, `migrate` to prepare a database whose
//! service role may not change the schema, `recover` after a restore, and the commands of administrators and operators.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command writes to the terminal it was typed in"
)]

mod backup;
mod callers_file;
mod check;
mod commands;
mod configuration;
mod console;
mod context;
mod credentials;
mod dev;
mod failure;
mod init;
mod output;
mod serve;
mod service_manager;
mod shutdown;
mod size;
mod telemetry;

use std::{pin::Pin, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::CompleteEnv;

use crate::failure::Failure;

/// Calls make many small allocations on several threads. mimalloc serves those faster than the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A session authority: sign out once, every gate drops.
#[derive(Parser)]
#[command(version, name = "portcullis")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run an authority and an example gateway on this machine, with nothing to set up.
    Dev(dev::Options),
    /// Run an authority.
    Serve(serve::Options),
    /// Run the console: the pages for people and administrators.
    Console(console::Options),
    /// Bring the database to this version, and grant the service its rights.
    Migrate(serve::MigrateOptions),
    /// Show the version of the log and who understands it, or raise it after an upgrade.
    LogVersion(serve::LogVersionOptions),
    /// Begin a new history, after a restore or a failover that may have lost writes. No authority may be running.
    Recover(serve::RecoverOptions),
    /// Copy the database of an authority on SQLite into a file. The authority may be running.
    Backup(backup::BackupOptions),
    /// Put a backup in the place of the database, and begin a new history. No authority may be running.
    Restore(backup::RestoreOptions),
    #[command(flatten)]
    Administration(commands::Administration),
}

/// Exit status after a wrong option or configuration, the same as clap's.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    // When a shell asks for completions this answers, and ends the process. Before the runtime, because completers have
    // one of their own.
    CompleteEnv::with_factory(Cli::command).complete();
    let command = Cli::parse().command;
    match run_to_end(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(failure) = error.downcast_ref::<Failure>() {
                eprintln!("{}", failure.render());
                return ExitCode::from(failure.exit as u8);
            }
            // The alternate form prints all causes: the last one often has the detail to act on.
            eprintln!("portcullis: {error:#}");
            // These commands fail with the errors of their libraries, which know no exit status.
            if configuration::is_usage(&error) || console::is_usage(&error) {
                ExitCode::from(USAGE)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

#[tokio::main]
async fn run_to_end(command: Command) -> anyhow::Result<()> {
    run(command).await
}

/// A command that runs. Boxed, because the compiler makes an unboxed future anew in each unit of the crate that polls it,
/// with all that it awaits.
type Running<T> = Pin<Box<dyn Future<Output = T>>>;

fn run(command: Command) -> Running<anyhow::Result<()>> {
    match command {
        Command::Dev(options) => {
            // `dev` prints commands to try. Lines of information would bury them.
            telemetry::start_log(telemetry::Format::Text, "warn");
            Box::pin(dev::run(options))
        }
        // `serve` starts its own log: the configuration says where traces go.
        Command::Serve(options) => Box::pin(serve::run(options)),
        // It starts its own log after the check of its configuration.
        Command::Console(options) => Box::pin(console::run(options)),
        Command::Migrate(options) => {
            telemetry::start_log(telemetry::Format::Json, telemetry::SERVICE_FILTER);
            Box::pin(serve::migrate(options))
        }
        Command::LogVersion(options) => {
            telemetry::start_log(telemetry::Format::Text, "warn");
            Box::pin(serve::log_version(options))
        }
        Command::Recover(options) => {
            telemetry::start_log(telemetry::Format::Json, telemetry::SERVICE_FILTER);
            Box::pin(serve::recover(options))
        }
        Command::Backup(options) => {
            telemetry::start_log(telemetry::Format::Json, telemetry::SERVICE_FILTER);
            Box::pin(backup::back_up(options))
        }
        Command::Restore(options) => {
            telemetry::start_log(telemetry::Format::Json, telemetry::SERVICE_FILTER);
            Box::pin(backup::restore(options))
        }
        Command::Administration(command) => {
            // People read what these commands print. A warning of a library is still worth a line.
            telemetry::start_log(telemetry::Format::Text, "warn");
            // The failure travels inside of the error, and `main` takes it out again for its exit
            // status.
            Box::pin(async { Ok(commands::run(command).await?) })
        }
    }
}
