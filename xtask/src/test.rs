//! `cargo xtask test`: every test of the workspace, on a machine that may lack what they need.

use anyhow::Result;
use clap::Args;

use crate::{
    install,
    shell::{self, command},
    tools,
};

/// What `test` takes.
#[derive(Args)]
pub(crate) struct Options {
    /// Passed on to `cargo test`: a filter, `--test NAME`, `-- --nocapture`.
    #[arg(last = true)]
    cargo_args: Vec<String>,
}

/// Builds the binary that fault tests start and kill, then runs the tests.
pub(crate) fn run(options: &Options) -> Result<()> {
    install::ensure(&[tools::C_COMPILER, tools::POSTGRES_SERVER, tools::PGBOUNCER])?;
    shell::run(command(
        "cargo",
        ["build", "--locked", "-p", "portcullis-cli"],
    ))?;

    let mut tests = command("cargo", ["test", "--workspace", "--locked"]);
    tests.args(&options.cargo_args);
    shell::run(tests)
}
