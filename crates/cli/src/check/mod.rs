//! `portcullis check`: examines an installation, and names the remedy for each problem.

mod configuration;
mod finding;
mod gates;
mod self_test;
mod store;
mod tls;

use std::{
    io::{IsTerminal, stdout},
    path::PathBuf,
};

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use portcullis_authority::config::Config;

use self::finding::{Finding, Verdict};
use crate::{
    commands::completion,
    context::Remote,
    failure::{Exit, Failure, Result},
    output::note,
};

/// Options of `check`.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    remote: Remote,
    /// The configuration file of the authority. Without it only what can be reached is checked.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The context of a sign-in service (role login): opens, revokes and times a session of the tenant
    /// `portcullis-check`.
    #[arg(
        long,
        value_name = "NAME",
        help_heading = "Connection",
        add = ArgValueCompleter::new(completion::contexts)
    )]
    sign_in_context: Option<String>,
    /// The context of a gate (role gateway): the self-test then also times a gate of its own.
    #[arg(
        long,
        value_name = "NAME",
        requires = "sign_in_context",
        help_heading = "Connection",
        add = ArgValueCompleter::new(completion::contexts)
    )]
    gate_context: Option<String>,
}

/// Runs `check`.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let mut findings = Vec::new();
    let config = read_configuration(options, &mut findings);
    // These need the files and addresses that the configuration names.
    if let Some(config) = &config {
        configuration::check(config, &mut findings).await;
        store::check(config, &mut findings).await;
        tls::check(config, &mut findings);
    }
    gates::check(&options.remote, &mut findings).await;
    // Last, because it opens a session: the checks before it change nothing.
    self_test::check(
        options.sign_in_context.as_deref(),
        options.gate_context.as_deref(),
        config.as_ref(),
        &mut findings,
    )
    .await;

    print_findings(options, &mut findings)?;
    summarize(&findings)
}

fn print_findings(options: &Options, findings: &mut [Finding]) -> Result<()> {
    let colours = stdout().is_terminal();
    for finding in &mut *findings {
        finding.colours = colours;
    }
    options.remote.printer().list(findings)
}

fn read_configuration(options: &Options, findings: &mut Vec<Finding>) -> Option<Config> {
    match &options.config {
        Some(file) => configuration::read(file, findings),
        None => {
            let hint = "name the configuration with --config";
            findings.push(Finding::skipped("configuration", hint));
            None
        }
    }
}

fn count(findings: &[Finding], verdict: Verdict) -> usize {
    let alike = findings.iter().filter(|finding| finding.verdict == verdict);
    alike.count()
}

fn summarize(findings: &[Finding]) -> Result<()> {
    let failed = count(findings, Verdict::Failed);
    let warnings = count(findings, Verdict::Warning);
    note(&format!(
        "{} good, {warnings} to look at, {failed} wrong, {} not checked",
        count(findings, Verdict::Good),
        count(findings, Verdict::Skipped)
    ));
    // Warnings do not fail the command: an installation without a standby or with a best-effort
    // gate may be meant.
    if failed == 0 {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Failed,
        "the installation is not as it should be",
    ))
}
