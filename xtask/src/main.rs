//! Every chore of this workspace: `cargo xtask --help` lists them. CI runs the same chores, so a change that passes here
//! passes there.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a chore writes to the terminal it was typed in"
)]

mod bench;
mod browser;
mod deploy;
mod dist;
mod envoy;
mod faults;
mod fuzz;
mod gateways;
mod generate;
mod ha;
mod install;
mod lint;
mod mutants;
mod packages;
mod proofs;
mod seeded_bugs;
mod shape;
mod shell;
mod test;
mod tools;
mod upgrade;
mod user_agents;

use std::{env, path::Path, process::ExitCode};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

/// The chores of the Portcullis workspace.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Write the contract's Rust code and descriptor set from proto/.
    Gen,
    /// Check format, generated code, contract, dependencies, clippy and documentation.
    Lint(lint::Options),
    /// Build the binary and run every test, installing what they need.
    Test(test::Options),
    /// Install the real gateways that tests start: NGINX, Caddy, Traefik, HAProxy and three versions of Envoy.
    Gateways,
    /// Make the pictures of the console's pages in docs/images anew. The tests compare with them.
    Screenshots,
    /// Measure every row beside its peers, in one run; the figures go to target/bench/summary.json.
    Bench(bench::Options),
    /// Run load with a fault every few seconds, and compare every gate with what was acknowledged; the report goes to
    /// target/soak.
    Soak(bench::SoakOptions),
    /// Run a PostgreSQL cluster with failover, two authorities and two gates; kill, promote, cut off and rejoin under load.
    Ha(ha::Options),
    /// Build the newest released version and this one, and run both over one database under load: upgrade one authority after
    /// the other, and roll back.
    Upgrade(upgrade::Options),
    /// Build the binaries to ship, stripped, with their debug information in files of their own.
    Dist,
    /// Make the Debian packages, the images and the chart, check each by its own tools, and start it from its own files.
    Packages(packages::Options),
    /// Fill an empty PostgreSQL database with sessions, as after a month of sign-ins.
    Seed(bench::SeedOptions),
    /// Print how the code reads, in figures: function sizes, comments, circles between files, crates.
    Shape(shape::Options),
    /// Throw hostile bytes at every decoder for a while. Needs a nightly toolchain.
    Fuzz(fuzz::Options),
    /// Make the classic mistakes one after the other; fails unless the tests catch each.
    SeededBugs(seeded_bugs::Options),
    /// Change the code in one small way after the other; fails unless the tests notice nearly all of it.
    Mutants(mutants::Options),
    /// Run the real faults that take long: those that `test` leaves out.
    Faults(faults::Options),
    /// Run seeded schedules of faults in simulated time, and check every history.
    Simulate(proofs::Options),
    /// Take the data by which user agents are recognized from a copy of uap-core.
    UserAgents(user_agents::Options),
}

fn main() -> ExitCode {
    match run(&Cli::parse().chore) {
        Ok(()) => ExitCode::SUCCESS,
        // One line without a backtrace, which would show the inside of xtask and not the finding.
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(chore: &Chore) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("xtask sits outside a workspace")?;
    // Every command runs at the root, wherever it was typed.
    env::set_current_dir(root).context("entering the workspace root")?;

    match chore {
        Chore::Gen => generate::write(root),
        Chore::Lint(options) => lint::run(root, options),
        Chore::Test(options) => test::run(options),
        Chore::Gateways => gateways::ensure(),
        Chore::Screenshots => browser::take_screenshots(),
        Chore::Bench(options) => bench::run(options),
        Chore::Soak(options) => bench::soak(options),
        Chore::Ha(options) => ha::run(options),
        Chore::Upgrade(options) => upgrade::run(options),
        Chore::Dist => dist::run(),
        Chore::Packages(options) => packages::run(options),
        Chore::Seed(options) => bench::seed(options),
        Chore::Shape(options) => shape::run(options),
        Chore::Fuzz(options) => fuzz::run(options),
        Chore::SeededBugs(options) => seeded_bugs::run(options),
        Chore::Mutants(options) => mutants::run(options),
        Chore::Faults(options) => faults::run(options),
        Chore::Simulate(options) => proofs::simulate(options),
        Chore::UserAgents(options) => user_agents::write(root, options),
    }
}
