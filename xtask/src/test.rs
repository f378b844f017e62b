//! `cargo xtask test`: every test of the workspace, on a machine that may lack what they need.

use std::{env, thread};

use anyhow::Result;
use clap::Args;

use crate::{
    browser, envoy, gateways, install, proofs,
    shell::{self, command},
    tools,
};

/// Tests that run at once. Many of them start PostgreSQL servers and authorities of their own, and all that share a
/// server share its 300 connections.
const TEST_THREADS_MAX: usize = 8;

/// Options of `test`.
#[derive(Args)]
pub(crate) struct Options {
    /// Passed on to `cargo test`: a filter, `--test NAME`, `-- --nocapture`.
    #[arg(last = true)]
    cargo_args: Vec<String>,
}

/// Builds the binaries and the Envoy module that tests start, then runs the tests.
pub(crate) fn run(options: &Options) -> Result<()> {
    install::ensure(&[
        tools::C_COMPILER,
        tools::POSTGRES_SERVER,
        tools::PGBOUNCER,
        tools::RSYSLOG,
        tools::PROMETHEUS,
        tools::SOFTHSM,
        tools::OPENSC,
        tools::PYTHON,
        tools::NPM,
    ])?;
    gateways::ensure()?;
    browser::ensure()?;
    // The tests are built with the binaries: alone the binaries would have fewer features of their dependencies, and the
    // whole workspace would be built a second time for the tests.
    let tests: &[&str] = match options.cargo_args.is_empty() {
        true => &["--tests"],
        false => &["--test", "e2e"],
    };
    let mut build = command("cargo", ["build", "--workspace", "--locked", "--bins"]);
    build.args(tests);
    shell::run(build)?;

    envoy::build(&["--locked"])?;

    // The tests of a later binary run although one of an earlier binary failed: a run in CI takes long, and says all it
    // can.
    let mut tests = command(
        "cargo",
        ["test", "--workspace", "--locked", "--no-fail-fast"],
    );
    tests.args(&options.cargo_args);
    if env::var_os("RUST_TEST_THREADS").is_none() {
        let cores = thread::available_parallelism()?.get();
        tests.env("RUST_TEST_THREADS", cores.min(TEST_THREADS_MAX).to_string());
    }
    shell::run(tests)?;
    if options.cargo_args.is_empty() {
        envoy::test()?;
        proofs::test()?;
    }
    Ok(())
}
