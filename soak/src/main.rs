//! `cargo xtask soak`: sign-ins, refreshes and revocations, gates that join and leave, and a fault every few seconds.
//!
//! Two authorities in processes of their own share one PostgreSQL server. Every gate is compared all along with a
//! [`ledger`] of what was acknowledged. Three things must never be seen: a revocation that is lost, a token that is
//! accepted later than the bound, and a live session that is refused for a reason of its own.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command writes to the terminal it was typed in"
)]

mod faults;
mod gates;
mod ledger;
mod plots;
mod report;
mod traffic;
mod world;

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Result;
use clap::Parser;
use rand::{SeedableRng, rngs::StdRng};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{gates::Gates, ledger::Ledger, report::Report, world::World};

/// Options of the soak.
#[derive(Parser)]
struct Options {
    /// How long it runs.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// Decides the order and the length of the faults. Unset: drawn, and printed.
    #[arg(long)]
    seed: Option<u64>,
    /// Where `soak.html` and `soak.json` go.
    #[arg(long, default_value = "target/soak")]
    out: PathBuf,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let seed = options.seed.unwrap_or_else(rand::random);
    println!("soak: {} minutes, --seed {seed}", options.minutes);

    let report = run(&options, seed).await;
    report.write(&options.out)?;
    println!("{}", report.summary());
    println!("{}", options.out.join("soak.html").display());
    match report.is_clean() {
        true => Ok(ExitCode::SUCCESS),
        false => Ok(ExitCode::FAILURE),
    }
}

async fn run(options: &Options, seed: u64) -> Report {
    let ledger = Arc::new(Ledger::default());
    let mut world = World::start().await;
    let callers = world.callers();
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    traffic::start(&callers, &ledger, &stop, &tasks);
    let mut gates = Gates::start(&world, &ledger).await;

    let duration = Duration::from_secs(60 * options.minutes);
    let mut random = StdRng::seed_from_u64(seed);
    faults::run(&mut world, &mut gates, &ledger, duration, &mut random).await;

    stop.cancel();
    tasks.close();
    tasks.wait().await;
    let gates_seen = gates.close(&ledger).await;
    ledger.report(options.minutes, seed, gates_seen)
}
