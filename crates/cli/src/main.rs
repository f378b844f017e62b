//! `portcullis`: `dev` to try it, `serve` to run it, `migrate` before that where the service may not, `recover` after a
//! restore.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it talks to the person who typed it"
)]

mod configuration;
mod credentials;
mod demo;
mod dev;
mod location;
mod serve;
mod telemetry;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Small allocations by several threads are much of what a call costs.
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
    /// Bring the database to this version, and grant the service its rights.
    Migrate(serve::MigrateOptions),
    /// Begin a new history, after a restore or a failover that may have lost writes. No authority may be running.
    Recover(serve::RecoverOptions),
}

/// What a bad option or configuration exits with, as clap does.
const USAGE: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Dev(options) => {
            telemetry::log(false, "warn");
            dev::run(options).await
        }
        // Where its traces go stands in the configuration.
        Command::Serve(options) => serve::run(options).await,
        Command::Migrate(options) => {
            telemetry::log(true, "info");
            serve::migrate(options).await
        }
        Command::Recover(options) => {
            telemetry::log(true, "info");
            serve::recover(options).await
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("portcullis: {error:#}");
            ExitCode::from(if configuration::is_usage(&error) {
                USAGE
            } else {
                1
            })
        }
    }
}
