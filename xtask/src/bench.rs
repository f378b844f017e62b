//! `cargo xtask bench`: every figure of the project, beside its peers, in one run.

use anyhow::Result;
use clap::Args;

use crate::{
    install,
    shell::{self, command},
    tools,
};

/// What `bench` takes.
#[derive(Args)]
pub(crate) struct Options {
    /// The rows to measure; none: all of them.
    #[arg(value_name = "ROW")]
    rows: Vec<String>,
}

/// Builds what is measured as it is released, and runs the bench, which starts the peers itself.
pub(crate) fn run(options: &Options) -> Result<()> {
    install::ensure(&[tools::C_COMPILER, tools::POSTGRES_SERVER, tools::PGBENCH, tools::REDIS_SERVER])?;
    let packages = ["-p", "portcullis-cli", "-p", "portcullis-bench"];
    shell::run(command("cargo", [&["build", "--release", "--locked"][..], &packages].concat()))?;
    let mut bench = command("target/release/portcullis-bench", [""; 0]);
    bench.args(&options.rows);
    shell::run(bench)
}
