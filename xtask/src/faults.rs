//! `cargo xtask faults`: the real faults that take long, one after the other. `cargo xtask test` runs the others.

use anyhow::Result;
use clap::Args;

use crate::shell::{self, command};

/// Options of `faults`.
#[derive(Args)]
pub(crate) struct Options {
    /// Names of tests, or parts of them; none: all.
    #[arg(value_name = "FILTER")]
    filters: Vec<String>,
}

/// Runs the ignored tests of `tests/faults`, and shows what each measured.
pub(crate) fn run(options: &Options) -> Result<()> {
    // The tests start the programs that a user starts.
    let programs = [
        "build",
        "--locked",
        "-p",
        "portcullis-cli",
        "-p",
        "portcullis-sidecar",
    ];
    shell::run(command("cargo", programs))?;
    let mut cargo = command(
        "cargo",
        ["test", "--workspace", "--locked", "--test", "faults", "--"],
    );
    cargo.args(&options.filters);
    // One at a time, because they measure.
    cargo.args(["--ignored", "--nocapture", "--test-threads", "1"]);
    shell::run(cargo)
}
