//! `portcullis dev`: everything on one machine with nothing to set up: an authority, an example gateway before a demo
//! upstream, and the console with a demonstration.

mod calls;
mod console;
mod envoy;
mod first_minute;
mod options;
mod parts;
mod printed;
mod story;

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpListener;

pub(crate) use self::options::Options;
use self::{console::Console, parts::Dev, printed::print_console};
use crate::shutdown::{listen_for_signals, wait_for_shutdown};

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
    // Kept until the parts have ended in their order, which an early return would skip.
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
    // A failure of the authority ends `dev` too: what is left could show nothing but errors.
    let outcome = wait_for_shutdown(&dev.authority, signal).await;
    console.close().await;
    outcome
}
