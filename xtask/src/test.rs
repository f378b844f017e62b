//! `cargo xtask test`: every test of the workspace, on a machine that may lack what they need.

use std::{
    env,
    io::{self, BufRead, BufReader, IsTerminal},
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use clap::Args;

use crate::{
    browser, envoy, gateways, install, proofs,
    shell::{self, command},
    tools,
};

/// Tests that run at once. Many of them start PostgreSQL servers and authorities of their own, and all that share a
/// server share its 300 connections.
const TEST_THREADS_MAX: usize = 8;
/// Tests for each core: most of them wait most of the time.
const TEST_THREADS_PER_CORE: usize = 2;

/// Lines about failed tests that are printed again at the end.
const FAILURE_LINES_MAX: usize = 60;
/// How long the output may end after the tests.
const COPY_PATIENCE: Duration = Duration::from_secs(5);

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
        let threads = (cores * TEST_THREADS_PER_CORE).min(TEST_THREADS_MAX);
        tests.env("RUST_TEST_THREADS", threads.to_string());
    }
    run_tests(tests)?;
    if options.cargo_args.is_empty() {
        envoy::test()?;
        proofs::test()?;
    }
    Ok(())
}

/// Runs tests. Whoever reads the log of a run in CI finds what failed at its end, and not an hour of lines before it.
fn run_tests(mut tests: Command) -> Result<()> {
    // On a terminal the tests keep their colours, and a person can look up.
    if io::stdout().is_terminal() {
        return shell::run(tests);
    }
    let (reader, writer) = io::pipe().context("a pipe for the output of tests")?;
    tests.stdout(Stdio::from(writer));
    let failures = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&failures);
    let (copied, is_copied) = mpsc::sync_channel::<()>(1);
    thread::spawn(move || {
        copy_and_keep_failures(reader, &kept);
        drop(copied);
    });
    let outcome = shell::run(tests);

    // A process that a test left behind may keep the pipe open.
    let _ = is_copied.recv_timeout(COPY_PATIENCE);
    let failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
    for line in &failures[failures.len().saturating_sub(FAILURE_LINES_MAX)..] {
        println!("{line}");
    }
    outcome
}

/// Prints what tests print. Keeps what libtest says of those that failed, from `failures:` to its next result, without
/// the backtraces.
fn copy_and_keep_failures(output: impl io::Read, failures: &Mutex<Vec<String>>) {
    let mut is_failure = false;
    let mut is_backtrace = false;
    for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        println!("{line}");
        is_failure = (is_failure || line == "failures:") && !line.starts_with("test result:");
        is_backtrace = (is_backtrace || line == "stack backtrace:") && !line.is_empty();
        if is_failure && !is_backtrace {
            let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
            failures.push(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_kept_without_their_backtraces() {
        let output = "test one ... ok\nfailures:\n\n---- two stdout ----\nthread panicked\nstack backtrace:\n   0: main\n\n\
                      failures:\n    two\n\ntest result: FAILED\ntest three ... ok\n";
        let kept = Mutex::default();
        copy_and_keep_failures(output.as_bytes(), &kept);
        let kept = kept.into_inner().expect("no panic");
        assert_eq!(
            kept.join("\n"),
            "failures:\n\n---- two stdout ----\nthread panicked\n\nfailures:\n    two\n"
        );
    }
}
