//! `cargo xtask ha`: the files of `deploy/ha` on five machines, and failovers under load.
//!
//! A machine is a network namespace with its own `/etc`, `/run` and data. Three have etcd, Patroni and PostgreSQL; two
//! have an authority and a gate. Callers and visitors stand outside. A [`ledger`](ledger::Ledger) keeps what was
//! acknowledged and what the gates made of it. The run fails when something acknowledged is lost.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command writes to the terminal it was typed in"
)]

mod certificates;
mod cluster;
mod gates;
mod installation;
mod ledger;
mod machines;
mod report;
mod scenarios;
mod secrets;
mod traffic;
mod upgrade;
mod verdict;

use std::{
    env,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{self, ExitCode},
    sync::Arc,
};

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    gates::Gate, installation::Installation, ledger::Ledger, report::Report, scenarios::Scenario,
    traffic::Traffic,
};

/// Options of the rig.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    /// The scenarios, in their order. None: all.
    #[arg(value_enum)]
    scenarios: Vec<Scenario>,
    /// Runs Patroni without its synchronous mode. The run then loses what was acknowledged, and has to notice.
    #[arg(long)]
    asynchronous: bool,
    /// The directory with Patroni's Python packages. None: the machine's own Patroni.
    #[arg(long)]
    patroni: Option<PathBuf>,
    /// Where the machines' directories, their logs and `ha.json` go.
    #[arg(long, default_value = "target/ha")]
    out: PathBuf,
    /// Set by the command itself, once it has namespaces of its own.
    #[arg(long, hide = true)]
    inside: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Two versions over one database under load: upgraded one authority after the other, and rolled back. It needs no
    /// machines of its own, and no root.
    Upgrade(upgrade::Options),
}

/// Waits for the command in the shell that is the first process of the namespace: it collects what ends without a
/// parent. When it ends, the kernel ends every process of the rig.
const FIRST_PROCESS: &str = r#""$0" --inside "$@" & wait $!"#;

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    if let Some(Command::Upgrade(options)) = &options.command {
        return upgrade::run(options);
    }
    if !options.inside {
        return enter_namespaces();
    }
    run_to_the_end(&options)
}

/// Becomes the same command with its own network, mounts and processes. Nothing of the host's is changed.
fn enter_namespaces() -> Result<ExitCode> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "the rig makes network namespaces, which takes root"
    );
    let error = process::Command::new("unshare")
        .args(["--net", "--mount", "--pid", "--ipc", "--uts"])
        .args(["--fork", "--kill-child", "--mount-proc"])
        .args(["sh", "-c", FIRST_PROCESS])
        .arg(env::current_exe()?)
        .args(env::args_os().skip(1))
        .exec();
    Err(error).context("unshare does not start")
}

#[tokio::main]
async fn run_to_the_end(options: &Options) -> Result<ExitCode> {
    let mut installation = Installation::start(options).await?;
    let report = run(options, &mut installation).await?;

    let text = serde_json::to_string_pretty(&report)?;
    let file = options.out.join("ha.json");
    std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    println!("{}", report.summary());
    println!("{}", file.display());
    match report.is_clean() {
        true => Ok(ExitCode::SUCCESS),
        false => Ok(ExitCode::FAILURE),
    }
}

async fn run(options: &Options, installation: &mut Installation) -> Result<Report> {
    let ledger = Arc::new(Ledger::default());
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let traffic = Traffic::new(installation, &ledger)?;
    traffic.fill().await?;
    let gates = [0, 1].map(|index| Gate::new(installation, index, &ledger));
    for gate in &gates {
        gate.start(&stop, &tasks);
    }
    traffic.start(&stop, &tasks);

    let mut phases = Vec::new();
    for scenario in Scenario::chosen(&options.scenarios) {
        phases.extend(scenario.run(installation, &ledger).await?);
    }

    stop.cancel();
    tasks.close();
    tasks.wait().await;
    let verdict = verdict::reach(installation, &ledger, &gates).await?;
    Ok(Report {
        asynchronous: options.asynchronous,
        phases,
        verdict,
        violations: ledger.violations(),
    })
}
