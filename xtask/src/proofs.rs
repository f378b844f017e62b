//! The model and the simulation: packages outside the workspace, because their tools ask for features of shared crates
//! that would make the whole workspace build anew. They share the target directory, so most crates are built once.

use anyhow::Result;
use clap::Args;

use crate::{
    shell::{self, command},
    tools,
};

const MODEL: &str = "tests/model/Cargo.toml";
const SIMULATION: &str = "tests/simulation/Cargo.toml";
/// What `lint` checks.
const MANIFESTS: [&str; 2] = [MODEL, SIMULATION];

/// Options of `simulate`.
#[derive(Args)]
pub(crate) struct Options {
    /// The number of schedules to run, one seed each.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    schedules: u64,
    /// The first seed.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// The schedules to run at a time; none: one for each core.
    #[arg(long, value_name = "T")]
    threads: Option<u64>,
    /// Seed a classic mistake, to see that the simulation finds it.
    #[arg(long, value_name = "NAME")]
    bug: Option<String>,
}

/// Runs many schedules. Fails if one breaks the promise.
pub(crate) fn simulate(options: &Options) -> Result<()> {
    let mut run = cargo("run", SIMULATION);
    // Not `--release`: it would build everything anew, and the tests have built the rest with optimisation already.
    run.args(["--locked", "--"])
        .args(["--schedules", &options.schedules.to_string()])
        .args(["--seed", &options.seed.to_string()]);
    if let Some(threads) = options.threads {
        run.args(["--threads", &threads.to_string()]);
    }
    if let Some(bug) = &options.bug {
        run.args(["--bug", bug]);
    }
    shell::run(run)
}

/// Runs the model whole. The simulation takes minutes to build, for a slice of half a minute: `cargo xtask simulate` runs it.
pub(crate) fn test() -> Result<()> {
    let mut test = cargo("test", MODEL);
    test.arg("--locked");
    shell::run(test)
}

/// Checks the format.
pub(crate) fn check_format() -> Result<()> {
    for manifest in MANIFESTS {
        let options = ["fmt", "--manifest-path", manifest, "--check"];
        shell::run(command("cargo", options))?;
    }
    Ok(())
}

/// Checks the code.
pub(crate) fn clippy() -> Result<()> {
    for manifest in MANIFESTS {
        let mut clippy = cargo("clippy", manifest);
        clippy.args(["--all-targets", "--locked", "--", "-D", "warnings"]);
        shell::run(clippy)?;
    }
    Ok(())
}

/// Checks the dependencies by the rules of the workspace.
pub(crate) fn deny(checks: &[&str]) -> Result<()> {
    for manifest in MANIFESTS {
        let options = [
            "--manifest-path",
            manifest,
            "check",
            "--hide-inclusion-graph",
        ];
        // They need fewer licences and have other duplicates than the rules know.
        let allow = [
            "--allow",
            "license-not-encountered",
            "--allow",
            "unmatched-skip",
        ];
        shell::run(tools::cargo_deny(&[&options, &allow[..], checks].concat())?)?;
    }
    Ok(())
}

fn cargo(chore: &str, manifest: &str) -> std::process::Command {
    let mut cargo = command("cargo", [chore, "--manifest-path", manifest]);
    cargo.args(["--target-dir", "target"]);
    cargo
}
