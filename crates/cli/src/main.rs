//! `portcullis`: `dev` to try it, `serve` to run it, `recover` after a restore.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it talks to the person who typed it")]

mod configuration;
mod credentials;
mod demo;
mod dev;
mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

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
    /// Begin a new history, after a restore or a failover that may have lost writes. No authority may be running.
    Recover(serve::RecoverOptions),
}

/// What a bad option or configuration exits with, as clap does.
const USAGE: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Dev(options) => {
            log(false, "warn");
            dev::run(options).await
        }
        Command::Serve(options) => {
            log(true, "info");
            serve::run(options).await
        }
        Command::Recover(options) => {
            log(true, "info");
            serve::recover(options).await
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("portcullis: {error:#}");
            ExitCode::from(if configuration::is_usage(&error) { USAGE } else { 1 })
        }
    }
}

/// Structured logs on standard error, one event a line; `RUST_LOG` chooses.
fn log(json: bool, default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if json { subscriber.json().init() } else { subscriber.init() }
}
